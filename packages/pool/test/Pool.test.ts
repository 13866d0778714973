import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { Pool } from "../src/index.ts"
import { after, begin, errorOf, openPools, scoped } from "./OpenPools.ts"

describe("a call", () => {
  it.effect("gives the decoded result", () =>
    Effect.gen(function*() {
      const { tools } = yield* openPools()
      assert.strictEqual(yield* tools.add({ a: 2, b: 3 }), 5)
    }))

  it.effect("without arguments and result is answered too", () =>
    Effect.gen(function*() {
      const { tools } = yield* openPools()
      assert.isUndefined(yield* tools.ping())
    }))

  it.effect("gives the elements of a stream in order", () =>
    Effect.gen(function*() {
      const { tools } = yield* openPools()
      const call = yield* begin(Stream.runCollect(tools.steps({ n: 5 })))
      yield* after("1 second")
      assert.deepStrictEqual(yield* Fiber.join(call), [0, 1, 2, 3, 4])
    }))

  it.effect("of an empty stream ends", () =>
    Effect.gen(function*() {
      const { tools } = yield* openPools()
      const call = yield* begin(Stream.runCollect(tools.steps({ n: 0 })))
      yield* after("1 second")
      assert.deepStrictEqual(yield* Fiber.join(call), [])
    }))

  it.effect("goes to whichever worker is free", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 3 } } })
      const calls = yield* begin(Effect.all([0, 1, 2].map((n) => tools.record({ n })), { concurrency: "unbounded" }))
      yield* after("1 second")
      assert.deepStrictEqual(yield* Fiber.join(calls), [0, 1, 2])
      assert.deepStrictEqual(scripted.journal.map(({ worker }) => worker).toSorted(), ["default/0", "default/1", "default/2"])
    }))

  it.effect("that waits is served first in, first out", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      for (const n of [0, 1, 2, 3]) yield* begin(tools.record({ n }))
      yield* after("4 seconds")
      assert.deepStrictEqual(scripted.journal.map(({ args }) => (args as { n: number }).n), [0, 1, 2, 3])
    }))

  it.effect("to a pool that does not exist names those that do", () =>
    Effect.gen(function*() {
      const { client } = yield* openPools({ pools: { gpu: {}, cpu: {} } })
      const error = yield* Effect.flip(client("tpu"))
      assert.deepStrictEqual(error.available, ["gpu", "cpu"])
    }))
})

describe("a call is refused", () => {
  it.effect("with arguments that do not fit the contract", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools()
      const error = yield* Effect.flip(tools.add({ a: 1.5, b: 2 }))
      assert.strictEqual(error._tag, "InvalidPayload")
      assert.include(error.message, "\"a\"")
      assert.deepStrictEqual(scripted.journal, [])
    }))

  it.effect("when its arguments are too large", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { maxPayload: 1024 } } })
      const error = yield* Effect.flip(tools.length({ text: "x".repeat(1024) }))
      assert.isTrue(error._tag === "PayloadTooLarge" && error.bytes > 1024 && error.limit === 1024)
      assert.deepStrictEqual(scripted.journal, [])
    }))

  it.effect("by a tool that the adapter does not have, with those it has", () =>
    Effect.gen(function*() {
      const { tools } = yield* openPools()
      const error = yield* Effect.flip(tools.nowhere())
      assert.isTrue(error._tag === "ToolNotFound" && error.available.includes("add"))
    }))

  it.effect("when the queue is full", () =>
    Effect.gen(function*() {
      const { ledger, tools } = yield* openPools({ pools: { default: { size: 1, queue: { capacity: 2 } } } })
      for (const n of [0, 1, 2]) yield* begin(tools.record({ n }))
      const error = yield* Effect.flip(tools.record({ n: 3 }))
      assert.isTrue(error._tag === "QueueFull" && error.capacity === 2)
      assert.include(yield* ledger(), { accepted: 3, rejected: 1 })
    }))

  it.effect("when the queue is full, which is told once until the queue was half empty", () =>
    Effect.gen(function*() {
      const { recorded, tools } = yield* openPools({ pools: { default: { size: 1, queue: { capacity: 2 } } } })
      const told = () => recorded.events.filter(({ name }) => name === "snakepit.pool.saturate").map(({ measurements }) => measurements)
      const fill = Effect.gen(function*() {
        const calls = yield* Effect.forEach([0, 1, 2], (n) => begin(tools.record({ n })))
        for (const n of [3, 4]) assert.strictEqual((yield* Effect.flip(tools.record({ n })))._tag, "QueueFull")
        return calls
      })
      const calls = yield* fill
      assert.deepStrictEqual(told(), [{ queued: 2, capacity: 2 }])
      for (const call of calls) yield* Fiber.interrupt(call)
      yield* after("1 minute")
      yield* fill
      assert.deepStrictEqual(told(), [{ queued: 2, capacity: 2 }, { queued: 2, capacity: 2 }])
    }))
})

