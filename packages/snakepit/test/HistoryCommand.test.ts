import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { HistoryConfig } from "@snakepit/telemetry"
import * as SqliteStore from "@snakepit/telemetry/history/sqlite/SqliteStore"
import { Console, Effect, Redacted, Schema } from "effect"
import { Command } from "effect/cli"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Snakepit, SnakepitConfig } from "snakepit"
import * as HistoryCheck from "../src/cli/HistoryCheck.ts"
import * as HistoryCommand from "../src/cli/HistoryCommand.ts"
import * as Moment from "../src/cli/Moment.ts"

const now = Date.parse("2026-11-26T08:00:00Z")

describe("a moment on the command line", () => {
  it("is so long ago, or a date", () => {
    const day = 86_400_000
    const cases: ReadonlyArray<readonly [string, number | undefined]> = [
      ["90d", now - 90 * day],
      ["1.5h", now - 5_400_000],
      ["2 hours", now - 7_200_000],
      ["2026-11-25", now - day - 8 * 3_600_000],
      ["2026-11-26T07:59:00Z", now - 60_000],
      ["soon", undefined],
      ["", undefined]
    ]
    for (const [text, expected] of cases) assert.strictEqual(Moment.parse(text, now), expected, text)
  })
})

const event = {
  name: "snakepit.worker_supervisor.restart",
  at: now,
  measurements: { delayMillis: 100, budgetLeft: 2 },
  attributes: {
    path: "snakepit/pools/a/fleet/3",
    "snakepit.layer": "execution",
    child: "process",
    cause: "killed\nand more",
    slot: undefined
  }
}

const filled = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "history-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const file = join(folder, "history.sqlite")
  const contract = yield* Snakepit.contract()
  yield* Effect.scoped(Effect.gen(function*() {
    const store = yield* SqliteStore.open(file, false)
    yield* store.begin({ id: "one", startedAt: now, host: "here", process: "", contract })
    yield* store.append("one", [{ position: 0, event }, { position: 1, event: { ...event, name: "snakepit.pool.open", at: now + 1 } }])
  }))
  return file
})

/** What a command line prints, and whether it fails. */
const printed = Effect.fnUntraced(function*(...args: ReadonlyArray<string>) {
  const lines: Array<string> = []
  const say = (...texts: ReadonlyArray<unknown>) => void lines.push(texts.join(" "))
  const run = Command.runWith(HistoryCommand.history, { version: "0" })(args)
  const failed = yield* run.pipe(
    Effect.provideService(Console.Console, { ...globalThis.console, log: say, error: say }),
    Effect.provide(NodeServices.layer),
    Effect.match({ onFailure: () => true, onSuccess: () => false })
  )
  return { lines, failed }
})

describe("snakepit history", () => {
  it.live("prints what was recorded, a line each, and the runs", () =>
    Effect.gen(function*() {
      const file = yield* filled
      assert.deepStrictEqual(yield* printed("--file", file, "--name", "*.restart"), {
        failed: false,
        lines: [
          "2026-11-26T08:00:00.000Z        1  worker_supervisor.restart  snakepit/pools/a/fleet/3  child=process delayMillis=100 budgetLeft=2  killed"
        ]
      })
      const json = yield* printed("--file", file, "--json", "--limit", "1")
      assert.deepInclude(JSON.parse(json.lines[0]!), { seq: 2, run: "one", name: "snakepit.pool.open", at: now + 1 })
      assert.deepStrictEqual((yield* printed("--file", file, "--since", "2026-11-26T08:00:00.001Z")).lines.length, 1)
      assert.deepStrictEqual((yield* printed("--file", file, "--path", "snakepit/pools/*", "--until", "2026-11-26T08:00Z")).lines, [])
      assert.deepStrictEqual((yield* printed("runs", "--file", file)).lines, [
        "one  2026-11-26T08:00:00.000Z  no end: it runs, or its end was not in order"
      ])
    }), 60_000)

  it.live("reads where a configuration says, and says what is wrong", () =>
    Effect.gen(function*() {
      const file = yield* filled
      const config = join(file, "..", "snakepit.json")
      writeFileSync(config, JSON.stringify({ pools: {}, telemetry: { history: { file } } }))
      assert.strictEqual((yield* printed("--config", config)).lines.length, 2)
      const wrong = yield* printed("--file", file, "--since", "soon")
      assert.isTrue(wrong.failed)
      assert.match(wrong.lines[0]!, /--since "soon" is no time: say how long ago, as 90d/)
      const missing = yield* printed("--file", `${file}.not`)
      assert.isTrue(missing.failed)
      assert.match(missing.lines[0]!, /there is no such file/)
    }), 60_000)
})

describe("the doctor's look at the history", () => {
  const configOf = (history: object) => Schema.decodeUnknownSync(SnakepitConfig.SnakepitConfig)({ pools: {}, telemetry: { history } })
  const found = (history: object) =>
    Effect.map(HistoryCheck.check(configOf(history)), (findings) => findings.map(({ level, text }) => `${level} ${text}`))

  it.live("says what it holds, and what is wrong with it", () =>
    Effect.gen(function*() {
      const file = yield* filled
      assert.match((yield* found({ file }))[0]!, /^ok .*history\.sqlite: 1 run, the last event of 2026-11-26T08:00:00\.001Z, 0\.1 MiB$/)
      assert.match((yield* found({ file: `${file}.not` }))[0]!, /^ok none yet/)
      assert.match((yield* found({ record: false }))[0]!, /^ok turned off/)
      writeFileSync(`${file}.2026.corrupt`, "")
      writeFileSync(`${file}.broken`, Buffer.alloc(8192, "x"))
      assert.match((yield* found({ file }))[1]!, /^warning set aside as damaged: /)
      assert.match((yield* found({ file: `${file}.broken` }))[0]!, /^warning .*no SQLite database/)
    }), 60_000)
})

describe("the section telemetry.history", () => {
  it("shows its database's url to nobody", () => {
    const config = Schema.decodeUnknownSync(HistoryConfig.HistoryConfig)({ postgres: { url: "postgresql://u:hush@h/d" } })
    assert.strictEqual(Redacted.value(config.postgres!.url), "postgresql://u:hush@h/d")
    assert.notInclude(JSON.stringify(config), "hush")
  })
})
