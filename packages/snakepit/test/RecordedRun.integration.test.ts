import { assert, describe, it } from "@effect/vitest"
import { ProcessRegistry } from "@snakepit/bridge"
import { Event } from "@snakepit/core"
import { History } from "@snakepit/telemetry"
import * as SqliteStore from "@snakepit/telemetry/history/sqlite/SqliteStore"
import { Effect, Exit, Layer, Schema, Scope } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EventBus, type HistoryReader, Snakepit, SnakepitConfig } from "snakepit"
import * as RecordedRun from "../src/RecordedRun.ts"

const place = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "recorded-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)
const configOf = (dataFolder: string, history: object = {}) => ({
  ...{ pools: {}, dataFolder },
  telemetry: { history: { resumeBudgets: true, host: "this one", ...history } }
})

/** Starts an application without pools, and ends it as told. */
const started = Effect.fnUntraced(function*(config: ReturnType<typeof configOf>) {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(Snakepit.layer(config), scope)
  const { root, runId, tree } = yield* Effect.provide(Snakepit.Snakepit, context)
  return { root, runId, tree, close: (exit: Exit.Exit<unknown, unknown> = Exit.void) => Scope.close(scope, exit) }
})

const runsIn = (folder: string): Effect.Effect<ReadonlyArray<HistoryReader.Run>, HistoryReader.HistoryFailed> =>
  SqliteStore.reader(join(folder, "history.sqlite")).runs

describe("a run that is recorded", () => {
  it.live("stands in the history with its contract, and with its end when that was in order", () =>
    Effect.gen(function*() {
      const folder = yield* place
      const first = yield* started(configOf(folder))
      yield* first.close()
      const second = yield* started(configOf(folder))
      yield* second.close(Exit.fail("its program failed"))
      const runs = yield* runsIn(folder)
      assert.deepStrictEqual(runs.map(({ endedAt, id }) => [id, endedAt !== undefined]), [[first.runId, true], [second.runId, false]])
      assert.strictEqual(runs[0]!.contract?.id, "snakepit")
      assert.strictEqual(runs[0]!.contract?.children.length, 4)
    }), 60_000)

  it.live(
    "begins with the budgets that the runs before have left, and is refused when the host has died too often",
    () =>
      Effect.gen(function*() {
        const folder = yield* place
        const lefts: Array<unknown> = []
        for (let start = 0; start < 4; start++) {
          const { close, tree } = yield* started(configOf(folder))
          lefts.push((yield* tree).budgetLeft)
          yield* close(Exit.fail("it crashed"))
        }
        // this process lives, so nothing has died yet as far as anybody can see: the dead are others'
        assert.deepStrictEqual(lefts, [3, 3, 3, 3])
        const store = yield* SqliteStore.open(join(folder, "history.sqlite"), false)
        const [{ contract }] = (yield* store.reader.runs) as [HistoryReader.ReadableRun]
        const die = (id: string) => store.begin({ id, startedAt: Date.now(), host: "this one", process: "", contract })
        yield* die("dead 1")
        yield* die("dead 2")
        const resumed = yield* started(configOf(folder))
        assert.strictEqual((yield* resumed.tree).budgetLeft, 1)
        yield* resumed.root.failChild("bridge", new Error("on purpose"))
        yield* resumed.close()
        const again = yield* started(configOf(folder))
        assert.strictEqual((yield* again.tree).budgetLeft, 0)
        yield* again.close()
        yield* die("dead 3")
        const refused = yield* Effect.flip(started(configOf(folder)))
        assert.strictEqual(refused.at.path, "snakepit")
        assert.match(refused.message, /snakepit did not start: StartedTooOften: the host this one was not started/)
        assert.strictEqual(
          (yield* started(configOf(folder, { host: "another" })).pipe(Effect.flatMap(({ close, tree }) => Effect.tap(tree, () => close()))))
            .budgetLeft,
          3
        )
        assert.strictEqual(
          (yield* started(configOf(folder, { resumeBudgets: false })).pipe(
            Effect.flatMap(({ close, tree }) => Effect.tap(tree, () => close()))
          )).budgetLeft,
          3
        )
      }),
    120_000
  )

  it.live("is not, where it is told so", () =>
    Effect.gen(function*() {
      const folder = yield* place
      const { close } = yield* started(configOf(folder, { record: false }))
      yield* close()
      assert.match((yield* Effect.flip(runsIn(folder))).message, /there is no such file/)
    }), 60_000)

  it.live("is not, where there is no folder for it: that is told, and budgets begin whole", () =>
    Effect.gen(function*() {
      const file = join(yield* place, "file")
      writeFileSync(file, "")
      const told: Array<Event.Event> = []
      const config = Schema.decodeUnknownSync(SnakepitConfig.SnakepitConfig)(configOf(join(file, "below")))
      const memory = yield* RecordedRun.begin(config, yield* ProcessRegistry.makeRun, yield* Snakepit.contract()).pipe(
        Effect.provideService(Event.EventSink, { emit: (event) => void told.push(event) })
      )
      assert.strictEqual(memory.size, 0)
      assert.deepStrictEqual(told.map(({ name }) => name), ["snakepit.history.off"])
      assert.match(String(told[0]!.attributes["cause"]), /below cannot be used/)
    }).pipe(Effect.provide(History.History.layer.pipe(Layer.provide(EventBus.EventBus.layer)))))
})