describe("a call fails", () => {
  it.effect("with a result that is too large", () =>
    Effect.gen(function*() {
      const { tools } = yield* openPools({ pools: { default: { maxPayload: 1024 } } })
      assert.strictEqual((yield* tools.large({ n: 1000 })).length, 1000)
      const error = yield* Effect.flip(tools.large({ n: 2000 }))
      assert.isTrue(error._tag === "ResultTooLarge" && error.executed === "failed" && error.limit === 1024)
    }))

  it.effect("with a result that does not fit the contract", () =>
    Effect.gen(function*() {
      const { tools } = yield* openPools()
      const error = yield* Effect.flip(tools.wrong())
      assert.strictEqual(error._tag, "InvalidResult")
      assert.strictEqual(error.executed, "failed")
    }))

  it.effect("with an element that does not fit the contract, after those that do", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools()
      const seen: Array<number> = []
      const error = yield* tools.wrongSteps().pipe(Stream.runForEach((n) => Effect.sync(() => seen.push(n))), Effect.flip)
      assert.strictEqual(error._tag, "InvalidResult")
      assert.deepStrictEqual(seen, [1])
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
      assert.strictEqual(scripted.journal.length, 2)
    }))

  it.effect("with a result that cannot be read, and the Dispatcher lives on", () =>
    Effect.gen(function*() {
      const { node, tools } = yield* openPools()
      const error = yield* Effect.flip(tools.garbled())
      assert.strictEqual(error._tag, "InvalidResult")
      assert.strictEqual((yield* node("default/control/dispatcher")).generation, 0)
    }))

  it.effect("with Python's exception, its causes and its traceback", () =>
    Effect.gen(function*() {
      const { tools } = yield* openPools()
      const error = yield* Effect.flip(tools.raises())
      assert.isTrue(error._tag === "PythonError")
      if (error._tag !== "PythonError") return
      assert.strictEqual(error.exception.type, "ValueError")
      assert.strictEqual(error.exception.cause?.type, "KeyError")
      assert.deepStrictEqual(error.traceback.split("\n"), [
        "KeyError: 'linear'",
        "  /models/registry.py:3  find  return models[name]",
        "which was the cause of",
        "ValueError: no such model",
        "while fitting",
        "  /models/fit.py:12  fit  raise ValueError(name)"
      ])
    }))

  it.effect("when it waited too long for a worker", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1, queue: { timeout: "1500 millis" } } } })
      yield* begin(tools.record({ n: 0 }))
      yield* begin(tools.record({ n: 1 }))
      const late = yield* begin(tools.record({ n: 2 }))
      yield* after("1490 millis")
      assert.isUndefined(late.pollUnsafe())
      yield* after("20 millis")
      const error = yield* errorOf(late)
      assert.isTrue(error._tag === "QueueTimeout" && error.waitedMillis >= 1500 && error.waitedMillis <= 1510)
      yield* after("5 seconds")
      assert.strictEqual(scripted.journal.length, 2)
    }))

  it.effect("when it takes too long, and a tool that does not stop costs its worker alone", () =>
    Effect.gen(function*() {
      const { node, recorded, scripted, tools } = yield* openPools()
      const call = yield* begin(tools.stubborn({ n: 1 }))
      yield* after("2010 millis")
      const error = yield* errorOf(call)
      assert.isTrue(error._tag === "CallTimeout" && error.began && error.timeoutMillis === 2000)
      assert.strictEqual(scripted.worker("default/0").generation(), 0)
      yield* after("5 seconds") // the grace
      assert.deepStrictEqual(recorded.ofVerb("bite").map(({ attributes }) => [attributes["slot"], attributes["tool"]]), [[0, "stubborn"]])
      yield* after("4 seconds") // the drain of the old process, and the delay
      assert.strictEqual(scripted.worker("default/0").generation(), 1)
      assert.strictEqual(scripted.worker("default/1").generation(), 0)
      const restart = recorded.ofVerb("restart")[0]!
      assert.deepInclude(restart.attributes, { child: "process", reason: "Failed", slot: 0 })
      assert.include(restart.attributes["cause"], "CallOverran")
      assert.strictEqual((yield* node("default/fleet/0/process")).status, "running")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    }))

  it.effect("when it takes too long, and a tool that stops in time keeps its worker", () =>
    Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools({ pools: { default: { size: 1, callTimeout: "500 millis" } } })
      const call = yield* begin(tools.record({ n: 1 }))
      yield* after("510 millis")
      assert.strictEqual((yield* errorOf(call))._tag, "CallTimeout")
      yield* after("10 seconds")
      assert.strictEqual(scripted.journal[0]!.outcome, "cancelled")
      assert.deepStrictEqual(recorded.ofVerb("bite"), [])
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    }))
})

