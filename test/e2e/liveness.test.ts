/** What is made of real workers that are frozen, hold the interpreter, loop or deadlock, and of a host that is held up itself. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { type Event, EventBus, Pool, Snakepit } from "snakepit"
import { config } from "./fixtures/Program.ts"
import { pidOf, recorder } from "./fixtures/Recorder.ts"
import { Tools } from "./fixtures/Tools.ts"

/** Short, so that the tests take seconds; two misses of 100 ms are no more than a computation of 0.5 s takes. */
const heartbeat = { interval: "200 millis", timeout: "100 millis", maxMissed: 2 }
const provided = Effect.provide(Snakepit.layer(config({}, { heartbeat, size: 1, stopGrace: "200 millis" })))

const of = (events: ReadonlyArray<Event.Event>, name: string) => events.filter((event) => event.name === `snakepit.${name}`)
const verdicts = (events: ReadonlyArray<Event.Event>) => of(events, "watchdog.verdict").map(({ attributes }) => attributes["verdict"])
const bites = (events: ReadonlyArray<Event.Event>) => of(events, "watchdog.bite").map(({ attributes }) => attributes["reason"])

describe("a real worker", () => {
  it.live("that was stopped is found by the kernel's word, counted and replaced", () =>
    Effect.gen(function*() {
      const { awaitEvent, events } = yield* recorder(0)
      const pid = yield* pidOf(0)
      process.kill(pid, "SIGSTOP")
      yield* awaitEvent("snakepit.worker_supervisor.recover")
      assert.deepStrictEqual(verdicts(events), ["stopped"])
      assert.deepStrictEqual(bites(events), ["WorkerStopped"])
      assert.deepInclude(of(events, "watchdog.verdict")[0]!.attributes, { pid, state: "stopped", was: "alive" })
      assert.strictEqual(of(events, "worker_supervisor.restart")[0]!.measurements["budgetLeft"], 2)
      assert.strictEqual(of(events, "process.start").at(-1)!.attributes["generation"], 1)
    }).pipe(Effect.scoped, Snakepit.supervised, provided))

  it.live("that computes and holds the interpreter for seconds is busy, and gives its result", () =>
    Effect.gen(function*() {
      const { events } = yield* recorder(0)
      const tools = yield* Pool.client(Tools)
      const took = yield* tools.hold_and_work({ seconds: 2 })
      assert.isAbove(took, 1) // five times as long as one that is still may be silent
      assert.include(verdicts(events), "busy")
      assert.deepStrictEqual(bites(events), [])
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
      assert.deepStrictEqual(of(events, "process.start"), [])
    }).pipe(Effect.scoped, Snakepit.supervised, provided))

  it.live("that deadlocks and holds the interpreter hangs, and is replaced", () =>
    Effect.gen(function*() {
      const { awaitEvent, events } = yield* recorder(0)
      const tools = yield* Pool.client(Tools)
      const error = yield* Effect.flip(tools.hold_and_deadlock({ waiting: 0 }))
      assert.strictEqual(error.executed, "unknown")
      yield* awaitEvent("snakepit.worker_supervisor.recover")
      assert.deepStrictEqual(bites(events), ["WorkerHung"])
      assert.include(of(events, "watchdog.bite")[0]!.attributes["cause"], "hangs in \"hold_and_deadlock\"")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    }).pipe(Effect.scoped, Snakepit.supervised, provided))

  it.live("that deadlocks and holds the interpreter is found as fast when its other threads ask for it all the time", () =>
    Effect.gen(function*() {
      const recorders = yield* Effect.all([recorder(0), recorder(1)])
      const tools = yield* Pool.client(Tools)
      yield* Effect.forEach([0, 24], (waiting) => Effect.flip(tools.hold_and_deadlock({ waiting })), { concurrency: 2 })
      for (const { events } of recorders) {
        assert.deepStrictEqual(verdicts(events), ["hung"])
        assert.strictEqual(of(events, "watchdog.verdict")[0]!.measurements["missed"], 2)
        assert.deepStrictEqual(bites(events), ["WorkerHung"])
      }
    }).pipe(
      Effect.scoped,
      Snakepit.supervised,
      // the default heartbeat: its looks are 250 ms apart, of which the 10 ms that the kernel counts in are less than what is work
      Effect.provide(Snakepit.layer(config({}, { size: 2, stopGrace: "200 millis" })))
    ))

  it.live("whose blocking tool sleeps and holds the interpreter is left alone", () =>
    Effect.gen(function*() {
      const { events } = yield* recorder(0)
      const tools = yield* Pool.client(Tools)
      assert.strictEqual(yield* tools.hold_and_sleep({ seconds: 2 }), "rested")
      assert.include(verdicts(events), "busy")
      assert.deepStrictEqual(bites(events), [])
      assert.deepStrictEqual(of(events, "process.start"), [])
    }).pipe(Effect.scoped, Snakepit.supervised, provided))

  for (const tool of ["loop_forever", "deadlock"] as const) {
    it.live(`that runs ${tool} answers its beats, and is replaced at the tool's hard limit`, () =>
      Effect.gen(function*() {
        const { awaitEvent, events } = yield* recorder(0)
        const tools = yield* Pool.client(Tools)
        const error = yield* Effect.flip(tools[tool]())
        assert.isTrue(error._tag === "CallTimeout" && error.replaced && error.began)
        yield* awaitEvent("snakepit.worker_supervisor.recover")
        assert.deepStrictEqual(bites(events), ["CallOverran"])
        assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
      }).pipe(Effect.scoped, Snakepit.supervised, provided))
  }
})

/** Holds up the event loop of this host. */
const block = (millis: number) =>
  Effect.sync(() => {
    const end = performance.now() + millis
    while (performance.now() < end);
  })

describe("a host whose event loop is blocked", () => {
  it.live("longer than its workers may be silent fails none, whatever they do, and enforces no deadline on what is over", () =>
    Effect.gen(function*() {
      const bus = yield* EventBus.EventBus
      const events: Array<Event.Event> = []
      yield* bus.tap("*", (event) => events.push(event))
      const tools = yield* Pool.client(Tools)
      const calls = yield* Effect.forEach(
        [tools.hold_and_work({ seconds: 0.5 }), tools.nap({ seconds: 0.5 }), tools.hold_and_sleep({ seconds: 1 })],
        (call) => Effect.forkChild(call, { startImmediately: true })
      )
      yield* Effect.sleep("300 millis") // all three are at work, and a beat is on its way
      yield* block(3500)
      const results = yield* Effect.forEach(calls, Fiber.join)
      assert.deepStrictEqual(results.slice(1), ["rested", "rested"])
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(bites(events), [])
      assert.deepStrictEqual(of(events, "process.start"), [])
      assert.deepStrictEqual(of(events, "worker_supervisor.restart"), [])
    }).pipe(
      Effect.scoped,
      Snakepit.supervised,
      Effect.provide(Snakepit.layer(config({}, { heartbeat, size: 3, callTimeout: "3 seconds", cancelGrace: "100 millis" })))
    ))
})
