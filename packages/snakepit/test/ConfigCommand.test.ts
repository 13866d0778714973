import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as ConfigCommand from "../src/cli/ConfigCommand.ts"

const fileOf = (text: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "snakepit-command-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ),
    (folder) => {
      const file = join(folder, "snakepit.yaml")
      writeFileSync(file, text)
      return file
    }
  )

const whole = "pools:\n  default:\n    size: 4\n    python: { adapter: tools, env: { TOKEN: abc } }\n"

describe("snakepit config", () => {
  it.effect("check takes a file that leaves keys to the program, and says which", () =>
    Effect.gen(function*() {
      assert.match(yield* ConfigCommand.check(yield* fileOf(whole)), /is valid$/)
      const part = yield* ConfigCommand.check(yield* fileOf("pools: { default: { size: 4 } }\n"))
      assert.include(part, "pools.default.python")
      const { message } = yield* Effect.flip(ConfigCommand.check(yield* fileOf("pools: { default: { sise: 4 } }\n")))
      assert.include(message, "pools.default.sise")
      assert.notInclude(message, "missing key")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("explain says a key's value, its source and when it applies; a secret is none of it", () =>
    Effect.gen(function*() {
      const file = yield* fileOf(whole)
      assert.strictEqual(
        yield* ConfigCommand.explain(file, "pools.default.size"),
        `pools.default.size = 4\n  from: ${file}, line 3\n  a change: scale`
      )
      assert.include(yield* ConfigCommand.explain(file, "pools.default.python.env.TOKEN"), "= (secret)\n")
      assert.include((yield* Effect.flip(ConfigCommand.explain(file, "pools.default.siz"))).message, "Did you mean \"size\"?")
      assert.include((yield* Effect.flip(ConfigCommand.explain(file, "pools.default.queue"))).message, "capacity, perTenant, timeout")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