describe("a caller who goes away", () => {
  it.effect("cancels the work, and the worker is free when the tool has ended", () =>
    Effect.gen(function*() {
      const { ledger, scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      const call = yield* begin(tools.record({ n: 1 }))
      yield* after("100 millis")
      yield* Fiber.interrupt(call)
      const next = yield* begin(tools.record({ n: 2 }))
      yield* after("2 seconds")
      assert.strictEqual(yield* Fiber.join(next), 2)
      assert.deepStrictEqual(scripted.journal.map(({ outcome }) => outcome), ["cancelled", "done"])
      assert.include(yield* ledger(), { accepted: 2, completed: 1, cancelled: 1 })
    }))

  it.effect("while the call waits, and the tool never runs", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      yield* begin(tools.record({ n: 1 }))
      const waiting = yield* begin(tools.record({ n: 2 }))
      yield* Fiber.interrupt(waiting)
      yield* after("5 seconds")
      assert.deepStrictEqual(scripted.journal.map(({ args }) => args), [{ n: 1 }])
    }))

  it.effect("from a stream before its end closes the generator", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      const call = yield* begin(tools.steps({ n: 1000 }).pipe(Stream.take(3), Stream.runCollect))
      yield* after("1 second")
      assert.deepStrictEqual(yield* Fiber.join(call), [0, 1, 2])
      assert.include(scripted.journal[0], { outcome: "cancelled" })
      assert.isAtMost(scripted.journal[0]!.elements, 4)
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    }))

  it.effect("as the loser of a race for one worker leaves that worker as it was", () =>
    Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      const race = yield* begin(Effect.raceFirst(tools.record({ n: 1 }), tools.record({ n: 2 })))
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(race), 1)
      yield* after("20 seconds")
      assert.deepStrictEqual(recorded.ofVerb("bite"), [])
      assert.strictEqual(scripted.worker("default/0").generation(), 0)
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    }))
})

describe("a stream", () => {
  it.effect("to a slow consumer is never further ahead than the credit", () =>
    Effect.gen(function*() {
      const credit = 8
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1, credit } } })
      let taken = 0
      let ahead = 0
      const call = yield* begin(
        tools.steps({ n: 100 }).pipe(
          Stream.rechunk(1),
          Stream.runForEach(() => {
            taken++
            ahead = Math.max(ahead, scripted.journal[0]!.elements - taken)
            return Effect.sleep("1 second")
          })
        )
      )
      yield* after("20 seconds")
      assert.isAtLeast(taken, 15)
      assert.isAtMost(ahead, credit)
      yield* after("100 seconds")
      yield* Fiber.join(call)
      assert.strictEqual(taken, 100)
      assert.isAtMost(ahead, credit)
    }))

  it.effect("to a consumer that does not ask stops the tool", () =>
    scoped(Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1, credit: 4 } } })
      yield* begin(tools.steps({ n: 100 }).pipe(Stream.rechunk(1), Stream.runForEach(() => Effect.never)))
      yield* after("60 seconds")
      assert.isAtMost(scripted.journal[0]!.elements, 5)
    })))

  it.effect("that is resumed is not further ahead than the credit either", () =>
    scoped(Effect.gen(function*() {
      const credit = 4
      const { roster, scripted, tools } = yield* openPools({ pools: { default: { size: 2, credit } } })
      yield* begin(tools.stepsResumed({ n: 100 }).pipe(Stream.rechunk(1), Stream.runForEach(() => Effect.never)))
      yield* after("2 seconds")
      yield* scripted.worker("default/0").crash()
      yield* after("5 seconds")
      const delivered = [...roster().state.calls.values()].map(({ delivered }) => delivered)
      assert.deepStrictEqual(delivered, [credit])
    })))
})

describe("two pools", () => {
  it.effect("have clients of their own", () =>
    Effect.gen(function*() {
      const { client, scripted } = yield* openPools({ pools: { a: {}, b: {} } })
      yield* (yield* client("a")).add({ a: 1, b: 1 })
      yield* (yield* client("b")).add({ a: 1, b: 1 })
      assert.deepStrictEqual(scripted.journal.map(({ worker }) => worker), ["a/0", "b/0"])
    }))

  it.effect("tell what each has done", () =>
    Effect.gen(function*() {
      const { client, ledger, provided } = yield* openPools({ pools: { a: {}, b: {} } })
      yield* (yield* client("a")).add({ a: 1, b: 1 })
      assert.include(yield* ledger("a"), { accepted: 1, completed: 1 })
      assert.include(yield* ledger("b"), { accepted: 0 })
      assert.strictEqual((yield* Effect.flip(Pool.ledger("c").pipe(provided)))._tag, "PoolNotFound")
    }))
})
