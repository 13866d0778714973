import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Tool } from "../src/index.ts"
import type { ScriptedTool } from "../src/testing/index.ts"
import { after, begin, errorOf, scoped } from "./OpenPools.ts"
import { openTools } from "./OpenTools.ts"

const numbers = { numbers: Tool.InputStream(Schema.Int) }

class Sums extends RpcGroup.make(
  Rpc.make("total", { payload: { from: Schema.Int, ...numbers }, success: Schema.Int }).annotate(Tool.Idempotent, true),
  Rpc.make("running", { payload: numbers, success: Schema.Int, stream: true }),
  Rpc.make("first", { payload: numbers, success: Schema.Int }),
  Rpc.make("patient", { payload: numbers, success: Schema.String }),
  Rpc.make("days", { payload: { days: Tool.InputStream(Schema.DateFromString) }, success: Schema.String })
) {}

interface Numbers {
  readonly numbers: ScriptedTool.Inputs<number>
}

const tools = {
  total: {
    input: "numbers",
    run: ({ from, numbers }: Numbers & { readonly from: number }) => Stream.runFold(numbers, () => from, (sum, n) => sum + n)
  },
  running: { input: "numbers", streams: true, run: ({ numbers }: Numbers) => Stream.scan(numbers, () => 0, (sum, n) => sum + n) },
  first: { input: "numbers", run: ({ numbers }: Numbers) => Effect.map(Stream.runCollect(Stream.take(numbers, 1)), ([n]) => n) },
  /** Puts things in order when its inputs fail, and returns all the same. */
  patient: {
    input: "numbers",
    run: ({ numbers }: Numbers) =>
      Stream.runDrain(numbers).pipe(
        Effect.as("whole"),
        Effect.catch((error) => Effect.as(Effect.sleep("1 second"), `told: ${error.message}`))
      )
  },
  days: {
    input: "days",
    run: ({ days }: { readonly days: ScriptedTool.Inputs<string> }) => Effect.map(Stream.runCollect(days), (days) => days.join())
  }
} satisfies Record<string, ScriptedTool.ScriptedTool>

const open = Effect.fnUntraced(function*(pools?: Parameters<typeof openTools>[1]) {
  const opened = yield* openTools(tools, pools)
  return { ...opened, sums: yield* opened.clientOf(Sums) }
})

class Boom extends Schema.TaggedError<Boom>()("Boom", { at: Schema.Int }) {}

describe("a stream of inputs", () => {
  it.effect("arrives whole and in order, beside the other arguments", () =>
    Effect.gen(function*() {
      const { scripted, sums } = yield* open()
      assert.strictEqual(yield* sums.total({ from: 5, numbers: Stream.range(1, 1000) }), 500_505)
      assert.strictEqual(scripted.journal[0]!.inputs, 1000)
    }))

  it.effect("may be empty", () =>
    Effect.gen(function*() {
      const { sums } = yield* open()
      assert.strictEqual(yield* sums.total({ from: 5, numbers: Stream.empty }), 5)
    }))

  it.effect("is encoded by the contract", () =>
    Effect.gen(function*() {
      const { sums } = yield* open()
      const days = Stream.make(new Date("2026-01-02T00:00:00.000Z"))
      assert.strictEqual(yield* sums.days({ days }), "2026-01-02T00:00:00.000Z")
    }))

  it.effect("goes in while results come out", () =>
    Effect.gen(function*() {
      const { sums } = yield* open()
      const seen = yield* Stream.runCollect(sums.running({ numbers: Stream.range(1, 200) }))
      assert.strictEqual(seen.length, 201)
      assert.strictEqual(seen.at(-1), 20_100)
    }))

  it.effect("is pulled only as far as its tool has room", () =>
    scoped(Effect.gen(function*() {
      const { sums } = yield* open()
      let pulled = 0
      const endless = Stream.range(1, 1_000_000).pipe(Stream.rechunk(1), Stream.tap(() => Effect.sync(() => pulled++)))
      const results = sums.running({ numbers: endless }).pipe(Stream.rechunk(1), Stream.runForEach(() => Effect.sleep("1 second")))
      yield* begin(results)
      yield* after("10 seconds")
      assert.isAtLeast(pulled, 10)
      assert.isAtMost(pulled, 10 + 64 + 2 * 16) // taken, the credit of the results, and two windows of inputs
    })))

  it.effect("is not pulled before the call has begun", () =>
    scoped(Effect.gen(function*() {
      const { sums } = yield* open()
      let pulled = 0
      yield* begin(sums.patient({ numbers: Stream.never }))
      yield* begin(sums.first({ numbers: Stream.fromEffect(Effect.sync(() => ++pulled)) }))
      yield* after("10 seconds")
      assert.strictEqual(pulled, 0)
    })))

  it.effect("is interrupted when the tool is over first", () =>
    Effect.gen(function*() {
      const { sums } = yield* open()
      let released = false
      const numbers = Stream.fromEffectRepeat(Effect.succeed(7)).pipe(
        Stream.rechunk(1),
        Stream.ensuring(Effect.sync(() => released = true))
      )
      assert.strictEqual(yield* sums.first({ numbers }), 7)
      assert.isTrue(released)
    }))

  it.effect("is interrupted with the call, and Python is told", () =>
    Effect.gen(function*() {
      const { scripted, sums } = yield* open()
      let released = false
      const call = yield* begin(sums.total({ from: 0, numbers: Stream.never.pipe(Stream.ensuring(Effect.sync(() => released = true))) }))
      yield* after("1 second")
      yield* Fiber.interrupt(call)
      yield* after("1 second")
      assert.isTrue(released)
      assert.include(scripted.journal[0], { outcome: "cancelled", how: "async" })
    }))
})

