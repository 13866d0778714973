/** Sessions, tenants and deadlines, through the client of a pool on scripted workers. */
import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@snakepit/core"
import { Effect, Fiber } from "effect"
import { after, begin, errorOf, openPools, scoped } from "./OpenPools.ts"

const names = (events: ReadonlyArray<Event.Event>, name: string) => events.filter((event) => event.name === name)

describe("a session", () => {
  it.effect("by hint goes to the worker that served it, and elsewhere when that one is busier", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 2, prefetch: 4 } } })
      yield* begin(tools.record({ n: 0 }))
      yield* begin(tools.record({ n: 1 }, { session: "s" }))
      yield* after("1 second")
      for (const n of [2, 3, 4]) yield* begin(tools.record({ n }, { session: "s" }))
      yield* after("4 seconds")
      const workers = scripted.journal.toSorted((a, b) => a.call - b.call).map(({ worker }) => worker)
      assert.deepStrictEqual(workers, ["default/0", "default/1", "default/1", "default/1", "default/0"])
    }))

  it.effect("by hint goes on with another worker when its own is gone", () =>
    Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools()
      const first = yield* begin(tools.again({ n: 1 }, { session: "s" }))
      yield* after("500 millis")
      yield* scripted.worker("default/0").crash()
      yield* after("1050 millis")
      assert.strictEqual(yield* Fiber.join(first), 1)
      assert.deepStrictEqual(scripted.journal.map(({ worker }) => worker), ["default/0", "default/1"])
      const [lose, ...more] = names(recorded.events, "snakepit.session.lose")
      const [detach] = names(recorded.events, "snakepit.worker.detach")
      assert.isEmpty(more)
      assert.isString(lose?.attributes["incident"])
      assert.strictEqual(lose?.attributes["incident"], detach?.attributes["incident"])
    }))

  it.effect("by strict_queue waits for its worker while another is free", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { affinity: "strict_queue", prefetch: 0 } } })
      for (const n of [0, 1, 2]) yield* begin(tools.record({ n }, { session: "s" }))
      const free = yield* begin(tools.record({ n: 3 }))
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(free), 3)
      yield* after("2 seconds")
      const workers = scripted.journal.toSorted((a, b) => a.call - b.call).map(({ worker }) => worker)
      assert.deepStrictEqual(workers, ["default/0", "default/0", "default/0", "default/1"])
    }))

  it.effect("by strict_queue is told that its worker is gone, once, and never moved", () =>
    Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools({ pools: { default: { affinity: "strict_queue", prefetch: 0 } } })
      const running = yield* begin(tools.again({ n: 0 }, { session: "s" }))
      const waiting = yield* begin(tools.again({ n: 1 }, { session: "s" }))
      yield* begin(tools.again({ n: 2 }, { session: "t" }))
      yield* after("500 millis")
      yield* scripted.worker("default/0").crash()
      yield* after("1 second")
      assert.strictEqual((yield* errorOf(running))._tag, "WorkerCrashed") // idempotent, and not tried elsewhere
      const error = yield* errorOf(waiting)
      assert.isTrue(error._tag === "SessionLost" && error.executed === "no" && error.worker === "default/0" && error.session === "s")
      const [lose] = names(recorded.events, "snakepit.session.lose") as ReadonlyArray<any>
      assert.include(lose.measurements, { sessions: 1 })
      const anew = yield* begin(tools.again({ n: 3 }, { session: "s" }))
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(anew), 3)
    }))

  it.effect("by strict_queue that did not wait is told by its next call", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { affinity: "strict_queue" } } })
      yield* tools.add({ a: 1, b: 1 }, { session: "s" })
      yield* scripted.worker("default/0").crash()
      yield* after("1 second")
      assert.strictEqual((yield* Effect.flip(tools.add({ a: 1, b: 1 }, { session: "s" })))._tag, "SessionLost")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }, { session: "s" }), 2)
    }))

  it.effect("by strict_fail_fast is refused while its worker is busy", () =>
    Effect.gen(function*() {
      const { tools } = yield* openPools({ pools: { default: { affinity: "strict_fail_fast" } } })
      yield* begin(tools.record({ n: 0 }, { session: "s" }))
      const error = yield* Effect.flip(tools.record({ n: 1 }, { session: "s" }))
      assert.isTrue(error._tag === "SessionBusy" && error.executed === "no" && error.worker === "default/0")
      yield* after("1 second")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }, { session: "s" }), 2)
    }))
})

