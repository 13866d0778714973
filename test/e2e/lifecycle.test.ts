/** Workers that come and go as planned, as real processes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, type Scope } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EventLog, Pool, PoolControl, Snakepit } from "snakepit"
import { config, survivors } from "./fixtures/Program.ts"
import { Tools } from "./fixtures/Tools.ts"

const told = (name: string) => Effect.flatMap(EventLog.EventLog, (log) => log.recent(name))

const program = (
  input: Parameters<typeof Snakepit.layer>[0],
  test: Effect.Effect<void, unknown, Snakepit.Services | Scope.Scope>
) => test.pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(input)))

const noRestart = Effect.map(
  Effect.forEach(["worker", "fleet", "pool", "control"], (name) => told(`snakepit.${name}_supervisor.restart`)),
  (all) => assert.deepStrictEqual(all.flat(), [])
)

class Versioned extends RpcGroup.make(
  Rpc.make("version", { success: Schema.Int }),
  Rpc.make("ping", { success: Schema.Int })
) {}

/** An adapter's file that a test writes again and again. */
const adapterFile = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "reload-"))
    const file = join(folder, "versioned.py")
    let seconds = Math.floor(Date.now() / 1000)
    const write = (version: number, more = "") => {
      writeFileSync(file, `from snakepit import tool\n${more}\n@tool\ndef version() -> int:\n    return ${version}\n`)
      utimesSync(file, seconds, ++seconds) // Python takes a file of the same second and size for the one that it has compiled
    }
    return { folder, write }
  }),
  ({ folder }) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

const ping = "@tool\ndef ping() -> int:\n    return 1\n"

describe.skipIf(process.platform !== "linux")("workers", () => {
  it.live("are replaced under load, after their calls: none fails, no restart is spent, and no process is left", () =>
    program(
      config({}, { size: 2, recycle: { calls: 40, jitter: 0.2, every: "50 millis" } }),
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const { runId } = yield* Snakepit.Snakepit
        const sums = yield* Effect.forEach(
          Array.from({ length: 400 }, (_, n) => n),
          (n) => Effect.delay(tools.add({ a: n, b: 1 }), "5 millis"),
          { concurrency: 4 }
        )
        assert.deepStrictEqual(sums, Array.from({ length: 400 }, (_, n) => n + 1))
        const control = yield* PoolControl.of("default")
        yield* Effect.repeat(control.status, { until: ({ workers }) => workers.length === 2 && workers.every(({ ready }) => ready) })
        const stops = yield* told("snakepit.lifecycle.stop")
        assert.isAtLeast(stops.length, 3)
        for (const { attributes, measurements } of stops) {
          assert.strictEqual(attributes["because"], "calls")
          assert.isAtLeast(measurements["served"]!, 32)
        }
        yield* noRestart
        const workers = (yield* Effect.promise(() => survivors(runId))).filter(({ command }) => command.includes("default/"))
        assert.strictEqual(workers.filter(({ command }) => /default\/\d/.test(command)).length, 2)
      })
    ), 20_000)

  it.live("get new code one after the other, once it has proved itself on one; what does not is rolled back", () =>
    Effect.gen(function*() {
      const { folder, write } = yield* adapterFile
      write(1, ping)
      yield* program(
        config({ adapter: "versioned", path: [folder] }, {
          size: 2,
          reload: { probe: { tool: "ping" }, hold: "100 millis" }
        }),
        Effect.gen(function*() {
          const client = yield* Pool.client(Versioned)
          const control = yield* PoolControl.of("default")
          const versions = Effect.map(Effect.all([1, 2, 3, 4].map(() => client.version()), { concurrency: "unbounded" }), (all) =>
            new Set(all))
          write(2, ping)
          assert.deepStrictEqual(yield* control.reload, { version: "1+1" })
          assert.deepStrictEqual(yield* versions, new Set([2]))
          for (
            const [more, stage] of [
              ["raise RuntimeError('no')", "boot"],
              ["", "catalogue"],
              ["@tool\ndef ping() -> int:\n    raise ValueError('no model')\n", "probe"]
            ] as const
          ) {
            write(3, more)
            const failed = yield* Effect.flip(control.reload)
            assert.deepInclude(failed, { _tag: "RolloutFailed", stage })
            assert.deepStrictEqual(yield* versions, new Set([2]))
          }
          write(4, ping)
          yield* control.reload
          assert.deepStrictEqual(yield* versions, new Set([4]))
          assert.deepStrictEqual(
            (yield* told("snakepit.process.start")).map(({ attributes }) =>
              attributes["start"]
            ),
            [
              ...["fork", "fork"],
              ...["spawn", "fork"], // the canary imports for itself, the other has it from the new forkserver
              ...["spawn", "spawn"], // of those that failed, the first did not come up
              ...["spawn", "fork"]
            ]
          )
          yield* noRestart
        })
      )
    }).pipe(Effect.scoped), 30_000)
})
