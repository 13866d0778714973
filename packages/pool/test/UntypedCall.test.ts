/** Calls without a contract: bytes in, bytes out, and what the workers announce in place of annotations. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { Pool } from "../src/index.ts"
import { ScriptedCodec, type ScriptedTool } from "../src/testing/index.ts"
import { after, begin, openPools, scoped } from "./OpenPools.ts"
import { openTools } from "./OpenTools.ts"

const { decode, encode } = ScriptedCodec.json

interface Numbers {
  readonly numbers: ScriptedTool.Inputs<number>
}

describe("a call without a contract", () => {
  it.effect("takes bytes and gives bytes", () =>
    scoped(Effect.gen(function*() {
      const { provided } = yield* openPools()
      const result = yield* Pool.call("add", encode({ a: 2, b: 3 })).pipe(provided)
      assert.strictEqual(decode(result), 5)
    })))

  it.effect("streams bytes, and an early end of the stream is heard by the worker", () =>
    scoped(Effect.gen(function*() {
      const { ledger, provided } = yield* openPools()
      const elements = yield* begin(Pool.stream("steps", encode({ n: 100 })).pipe(Stream.take(2), Stream.runCollect, provided))
      yield* after("1 second")
      assert.deepStrictEqual((yield* Fiber.join(elements)).map(decode), [0, 1])
      assert.strictEqual((yield* ledger())?.cancelled, 1)
    })))

  it.effect("fails with the same errors", () =>
    scoped(Effect.gen(function*() {
      const { provided } = yield* openPools({ pools: { default: { maxPayload: 1024 } } })
      const tagOf = (tool: string, payload: Uint8Array, pool?: string) =>
        Effect.map(Effect.flip(Pool.call(tool, payload, { pool })), ({ _tag }) => _tag).pipe(provided)
      assert.strictEqual(yield* tagOf("nothing_of_the_kind", encode({})), "ToolNotFound")
      assert.strictEqual(yield* tagOf("ping", new Uint8Array(1025)), "PayloadTooLarge")
      assert.strictEqual(yield* tagOf("raises", encode({})), "PythonError")
      assert.strictEqual(yield* tagOf("ping", encode({}), "gpu"), "PoolNotFound")
    })))

  it.effect("may have a session, a tenant and a deadline", () =>
    scoped(Effect.gen(function*() {
      const { provided, roster } = yield* openPools()
      const options = { session: "s", tenant: "t", deadline: "1 minute" } as const
      yield* begin(Pool.call("record", encode({ n: 1 }), options).pipe(provided))
      const [call] = roster().state.calls.values()
      assert.include(call?.offer, { session: "s", tenant: "t", deadline: roster().clock.now() + 60_000 })
    })))

  it.effect("takes a stream of inputs in bytes, whatever its parameter is called in Python", () =>
    Effect.gen(function*() {
      const { provided } = yield* openTools({
        total: { input: "numbers", run: ({ numbers }: Numbers) => Stream.runSum(numbers) },
        running: { input: "numbers", streams: true, run: ({ numbers }: Numbers) => numbers },
        plain: { run: () => Effect.succeed(1) }
      }, { pools: { default: { size: 1, maxPayload: 1024 } } })
      const inputs = Stream.map(Stream.range(1, 200), encode)
      assert.strictEqual(decode(yield* Pool.call("total", encode({}), { inputs }).pipe(provided)), 20_100)
      assert.strictEqual((yield* Stream.runCollect(Pool.stream("running", encode({}), { inputs })).pipe(provided)).length, 200)

      const refusal = (options: Pool.UntypedOptions<"broken">, tool = "total") =>
        Effect.flip(Pool.call(tool, encode({}), options)).pipe(provided)
      assert.strictEqual(yield* refusal({ inputs: Stream.fail("broken" as const) }), "broken")
      assert.include(yield* refusal({ inputs: Stream.succeed(new Uint8Array(1025)) }), { _tag: "InvalidInput", position: 0 })
      assert.include(yield* refusal({}), { _tag: "ContractMismatch", field: "input", received: "numbers" })
      assert.include(yield* refusal({ inputs }, "plain"), { _tag: "ContractMismatch", field: "input", received: "none" })
    }))

  it.effect("is taken back when it is interrupted", () =>
    scoped(Effect.gen(function*() {
      const { ledger, provided } = yield* openPools()
      const call = yield* begin(Pool.call("record", encode({ n: 1 })).pipe(provided))
      yield* Fiber.interrupt(call)
      assert.strictEqual((yield* ledger())?.cancelled, 1)
    })))
})

describe("the tools of the pools", () => {
  it.effect("are those that the workers have announced", () =>
    scoped(Effect.gen(function*() {
      const { provided } = yield* openPools({ pools: { gpu: {}, cpu: {} } })
      const tools = yield* Pool.tools.pipe(provided)
      assert.deepStrictEqual([...tools.keys()], ["gpu", "cpu"])
      assert.include([...tools.get("gpu")!.keys()], "add")
    })))

  it.effect("are not known of a pool that is down", () =>
    scoped(Effect.gen(function*() {
      const { provided, running } = yield* openPools()
      yield* running.terminateChild("default")
      assert.deepStrictEqual([...yield* Pool.tools.pipe(provided)], [["default", undefined]])
    })))
})
