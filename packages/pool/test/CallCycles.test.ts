/** Calls that host tools make: never sent ahead, and given up when they would wait for ever; on scripted workers and virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result, Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { CallError, HostTools, Pool, type PoolConfig, PoolControl } from "../src/index.ts"
import type { ScriptedTool } from "../src/testing/index.ts"
import { after, begin, scoped } from "./OpenPools.ts"
import { openTools } from "./OpenTools.ts"

/** What a tool does: nothing for a while, then perhaps a call in a pool by way of the host. */
interface Plan {
  readonly millis: number
  readonly pool?: string | undefined
  readonly then?: Plan | undefined
  readonly how?: "waits" | "gathers" | undefined
}
const Plan: Schema.Codec<Plan> = Schema.Struct({
  millis: Schema.Int,
  pool: Schema.optional(Schema.String),
  then: Schema.optional(Schema.suspend((): Schema.Codec<Plan> => Plan)),
  how: Schema.optional(Schema.Literals(["waits", "gathers"]))
})

class Tools extends RpcGroup.make(Rpc.make("work", { payload: { plan: Plan }, success: Schema.String })) {}

class Host extends RpcGroup.make(
  Rpc.make("go", { payload: { pool: Schema.String, plan: Plan }, success: Schema.String, error: CallError.CallError }),
  Rpc.make("together", { payload: { pool: Schema.String, plan: Plan }, success: Schema.String, error: CallError.CallError }),
  Rpc.make("in_session", { payload: { pool: Schema.String, plan: Plan }, success: Schema.String, error: CallError.CallError })
) {}

const tools = (hostTool: string): Record<string, ScriptedTool.ScriptedTool> => ({
  work: ({ plan }: { readonly plan: Plan }, { call }: ScriptedTool.Current) =>
    Effect.gen(function*() {
      yield* Effect.sleep(plan.millis)
      if (plan.then === undefined) return "done"
      return yield* call(hostTool, { pool: plan.pool ?? "a", plan: plan.then }, { waits: plan.how !== "gathers" })
    })
})

const open = Effect.fnUntraced(function*(
  pools: { readonly [pool: string]: PoolConfig.PoolConfigInput },
  hostTool: "go" | "together" | "in_session" = "go"
) {
  const opened = yield* openTools(tools(hostTool), { pools, redialTakes: "5 seconds" })
  const { provided } = opened
  const given: Array<CallError.CallCycle> = []
  const work = (pool: string, plan: Plan, options: Pool.CallOptions = {}) =>
    Effect.flatMap(Pool.client(Tools, { pool }), ({ work }) => work({ plan }, options)).pipe(
      Effect.catchTag("PoolNotFound", Effect.die),
      provided
    )
  const noted = (call: ReturnType<typeof work>) =>
    Effect.tapError(call, (error) => Effect.sync(() => error._tag === "CallCycle" && given.push(error)))
  const host = HostTools.make(Host, {
    go: ({ plan, pool }) => noted(work(pool, plan)),
    together: ({ plan, pool }) => Effect.map(Effect.all([noted(work(pool, plan)), Effect.void], { concurrency: 2 }), ([result]) => result),
    in_session: ({ plan, pool }) => noted(work(pool, plan, { session: "s" }))
  })
  for (const pool of Object.keys(pools)) yield* HostTools.serve(host, { pool }).pipe(provided)
  const control = yield* PoolControl.of("a").pipe(provided)
  return { ...opened, control, given, work }
})

const outer = (millis: number, then: Plan = { millis: 10 }): Plan => ({ millis, then })
const one = { a: { size: 1 } }
const resultOf = <A, E>(fiber: Fiber.Fiber<A, E>) => Effect.result(Fiber.join(fiber))

