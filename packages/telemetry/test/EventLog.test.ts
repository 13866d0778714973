import { assert, describe, it } from "@effect/vitest"
import { type Event, Supervisor } from "@snakepit/core"
import { EventBus, EventLog, History, TelemetrySupervisor } from "@snakepit/telemetry"
import { Effect, Fiber, Layer, Stream } from "effect"
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const event = (n: number): Event.Event => ({ name: `snakepit.number.${n}`, at: n, measurements: { n }, attributes: {} })
const numbers = (events: ReadonlyArray<Event.Event>) =>
  events.filter(({ name }) => name.startsWith("snakepit.number.")).map(({ measurements }) => measurements["n"])

const Live = Layer.merge(EventLog.EventLog.layer, History.History.layer).pipe(Layer.provideMerge(EventBus.EventBus.layer))

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "event-log-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** What is told at intervals. */
const intervals = [
  "snakepit.pool.sample",
  "snakepit.python.memory.sampled",
  "snakepit.python.cpu.sampled",
  "snakepit.python.gc.completed",
  "snakepit.python.gpu.sampled"
]

/** Lets the log take in what was emitted. */
const settle = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow)

describe("the event log", () => {
  it.effect("remembers events in order, also those from before it was started", () =>
    Effect.gen(function*() {
      const bus = yield* EventBus.EventBus
      const log = yield* EventLog.EventLog
      bus.emit(event(1))
      yield* Supervisor.start(TelemetrySupervisor.make({}))
      bus.emit(event(2))
      yield* settle
      assert.deepStrictEqual(numbers(yield* log.recent()), [1, 2])
      assert.deepStrictEqual(numbers(yield* log.recent("*.2")), [2])
    }).pipe(Effect.provide(Live)))

  it.effect("keeps what happens, and not how each pool and worker is each time that it is looked at", () =>
    Effect.gen(function*() {
      const bus = yield* EventBus.EventBus
      const log = yield* EventLog.EventLog
      yield* Supervisor.start(TelemetrySupervisor.make({}))
      for (const name of intervals) bus.emit({ ...event(1), name })
      bus.emit(event(2))
      yield* settle
      assert.deepStrictEqual((yield* log.recent()).filter(({ name }) => intervals.includes(name)), [])
      assert.deepStrictEqual(numbers(yield* log.recent()), [2])
    }).pipe(Effect.provide(Live)))

  it.effect("is followed from the moment that the stream runs", () =>
    Effect.gen(function*() {
      const bus = yield* EventBus.EventBus
      const log = yield* EventLog.EventLog
      yield* Supervisor.start(TelemetrySupervisor.make({}))
      bus.emit(event(1))
      yield* settle
      const followed = yield* Effect.forkChild(Stream.runCollect(Stream.take(log.follow("snakepit.number.*"), 2)), {
        startImmediately: true
      })
      yield* settle
      bus.emit(event(2))
      bus.emit(event(3))
      assert.deepStrictEqual(numbers(yield* Fiber.join(followed)), [2, 3])
    }).pipe(Effect.provide(Live)))

  it.effect("drops the oldest and counts them when nobody takes them in", () =>
    Effect.gen(function*() {
      const bus = yield* EventBus.EventBus
      const log = yield* EventLog.EventLog
      for (let n = 0; n < 10_005; n++) bus.emit(event(n))
      assert.strictEqual(yield* log.dropped, 5)
      yield* Supervisor.start(TelemetrySupervisor.make({}))
      yield* settle
      assert.strictEqual(numbers(yield* log.recent())[0], 6) // the supervisor's own start took one more place
    }).pipe(Effect.provide(Live)))

  it.live("appends every event to its file, also those from while it was being restarted", () =>
    Effect.gen(function*() {
      const bus = yield* EventBus.EventBus
      const log = yield* EventLog.EventLog
      const file = join(yield* folder, "events.ndjson")
      bus.emit(event(1))
      const recovered = yield* Effect.forkChild(Stream.runHead(log.follow("snakepit.telemetry_supervisor.recover")), {
        startImmediately: true
      })
      const telemetry = yield* Supervisor.start(TelemetrySupervisor.make({ eventLog: file }))
      yield* Effect.orDie(telemetry.failChild("event_log", new Error("on purpose")))
      bus.emit(event(2))
      yield* Fiber.join(recovered)
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      const lines = readFileSync(file, "utf8").trim().split("\n").map((line): Event.Event => JSON.parse(line))
      assert.deepStrictEqual(numbers(lines), [1, 2])
      assert.strictEqual(lines.filter(({ name }) => name === "snakepit.telemetry_supervisor.restart").length, 1)
    }).pipe(Effect.provide(Live)))
})
