/** The path of a call to real Python and back. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import { Pool, Snakepit, Tree } from "snakepit"
import { journal, linesOf } from "./fixtures/Journal.ts"
import { config, until } from "./fixtures/Program.ts"
import { Tools } from "./fixtures/Tools.ts"

const Live = Snakepit.layer(config({}, { credit: 8, callTimeout: "1 second", cancelGrace: "300 millis", maxPayload: 100_000 }))

describe("a call to Python", () => {
  layer(Live, { excludeTestServices: true, timeout: "30 seconds" })((it) => {
    it.effect("comes back with the result that its contract types", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        assert.strictEqual(yield* tools.add({ a: 1, b: 2 }), 3)
        assert.isUndefined(yield* tools.nothing())
        assert.deepStrictEqual(yield* tools.echo({ data: new Uint8Array([0, 255, 7]) }), new Uint8Array([0, 255, 7]))
      }))

    it.effect("many at once come back each with its own", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const sums = yield* Effect.forEach(
          Array.from({ length: 500 }, (_, i) => i),
          (i) => tools.add({ a: i, b: i }),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(sums, Array.from({ length: 500 }, (_, i) => 2 * i))
      }))

    it.effect("streams every element in order", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const elements = yield* Stream.runCollect(tools.count({ n: 1000 }))
        assert.deepStrictEqual(elements, Array.from({ length: 1000 }, (_, i) => i))
      }))

    it.effect("whose consumer is slow stops the generator after the credit, and closes it when it ends early", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const file = yield* journal
        const taken = yield* tools.slow_count({ n: 100_000, journal: file }).pipe(
          Stream.take(3),
          Stream.tap(() => Effect.promise(() => until(() => linesOf(file).length, (n) => n >= 9, 300))),
          Stream.runCollect
        )
        assert.deepStrictEqual(taken, [0, 1, 2])
        const closed = yield* Effect.promise(() => until(() => linesOf(file), (all) => all.at(-1) === "closed"))
        assert.strictEqual(closed.at(-1), "closed")
        assert.isAtMost(closed.length - 1, 8 + 3 + 1) // the credit, what was taken, and the one the generator waits with
      }))

    it.effect("that raises carries type, message, notes, frames and cause", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const error = yield* Effect.flip(tools.fail({ token: "x" }))
        if (error._tag !== "PythonError") return assert.fail(error._tag)
        assert.strictEqual(error.executed, "failed")
        assert.strictEqual(error.exception.type, "ValueError")
        assert.strictEqual(error.exception.message, "bad token x")
        assert.deepStrictEqual(error.exception.notes, ["tokens are listed in the manual"])
        assert.strictEqual(error.exception.frames.at(-1)?.function, "fail")
        assert.strictEqual(error.exception.cause?.type, "KeyError")
        assert.match(error.traceback, /^KeyError: .*which was the cause of\nValueError: bad token x/s)
      }))

    it.effect("with arguments of the wrong type is refused by the contract before it is sent", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const error = yield* Effect.flip(tools.add({ a: "1" as unknown as number, b: 2 }))
        assert.strictEqual(error._tag, "InvalidPayload")
        assert.include(error.message, `["a"]`)
      }))

    it.effect("with arguments beyond maxPayload is refused, and one with such a result is told", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const error = yield* Effect.flip(tools.echo({ data: new Uint8Array(100_001) }))
        assert.strictEqual(error._tag, "PayloadTooLarge")
        const whole = yield* Effect.exit(tools.echo({ data: new Uint8Array(99_900) }))
        assert.isTrue(Exit.isSuccess(whole))
      }))

    it.effect("whose worker dies while it runs is reported, not run again", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const error = yield* Effect.flip(tools.die({ code: 9 }))
        assert.include(error, { _tag: "WorkerCrashed", executed: "unknown" })
        assert.include(error.message, "its process ended with code 9")
        assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
      }))

    it.effect("that is interrupted while it waits for a worker never runs", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const file = yield* journal
        const busy = yield* Effect.forkChild(
          Effect.all([tools.nap({ seconds: 0.4 }), tools.nap({ seconds: 0.4 })], { concurrency: 2 }),
          { startImmediately: true }
        )
        const waiting = yield* Effect.forkChild(tools.note({ journal: file, text: "ran", seconds: 0 }), { startImmediately: true })
        yield* Fiber.interrupt(waiting)
        yield* Fiber.join(busy)
        yield* Effect.all([tools.nothing(), tools.nothing()], { concurrency: 2 })
        assert.deepStrictEqual(linesOf(file), [])
      }))

    it.effect("that outlasts its limit is told so; the worker that does not stop is replaced", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const error = yield* Effect.flip(tools.nap({ seconds: 600 }))
        assert.strictEqual(error._tag, "CallTimeout")
        const { tree } = yield* Snakepit.Snakepit
        const restarted = Effect.map(
          tree,
          (node) => Tree.flatten(node).filter(({ id, restarts }) => id === "process" && restarts > 0).length
        )
        assert.isAtLeast(yield* Effect.promise(() => until(() => Effect.runPromise(restarted), (n) => n >= 1)), 1)
        assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
      }))
  })
})