describe("a stream of inputs that fails", () => {
  const failing = Stream.concat(Stream.range(1, 5), Stream.fail(new Boom({ at: 6 })))

  it.effect("fails the call with its own error", () =>
    Effect.gen(function*() {
      const { sums } = yield* open()
      const error = yield* Effect.flip(sums.total({ from: 0, numbers: failing }))
      assert.isTrue(error instanceof Boom && error.at === 6)
    }))

  it.effect("reaches Python first, which may put things in order", () =>
    Effect.gen(function*() {
      const { scripted, sums } = yield* open()
      const call = yield* begin(sums.patient({ numbers: failing }))
      yield* after("500 millis")
      assert.isUndefined(call.pollUnsafe())
      yield* after("1 second")
      assert.strictEqual((yield* errorOf(call))._tag, "Boom")
      assert.include(scripted.journal[0], { outcome: "done", inputs: 5 })
    }))

  it.effect("fails a stream of results after the last of them", () =>
    Effect.gen(function*() {
      const { sums } = yield* open()
      const seen: Array<number> = []
      const error = yield* Effect.flip(Stream.runForEach(sums.running({ numbers: failing }), (n) => Effect.sync(() => seen.push(n))))
      assert.strictEqual(error._tag, "Boom")
      assert.deepStrictEqual(seen, [0, 1, 3, 6, 10, 15])
    }))

  it.effect("with a defect is a defect of the call", () =>
    Effect.gen(function*() {
      const { sums } = yield* open()
      const exit = yield* Effect.exit(sums.total({ from: 0, numbers: Stream.die("a mistake") }))
      assert.include(String(exit), "a mistake")
    }))
})

describe("an element that cannot be sent", () => {
  it.effect("because it does not fit the contract names its position", () =>
    Effect.gen(function*() {
      const { scripted, sums } = yield* open()
      const error = yield* Effect.flip(sums.total({ from: 0, numbers: Stream.make(1, 2, 2.5, 3) }))
      assert.isTrue(error._tag === "InvalidInput" && error.position === 2 && error.executed === "unknown")
      assert.include(scripted.journal[0], { outcome: "raised", inputs: 2 })
    }))

  it.effect("because it is too large says so", () =>
    Effect.gen(function*() {
      class Texts extends RpcGroup.make(
        Rpc.make("count", { payload: { texts: Tool.InputStream(Schema.String) }, success: Schema.Int })
      ) {}
      const run = ({ texts }: { readonly texts: ScriptedTool.Inputs<string> }) => Stream.runCount(texts)
      const { clientOf } = yield* openTools({ count: { input: "texts", run } }, { pools: { default: { maxPayload: 1024 } } })
      const texts = yield* clientOf(Texts)
      const error = yield* Effect.flip(texts.count({ texts: Stream.make("short", "x".repeat(2000)) }))
      assert.isTrue(error._tag === "InvalidInput" && error.position === 1)
      assert.include(error.message, "1024")
    }))
})

describe("a worker that is lost", () => {
  it.effect("with inputs on their way: the call is not run again, idempotent as it is", () =>
    Effect.gen(function*() {
      const { scripted, sums } = yield* open({ pools: { default: { size: 2 } } })
      const call = yield* begin(sums.total({ from: 0, numbers: Stream.concat(Stream.make(1), Stream.never) }))
      yield* after("1 second")
      yield* scripted.worker(scripted.journal[0]!.worker).crash()
      assert.strictEqual((yield* errorOf(call))._tag, "WorkerCrashed")
      yield* after("10 seconds")
      assert.strictEqual(scripted.journal.length, 1)
    }))

  it.effect("before the call had begun: another one takes it, and gets every input", () =>
    Effect.gen(function*() {
      const { scripted, sums } = yield* open()
      yield* scripted.worker("default/0").freeze
      const call = yield* begin(sums.total({ from: 0, numbers: Stream.range(1, 10) }))
      yield* scripted.worker("default/0").crash()
      yield* after("5 seconds")
      assert.strictEqual(yield* Fiber.join(call), 55)
    }))

  it.effect("as its channel alone: inputs go on when there is another", () =>
    Effect.gen(function*() {
      const { scripted, sums } = yield* open({ redialTakes: "2 seconds" })
      const numbers = Stream.range(1, 10).pipe(Stream.rechunk(1), Stream.tap(() => Effect.sleep("500 millis")))
      const call = yield* begin(sums.total({ from: 0, numbers }))
      yield* after("1200 millis")
      yield* scripted.worker("default/0").loseChannel()
      yield* after("10 seconds")
      assert.strictEqual(yield* Fiber.join(call), 55)
      assert.strictEqual(scripted.journal.length, 1)
    }))
})
