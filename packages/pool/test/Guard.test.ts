/** Circuit breakers and rate limits before a pool. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { outcomeOf } from "../src/Guard.ts"
import { CallError, PoolConfig, Tool } from "../src/index.ts"
import { ScriptedTool } from "../src/testing/index.ts"
import { after, begin, errorOf } from "./OpenPools.ts"
import { openTools } from "./OpenTools.ts"

class Refused extends Schema.TaggedError<Refused>()("Refused", { message: Schema.String }) {}

class Tools extends RpcGroup.make(
  Rpc.make("ask", { payload: { fails: Schema.Boolean }, success: Schema.Int, error: Tool.Raises({ ConnectionError: Refused }) }),
  Rpc.make("askGuarded", { payload: { fails: Schema.Boolean }, success: Schema.Int }).annotate(
    Tool.Breaker,
    Schema.decodeSync(PoolConfig.Breaker)({ after: 1, failures: ["ConnectionError"] })
  ),
  Rpc.make("steps", { payload: { fails: Schema.Boolean }, success: Schema.Int, stream: true }),
  Rpc.make("sum", { payload: { numbers: Tool.InputStream(Schema.Int) }, success: Schema.Int }),
  Rpc.make("limited", { success: Schema.Int }).annotate(
    Tool.RateLimit,
    Schema.decodeSync(PoolConfig.RateLimit)({ calls: 1, per: "1 second", beyond: "fail" })
  )
) {}

const fail = (fails: boolean) => fails ? ScriptedTool.raise("ConnectTimeout", "no answer", { bases: ["ConnectionError", "OSError"] }) : 1

const ask = ({ fails }: { readonly fails: boolean }) => fail(fails)

const tools = {
  ask,
  askGuarded: ask,
  steps: function*({ fails }: { readonly fails: boolean }) {
    yield 1
    yield fail(fails)
  },
  sum: { input: "numbers", run: ({ numbers }: { readonly numbers: ScriptedTool.Inputs<number> }) => Stream.runSum(numbers) },
  limited: () => 1
} satisfies Record<string, ScriptedTool.ScriptedTool>

const open = Effect.fnUntraced(function*(pool: PoolConfig.PoolConfigInput = {}) {
  const opened = yield* openTools(tools, { pools: { default: { size: 1, ...pool } } })
  return { ...opened, client: yield* opened.clientOf(Tools) }
})

const listed = { after: 2, failures: ["ConnectionError"] }

describe("a circuit breaker", () => {
  it.effect("opens after failures in a row, refuses at once, lets one call find out, and closes when it succeeds", () =>
    Effect.gen(function*() {
      const { client, ledger, recorded, scripted } = yield* open({ breaker: listed })
      for (let call = 0; call < 2; call++) assert.include(yield* Effect.flip(client.ask({ fails: true })), { _tag: "Refused" })
      assert.include(yield* Effect.flip(client.ask({ fails: false })), { _tag: "CircuitOpen", of: "pool", retryAfterMillis: 10_000 })
      assert.strictEqual(scripted.journal.length, 2)
      yield* after("10 seconds")
      assert.include(yield* Effect.flip(client.ask({ fails: true })), { _tag: "Refused" })
      assert.include(yield* Effect.flip(client.ask({ fails: false })), { _tag: "CircuitOpen", retryAfterMillis: 20_000 })
      yield* after("20 seconds")
      assert.strictEqual(yield* client.ask({ fails: false }), 1)
      assert.strictEqual(yield* client.ask({ fails: false }), 1)
      assert.deepStrictEqual(
        recorded.events.filter(({ name }) => name.includes("circuit")).map(({ name }) => name.slice("snakepit.circuit.".length)),
        [
          "open",
          "probe",
          "open",
          "probe",
          "close"
        ]
      )
      assert.include(yield* ledger(), { accepted: 5, rejected: 2 })
    }))

  it.effect("counts failures in a row, not all that there ever were", () =>
    Effect.gen(function*() {
      const { client } = yield* open({ breaker: listed })
      for (let call = 0; call < 5; call++) {
        yield* Effect.flip(client.ask({ fails: true }))
        assert.strictEqual(yield* client.ask({ fails: false }), 1)
      }
    }))

  it.effect("takes an exception that is not listed for an answer", () =>
    Effect.gen(function*() {
      const { client } = yield* open({ breaker: { after: 1 } })
      for (let call = 0; call < 5; call++) assert.include(yield* Effect.flip(client.ask({ fails: true })), { _tag: "Refused" })
    }))

  it.effect("of a tool is its own, and of streams and streams of inputs too", () =>
    Effect.gen(function*() {
      const { client } = yield* open({ breaker: { ...listed, after: 3 } })
      yield* Effect.flip(client.askGuarded({ fails: true }))
      assert.include(yield* Effect.flip(client.askGuarded({ fails: false })), { _tag: "CircuitOpen", of: "tool" })
      assert.strictEqual(yield* client.sum({ numbers: Stream.make(1, 2) }), 3, "which is a success for the pool")
      for (let call = 0; call < 3; call++) yield* Effect.flip(Stream.runDrain(client.steps({ fails: true })))
      assert.include(yield* Effect.flip(Stream.runDrain(client.steps({ fails: false }))), { _tag: "CircuitOpen", of: "pool" })
      assert.include(yield* Effect.flip(client.sum({ numbers: Stream.make(1) })), { _tag: "CircuitOpen", of: "pool" })
    }))

  it("tells failures of the pool from those of its callers", () => {
    const about = { pool: "p", tool: "t" }
    const of = (error: CallError.CallError, listed: ReadonlyArray<string> = []) => outcomeOf(Exit.fail(error), listed)._tag
    const unknown = { ...about, executed: "unknown", worker: "p/0" } as const
    const no = { ...about, executed: "no" } as const
    const exception = ScriptedTool.exception("torch.OutOfMemoryError", "", { bases: ["RuntimeError"] })
    const raised = new CallError.PythonError({ ...about, executed: "failed", worker: "p/0", exception })
    assert.strictEqual(of(new CallError.WorkerCrashed({ ...unknown, reason: "", delivered: 0, attempts: 1 })), "Failure")
    assert.strictEqual(of(new CallError.OutcomeUnknown({ ...unknown, reason: "", began: true, ended: true })), "Failure")
    assert.strictEqual(of(new CallError.CallTimeout({ ...unknown, timeoutMillis: 1, began: true, replaced: false })), "Failure")
    assert.strictEqual(of(raised), "Success")
    assert.strictEqual(of(raised, ["RuntimeError"]), "Failure")
    assert.strictEqual(of(new CallError.InvalidPayload({ ...no, issue: "" })), "Ignored")
    assert.strictEqual(of(new CallError.QueueFull({ ...no, capacity: 1 })), "Ignored")
    assert.strictEqual(of(new CallError.DeadlineExceeded({ ...no, deadlineMillis: 1 })), "Ignored")
    assert.strictEqual(outcomeOf(Exit.failCause(Cause.interrupt()), [])._tag, "Ignored")
  })
})

describe("a rate limit", () => {
  it.effect("lets calls wait their turn, first come, first served, and no longer than they may", () =>
    Effect.gen(function*() {
      const { client, scripted } = yield* open({ rateLimit: { calls: 2, per: "1 second" } })
      const began = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      const calls = yield* Effect.forEach([1, 2, 3, 4, 5], () => begin(client.ask({ fails: false })))
      const impatient = yield* begin(client.ask({ fails: false }, { deadline: "1600 millis" }))
      yield* after("1600 millis")
      assert.include(yield* errorOf(impatient), { _tag: "RateLimited", of: "pool", limit: 2, perMillis: 1000 })
      yield* after("2 seconds")
      yield* Effect.forEach(calls, Fiber.join)
      assert.deepStrictEqual(scripted.journal.map(({ at }) => at - began), [0, 0, 500, 1000, 1500])
    }))

  it.effect("goes on serving at its rate when more calls come than it lets through", () =>
    Effect.gen(function*() {
      const { client, scripted } = yield* open({ rateLimit: { calls: 1, per: "1 second" } })
      for (let second = 0; second < 20; second++) {
        for (let call = 0; call < 3; call++) yield* begin(Effect.ignore(client.ask({ fails: false }, { deadline: "3 seconds" })))
        yield* after("1 second")
      }
      assert.isAtLeast(scripted.journal.length, 19, "calls that gave up have used it up")
      yield* after("4 seconds")
    }))

  it.effect("of a tool fails at once where it says so, and what waited has less of its deadline left", () =>
    Effect.gen(function*() {
      const { client } = yield* open()
      assert.strictEqual(yield* client.limited(), 1)
      assert.include(yield* Effect.flip(client.limited()), { _tag: "RateLimited", of: "tool", retryAfterMillis: 1000 })
      yield* after("1 second")
      assert.strictEqual(yield* client.limited(), 1)
    }))
})