describe("tenants", () => {
  it.effect("take turns, whoever came first with how many", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1, prefetch: 0 } } })
      for (const n of [0, 1, 2, 3]) yield* begin(tools.record({ n }, { tenant: "heavy" }))
      for (const n of [10, 11]) yield* begin(tools.record({ n }, { tenant: "light" }))
      yield* after("6 seconds")
      assert.deepStrictEqual(scripted.journal.map(({ args }) => (args as { n: number }).n), [0, 1, 10, 2, 11, 3])
    }))

  it.effect("fill no more of the queue than their share", () =>
    Effect.gen(function*() {
      const { tools } = yield* openPools({ pools: { default: { size: 1, prefetch: 0, queue: { perTenant: 1 } } } })
      for (const n of [0, 1]) yield* begin(tools.record({ n }, { tenant: "heavy" }))
      const error = yield* Effect.flip(tools.record({ n: 2 }, { tenant: "heavy" }))
      assert.isTrue(error._tag === "QueueFull" && error.tenant === "heavy" && error.capacity === 1)
      const light = yield* begin(tools.record({ n: 3 }, { tenant: "light" }))
      yield* after("3 seconds")
      assert.strictEqual(yield* Fiber.join(light), 3)
    }))
})

describe("a deadline", () => {
  it.effect("that passes in the queue: the call did not run", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      yield* begin(tools.record({ n: 0 }))
      const late = yield* begin(tools.record({ n: 1 }, { deadline: "500 millis" }))
      yield* after("510 millis")
      const error = yield* errorOf(late)
      assert.isTrue(error._tag === "DeadlineExceeded" && error.executed === "no" && error.deadlineMillis === 500)
      yield* after("2 seconds")
      assert.strictEqual(scripted.journal.length, 1)
    }))

  it.effect("that passes on a worker: it is told to stop, and how it ended is an event", () =>
    scoped(Effect.gen(function*() {
      const { recorded, tools } = yield* openPools()
      const late = yield* begin(tools.record({ n: 1 }, { deadline: "500 millis" }))
      yield* after("510 millis")
      const error = yield* errorOf(late)
      assert.isTrue(error._tag === "DeadlineExceeded" && error.executed === "unknown" && error.worker === "default/0")
      yield* after("1 second")
      const [cancel] = names(recorded.events, "snakepit.call.cancel") as ReadonlyArray<any>
      assert.include(cancel.attributes, { slot: 0, tool: "record", because: "deadline", how: "finished" })
    })))

  it.effect("is spent by attempts together", () =>
    scoped(Effect.gen(function*() {
      const { scripted, tools } = yield* openPools()
      const call = yield* begin(tools.again({ n: 1 }, { deadline: "1200 millis" }))
      yield* after("700 millis")
      yield* scripted.worker("default/0").crash()
      yield* after("510 millis")
      assert.strictEqual((yield* errorOf(call))._tag, "DeadlineExceeded")
      assert.strictEqual(scripted.journal.length, 2)
    })))
})

describe("a call that was cancelled", () => {
  it.effect("and does not stop within the grace: its worker is recycled, and the event says so", () =>
    scoped(Effect.gen(function*() {
      const { recorded, tools } = yield* openPools({ pools: { default: { cancelGrace: "1 second" } } })
      const call = yield* begin(tools.stubborn({ n: 1 }))
      const waiting = yield* begin(Effect.all([tools.record({ n: 2 }), tools.record({ n: 3 })], { concurrency: 2 }))
      yield* after("100 millis")
      yield* Fiber.interrupt(call)
      yield* Fiber.interrupt(waiting)
      yield* after("3 seconds")
      const events = names(recorded.events, "snakepit.call.cancel") as ReadonlyArray<any>
      const told = events.map(({ attributes: { because, how, tool } }) => [tool, because, how])
      assert.deepStrictEqual(told, [["record", "caller", "queued"], ["record", "caller", "finished"], ["stubborn", "caller", "recycled"]])
    })))
})
