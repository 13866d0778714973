import { assert, describe, it } from "@effect/vitest"
import { type Event, Supervisor } from "@snakepit/core"
import { EventBus, EventLog, History, HistoryPlace, type HistoryReader, TelemetryConfig, TelemetrySupervisor } from "@snakepit/telemetry"
import { Effect, Exit, Layer, Schema, Scope, Stream } from "effect"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { eventOf, startOf } from "./StoreLaws.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "history-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)
const config = Schema.decodeUnknownSync(TelemetryConfig.TelemetryConfig)({}).history
const now = Date.now() // what is much older is pruned
const eventAt = (at: number, name: string): Event.Event => eventOf(now + at, name, { path: "a/b" })
const restart = (at: number): Event.Event => eventAt(at, "snakepit.worker_supervisor.restart")

/** An application with nothing but telemetry, whose scope is closed by the test. */
const application = Effect.fnUntraced(function*(file: string, run = "one") {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const Live = Layer.merge(EventLog.EventLog.layer, History.History.layer).pipe(Layer.provideMerge(EventBus.EventBus.layer))
  return yield* Effect.gen(function*() {
    const context = yield* Layer.build(Live)
    return yield* Effect.gen(function*() {
      const bus = yield* EventBus.EventBus
      const history = yield* History.History
      yield* history.record({ config, place: { _tag: "File", file }, start: startOf(run) })
      const acknowledged: Array<HistoryReader.Recorded> = []
      yield* Effect.forkScoped(
        Stream.runForEach(history.acknowledged, (recorded) => Effect.sync(() => acknowledged.push(recorded))),
        { startImmediately: true }
      )
      const start = Effect.provide(Scope.provide(Supervisor.start(TelemetrySupervisor.make({})), scope), context)
      const until = (name: string) =>
        Effect.gen(function*() {
          const find = () => acknowledged.find(({ event }) => event.name === name)
          while (find() === undefined) yield* Effect.sleep(5)
          return find()!
        })
      return { bus, history, acknowledged, start, until, close: Scope.close(scope, Exit.void) }
    }).pipe(Effect.provide(context))
  }).pipe(Scope.provide(scope))
})

const read = (file: string, query: HistoryReader.Query = {}) => Stream.runCollect(HistoryPlace.reader({ _tag: "File", file }).events(query))
const restartsIn = (recorded: ReadonlyArray<HistoryReader.Recorded>) =>
  recorded.filter(({ event }) => event.name === "snakepit.worker_supervisor.restart").map(({ event }) => event.at - now)
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index)

describe("the history of an application", () => {
  it.live(
    "acknowledges what can be read, also what was told before it was up, and leaves out what explains nothing",
    () =>
      Effect.gen(function*() {
        const file = join(yield* folder, "history.sqlite")
        const { acknowledged, bus, history, start, until } = yield* application(file)
        assert.isUndefined(yield* history.recorded)
        bus.emit(restart(1))
        bus.emit(eventAt(2, "snakepit.pool.queue.depth"))
        bus.emit(eventAt(3, "snakepit.python.custom"))
        bus.emit(eventAt(3, "snakepit.worker_supervisor.stand"))
        yield* start
        bus.emit(eventAt(4, "snakepit.pool.open"))
        yield* until("snakepit.pool.open")
        const found = yield* read(file)
        assert.strictEqual(JSON.stringify(found.slice(0, acknowledged.length)), JSON.stringify(acknowledged))
        const own = found.filter(({ event }) => event.attributes["path"] === "a/b")
        assert.deepStrictEqual(own.map(({ event }) => event.at - now), [1, 4])
        assert.isAtLeast((yield* history.recorded)!, found.at(-1)!.seq)
        assert.deepStrictEqual(yield* Stream.runCollect((yield* history.reader).events({})), found)
      }),
    60_000
  )

  it.live("stores each event once, in order, whatever becomes of the child that writes them", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "history.sqlite")
      const { acknowledged, bus, close, start } = yield* application(file)
      const telemetry = yield* start
      for (let round = 0; round < 5; round++) {
        for (const at of numbers(300, round * 300)) bus.emit(restart(at))
        while (acknowledged.length < round * 100) yield* Effect.sleep(1)
        yield* Effect.ignore(telemetry.failChild("history", new Error("on purpose")))
      }
      yield* close
      assert.deepStrictEqual(restartsIn(yield* read(file)), numbers(1500))
    }), 60_000)

  it.live("waits for a store that is not there without failing anything, and tells what it had to drop", () =>
    Effect.gen(function*() {
      const missing = join(yield* folder, "not", "yet")
      const { bus, history, start, until } = yield* application(join(missing, "history.sqlite"))
      const telemetry = yield* start
      for (const at of numbers(6000)) bus.emit(eventAt(at, "snakepit.call.fail"))
      for (const at of numbers(10_000)) bus.emit(restart(at))
      const dropped = yield* history.dropped
      assert.isAtLeast(dropped, 6000)
      assert.strictEqual((yield* telemetry.tree).budgetLeft, Number.POSITIVE_INFINITY)
      mkdirSync(missing, { recursive: true })
      const gap = yield* until("snakepit.history.gap")
      assert.strictEqual(gap.event.measurements["dropped"], yield* history.dropped)
      assert.deepStrictEqual(restartsIn(yield* read(join(missing, "history.sqlite"))).at(-1), 9999)
    }), 60_000)

  it.live("sets a damaged file aside, says so, and goes on in a new one", () =>
    Effect.gen(function*() {
      const path = yield* folder
      const file = join(path, "history.sqlite")
      writeFileSync(file, Buffer.alloc(8192, "x"))
      const { bus, start, until } = yield* application(file)
      bus.emit(restart(1))
      yield* start
      const told = yield* until("snakepit.history.set_aside")
      assert.isTrue(existsSync(String(told.event.attributes["aside"])))
      assert.strictEqual(readdirSync(path).filter((name) => name.endsWith(".corrupt")).length, 1)
      assert.deepStrictEqual(restartsIn(yield* read(file)), [1])
    }), 60_000)

  it.live("has the last events of the tree, and its end only when that was in order", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "history.sqlite")
      const ended = Effect.map(HistoryPlace.reader({ _tag: "File", file }).runs, (runs) => runs.map(({ endedAt }) => endedAt !== undefined))
      const first = yield* application(file, "one")
      yield* first.start
      yield* first.close
      assert.deepStrictEqual(yield* ended, [false])
      const second = yield* application(file, "two")
      yield* second.start
      yield* second.history.endsInOrder
      yield* second.close
      assert.deepStrictEqual(yield* ended, [false, true])
      assert.strictEqual((yield* read(file, { run: "two", name: "snakepit.telemetry_supervisor.terminate" })).length, 1)
    }), 60_000)
})
