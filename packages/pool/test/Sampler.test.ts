import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { after, begin, openPools, scoped } from "./OpenPools.ts"

const samples = (events: ReadonlyArray<{ readonly name: string; readonly measurements: object }>) =>
  events.flatMap(({ measurements, name }) => name === "snakepit.pool.sample" ? [measurements] : [])

describe("the sampler", () => {
  it.effect("tells once a second how the pool is, and what became of the calls of that second", () =>
    scoped(Effect.gen(function*() {
      const { recorded, tools } = yield* openPools({ pools: { default: { size: 2, prefetch: 0 } } })
      yield* begin(Effect.forEach([1, 2, 3], (n) => tools.record({ n }), { concurrency: 3 })) // one second each, two at once
      yield* begin(Effect.ignore(tools.raises()))
      yield* after("999 millis")
      assert.deepStrictEqual(samples(recorded.events), [])
      const quiet = { size: 2, callsPerSecond: 0, failuresPerSecond: 0, p50Millis: undefined, p99Millis: undefined }
      yield* after("3001 millis")
      const told = samples(recorded.events) as ReadonlyArray<
        typeof quiet & { readonly busy: number; readonly ready: number; queued: number }
      >
      assert.strictEqual(told.length, 4)
      assert.strictEqual(told.reduce((sum, { callsPerSecond }) => sum + callsPerSecond, 0), 4)
      assert.strictEqual(told.reduce((sum, { failuresPerSecond }) => sum + failuresPerSecond, 0), 1)
      assert.deepStrictEqual(told[3], { ...quiet, ready: 2, busy: 0, queued: 0 } as never)
    })))

  it.effect("tells when it is told to, and is silent when it is off", () =>
    scoped(Effect.gen(function*() {
      const { recorded } = yield* openPools({ pools: { often: { sampleEvery: "200 millis" }, never: { sampleEvery: "off" } } })
      yield* after("2 seconds")
      const pools = recorded.events.flatMap(({ attributes, name }) => name === "snakepit.pool.sample" ? [attributes["pool"]] : [])
      assert.deepStrictEqual(pools, Array.from({ length: 10 }, () => "often"))
    })))
})