describe("a call from a host tool that would wait for ever", () => {
  it.effect("is given up at once, and says who waits for whom and what to do", () =>
    scoped(Effect.gen(function*() {
      const { given, work } = yield* open(one)
      const call = yield* begin(work("a", outer(10)))
      yield* after("11 millis")
      const result = yield* resultOf(call)
      assert.isTrue(
        Result.isFailure(result) && result.failure._tag === "PythonError" && result.failure.exception.type === "snakepit.HostToolError"
      )
      assert.lengthOf(given, 1)
      assert.include(given[0], { _tag: "CallCycle", executed: "no", pool: "a", tool: "work" })
      assert.deepStrictEqual(given[0]!.cycle, [{ pool: "a", tool: "work" }, { pool: "a", tool: "work", hostTool: "go" }])
      assert.include(
        given[0]!.message,
        `"work" of pool "a" waits for a place that "work" of pool "a" holds, which waits in host tool "go" for "work"`
      )
      assert.include(given[0]!.message, "Call it in a pool of its own")
    })))

  it.effect("is the youngest of those that do, and the others come to their end", () =>
    scoped(Effect.gen(function*() {
      const { given, work } = yield* open({ a: { size: 2 } })
      const calls = [yield* begin(work("a", outer(100))), yield* begin(work("a", outer(200)))]
      yield* after("150 millis")
      assert.lengthOf(given, 0) // the second goes on still
      yield* after("1 second")
      const [first, second] = yield* Effect.forEach(calls, resultOf)
      assert.isTrue(Result.isSuccess(first!))
      assert.isTrue(Result.isFailure(second!))
      assert.lengthOf(given, 1)
    })))

  it.effect("is found over two pools", () =>
    scoped(Effect.gen(function*() {
      const { given, work } = yield* open({ a: { size: 1 }, b: { size: 1 } })
      const call = yield* begin(work("a", { millis: 10, pool: "b", then: { millis: 10, pool: "a", then: { millis: 10 } } }))
      yield* after("100 millis")
      assert.isTrue(Result.isFailure(yield* resultOf(call)))
      assert.deepStrictEqual(given[0]!.cycle, [
        { pool: "a", tool: "work" },
        { pool: "a", tool: "work", hostTool: "go" },
        { pool: "b", tool: "work", hostTool: "go" }
      ])
      // and when two go opposite ways
      const [east, west] = [
        yield* begin(work("a", { millis: 10, pool: "b", then: { millis: 10 } })),
        yield* begin(work("b", { millis: 20, pool: "a", then: { millis: 10 } }))
      ]
      yield* after("100 millis")
      assert.isTrue(Result.isSuccess(yield* resultOf(east)))
      assert.isTrue(Result.isFailure(yield* resultOf(west)))
    })))

  it.effect("of a session that is bound to its worker is found although others are free", () =>
    scoped(Effect.gen(function*() {
      const { given, work } = yield* open({ a: { size: 3, affinity: "strict_queue" } }, "in_session")
      const call = yield* begin(work("a", outer(10), { session: "s" }))
      yield* after("100 millis")
      assert.isTrue(Result.isFailure(yield* resultOf(call)))
      assert.lengthOf(given, 1)
    })))

  it.effect("is not sent ahead, where it would wait for whom it is made for", () =>
    scoped(Effect.gen(function*() {
      const { given, scripted, work } = yield* open({ a: { size: 1, prefetch: 5 } })
      yield* begin(work("a", outer(10)))
      yield* begin(work("a", { millis: 1 })) // sent ahead: it waits for the first, and nobody for it
      yield* after("100 millis")
      assert.lengthOf(given, 1)
      assert.deepStrictEqual(scripted.journal.map(({ outcome }) => outcome), ["raised", "done"])
    })))

  it.effect("is found when its pool loses its places later, in a tenth of a second", () =>
    scoped(Effect.gen(function*() {
      const { control, given, work } = yield* open({ a: { size: 2 } })
      const call = yield* begin(work("a", outer(10)))
      const held = yield* begin(work("a", { millis: 1000 }))
      yield* after("500 millis")
      assert.lengthOf(given, 0)
      yield* begin(control.scale(1))
      yield* after("100 millis")
      assert.lengthOf(given, 1)
      yield* after("1 second")
      assert.isTrue(Result.isFailure(yield* resultOf(call)))
      yield* Fiber.join(held)
    })))

  it.effect("is found although a worker that is cordoned is idle", () =>
    scoped(Effect.gen(function*() {
      const { control, given, work } = yield* open({ a: { size: 2 } })
      yield* control.cordon(1)
      const call = yield* begin(work("a", outer(10)))
      yield* after("200 millis")
      assert.lengthOf(given, 1)
      assert.isTrue(Result.isFailure(yield* resultOf(call)))
    })))
})

describe("a call from a host tool that may go on", () => {
  const waits = (
    what: string,
    pools: { readonly [pool: string]: PoolConfig.PoolConfigInput },
    plan: Plan,
    hostTool?: "together"
  ) =>
    it.effect(what, () =>
      scoped(Effect.gen(function*() {
        const { given, work } = yield* open(pools, hostTool)
        const call = yield* begin(work("a", plan))
        yield* after("1 minute")
        assert.lengthOf(given, 0)
        const result = yield* resultOf(call)
        assert.isTrue(Result.isFailure(result))
        assert.include(Result.isFailure(result) ? result.failure.message : "", "waited 20000 ms for a worker")
      })))
  const patient = { a: { size: 1, queue: { timeout: "20 seconds" } } }

  waits("because its tool does more than wait for it is left to its limits", patient, { ...outer(10), how: "gathers" })
  waits("because its host tool does more than wait for it is left to its limits", patient, outer(10), "together")

  it.effect("waits for a place that somebody holds who waits for nobody", () =>
    scoped(Effect.gen(function*() {
      const { given, work } = yield* open({ a: { size: 2 } })
      yield* begin(work("a", { millis: 5000 }))
      const call = yield* begin(work("a", outer(10)))
      yield* after("10 seconds")
      assert.strictEqual(yield* Fiber.join(call), "done")
      assert.lengthOf(given, 0)
    })))

  it.effect("waits for a worker that is away", () =>
    scoped(Effect.gen(function*() {
      const { given, scripted, work } = yield* open({ a: { size: 2 } })
      yield* scripted.worker("a/1").loseChannel()
      const call = yield* begin(work("a", outer(0)))
      yield* after("10 seconds")
      assert.strictEqual(yield* Fiber.join(call), "done")
      assert.lengthOf(given, 0)
    })))

  it.effect("waits for a worker that is away, of those that were added", () =>
    scoped(Effect.gen(function*() {
      const { control, given, scripted, work } = yield* open({ a: { size: 1 } })
      yield* begin(control.scale(2))
      yield* after("1 second")
      yield* scripted.worker("a/1").loseChannel()
      const call = yield* begin(work("a", outer(0)))
      yield* after("10 seconds")
      assert.strictEqual(yield* Fiber.join(call), "done")
      assert.lengthOf(given, 0)
    })))

  it.effect("takes a worker that is avoided when no other is free", () =>
    scoped(Effect.gen(function*() {
      const { given, scripted, work } = yield* open({ a: { size: 2, barrier: { taintFor: "1 minute" } } })
      const crashes = yield* begin(work("a", { millis: 1000 }))
      yield* after("10 millis")
      yield* scripted.worker("a/0").crash("SIGSEGV")
      yield* after("10 seconds")
      yield* resultOf(crashes)
      const call = yield* begin(work("a", outer(10)))
      yield* begin(work("a", { millis: 10 })) // waits for a clean one
      yield* after("100 millis")
      assert.strictEqual(yield* Fiber.join(call), "done")
      assert.lengthOf(given, 0)
      assert.deepStrictEqual(scripted.journal.map(({ worker }) => worker), ["a/0", "a/1", "a/0", "a/1"])
    })))

  it.effect("is let through while its pool is paused, before those that wait for its end", () =>
    scoped(Effect.gen(function*() {
      const { control, given, work } = yield* open({ a: { size: 2 } })
      const calls = [yield* begin(work("a", outer(1000))), yield* begin(work("a", outer(2000)))]
      yield* after("500 millis")
      yield* control.pause
      const waits = yield* begin(work("a", { millis: 10 }))
      yield* after("3 seconds") // the first waits for the second, which would wait for it
      assert.isTrue(Result.isSuccess(yield* resultOf(calls[0]!)))
      assert.lengthOf(given, 1)
      assert.isUndefined(waits.pollUnsafe())
      const again = yield* begin(work("a", outer(0)))
      yield* control.resume
      yield* after("1 second")
      yield* Fiber.join(waits)
      yield* Fiber.join(again)
    })))

  it.effect("takes another place of the same worker", () =>
    scoped(Effect.gen(function*() {
      const { given, work } = yield* open({ a: { size: 1, concurrency: 2 } })
      const call = yield* begin(work("a", outer(10)))
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(call), "done")
      assert.lengthOf(given, 0)
    })))
})

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const Step = Schema.Struct({
  pool: Schema.Literals(["a", "b"]),
  millis: int(0, 5),
  at: int(0, 20),
  depth: int(0, 3),
  next: Schema.Array(Schema.Literals(["a", "b"])).check(Schema.isMinLength(3), Schema.isMaxLength(3))
})

const planOf = ({ depth, millis, next }: typeof Step.Type, level = 0): Plan =>
  level === depth ? { millis } : { millis, pool: next[level]!, then: planOf({ depth, millis, next } as typeof Step.Type, level + 1) }

describe("calls that make calls", () => {
  it.effect.prop(
    "all come to an end without any limit of time, in pools of any size",
    {
      sizes: Schema.Tuple([int(1, 3), int(1, 3)]),
      prefetch: int(0, 2),
      concurrency: int(1, 2),
      steps: Schema.Array(Step).check(Schema.isMinLength(1), Schema.isMaxLength(10))
    },
    ({ concurrency, prefetch, sizes, steps }) =>
      scoped(Effect.gen(function*() {
        const pool = { queue: { timeout: "1 day" }, callTimeout: "1 day", hostTools: { timeout: "1 day" }, prefetch, concurrency }
        const { work } = yield* open({ a: { ...pool, size: sizes[0] }, b: { ...pool, size: sizes[1] } })
        const calls = yield* Effect.forEach(steps, (step) => begin(Effect.delay(work(step.pool, planOf(step)), step.at)))
        yield* after("2 seconds")
        for (const call of calls) {
          const exit = call.pollUnsafe()
          assert.isDefined(exit, "it waits still")
          if (exit!._tag === "Success") assert.strictEqual(exit!.value, "done")
          else assert.include(yield* Effect.flip(Fiber.join(call)).pipe(Effect.map(({ message }) => message)), "would wait for ever")
        }
      })),
    { arbitrary: { runs: 60 } }
  )
})
