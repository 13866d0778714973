/** What a collector reads of pools and workers, on the clock of the test. */
import { assert, describe, it } from "@effect/vitest"
import type { Instrument } from "@snakepit/core"
import { Effect, Fiber, Metric } from "effect"
import { PoolControl, PoolMetrics } from "../src/index.ts"
import { ScriptedRuntime } from "../src/testing/index.ts"
import { after, begin, openPools, scoped, tools } from "./OpenPools.ts"

type Labels = Readonly<Record<string, string>>

const fits = (attributes: Metric.Metric.AttributeSet | undefined, labels: Labels) =>
  Object.entries(labels).every(([label, value]) => attributes?.[label] === value)

/** The state of the only series of a metric that has these labels; `undefined`: there is none. */
const read = ({ name }: Instrument.Declaration, labels: Labels) =>
  Effect.map(Metric.snapshot, (all) => {
    const found = all.filter(({ attributes, id }) => id === name && fits(attributes, labels))
    assert.isAtMost(found.length, 1)
    const state = found[0]?.state as { count?: number; value?: number } | undefined
    return state?.value ?? state?.count
  })

const slots = Effect.map(
  Metric.snapshot,
  (all) => [...new Set(all.flatMap(({ attributes }) => attributes?.["slot"] ?? []))].toSorted()
)

/** With a registry of its own. */
const observed = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, Metric.MetricRegistry, new Map())

const pool = { pool: "default" }

describe("the metrics of a pool", () => {
  it.effect("tell how its workers stand, and what waits", () =>
    observed(scoped(Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 2, prefetch: 0, queue: { capacity: 5 } } } })
      const workers = (state: PoolMetrics.WorkerState) => read(PoolMetrics.workers, { ...pool, state })
      assert.deepStrictEqual([yield* workers("ready"), yield* workers("busy"), yield* workers("starting")], [2, 0, 0])
      const calls = yield* begin(Effect.forEach([1, 2, 3, 4, 5], (n) => tools.record({ n }), { concurrency: "unbounded" }))
      yield* after("500 millis")
      assert.deepStrictEqual([yield* workers("ready"), yield* workers("busy")], [0, 2])
      assert.strictEqual(yield* read(PoolMetrics.queueDepth, pool), 3)
      assert.strictEqual(yield* read(PoolMetrics.queueCapacity, pool), 5)
      assert.strictEqual(yield* read(PoolMetrics.callsOpen, pool), 5)
      assert.strictEqual(yield* read(PoolMetrics.saturation, pool), 1)
      assert.strictEqual(yield* read(PoolMetrics.size, pool), 2)
      yield* after("4 seconds")
      yield* Fiber.join(calls)
      assert.deepStrictEqual([yield* workers("ready"), yield* workers("busy")], [2, 0])
      assert.strictEqual(yield* read(PoolMetrics.callsOpen, pool), 0)
      assert.strictEqual(yield* read(PoolMetrics.saturation, pool), 0)
      assert.strictEqual(yield* read(PoolMetrics.queueWait, pool), 5)
      yield* scripted.worker("default/0").refuseBoots(1, "exit")
      yield* scripted.worker("default/0").crash()
      yield* after("1 millis")
      assert.strictEqual(yield* workers("starting"), 1)
    }))))

  it.effect("count calls by tool and outcome, failures by error, and how long calls took", () =>
    observed(scoped(Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      const calls = (tool: string, outcome: PoolMetrics.Outcome) => read(PoolMetrics.calls, { ...pool, tool, outcome })
      assert.strictEqual(yield* calls("add", "ok"), undefined)
      yield* tools.add({ a: 1, b: 2 })
      yield* Effect.ignore(tools.raises())
      yield* Effect.ignore(tools.nowhere())
      const again = yield* begin(tools.again({ n: 1 }))
      yield* after("100 millis")
      yield* scripted.worker("default/0").crash()
      yield* after("1 minute")
      assert.strictEqual(yield* Fiber.join(again), 1)
      const interrupted = yield* begin(tools.record({ n: 1 }))
      yield* after("100 millis")
      yield* Fiber.interrupt(interrupted)
      assert.deepStrictEqual([yield* calls("add", "ok"), yield* calls("add", "failed")], [1, 0])
      assert.strictEqual(yield* calls("raises", "failed"), 1)
      assert.strictEqual(yield* calls("nowhere", "refused"), undefined) // no worker has announced it
      assert.strictEqual(yield* calls("other", "refused"), 1)
      assert.strictEqual(yield* calls("record", "cancelled"), 1)
      assert.strictEqual(yield* calls("again", "ok"), 1)
      assert.strictEqual(yield* read(PoolMetrics.retries, pool), 1)
      assert.strictEqual(yield* read(PoolMetrics.twice, pool), 0)
      assert.strictEqual(yield* read(PoolMetrics.accepted, pool), 4)
      assert.strictEqual(yield* read(PoolMetrics.failures, { ...pool, error: "PythonError" }), 1)
      assert.strictEqual(yield* read(PoolMetrics.failures, { ...pool, error: "ToolNotFound" }), 1)
      assert.strictEqual(yield* read(PoolMetrics.failures, { ...pool, error: "QueueFull" }), 0)
      assert.strictEqual(yield* read(PoolMetrics.callDuration, { ...pool, tool: "again" }), 1)
    }))))

  it.effect("count workers that are stopped as planned, by why, and none that crash", () =>
    observed(scoped(Effect.gen(function*() {
      const { provided, scripted, tools } = yield* openPools({ pools: { default: { size: 2, recycle: { calls: 2, jitter: 0 } } } })
      const control = yield* PoolControl.of("default").pipe(provided)
      const stops = Effect.forEach(
        ["calls", "operator", "size", "age"] as const,
        (because) => read(PoolMetrics.stops, { ...pool, because })
      )
      assert.deepStrictEqual(yield* stops, [0, 0, 0, 0])
      yield* scripted.worker("default/0").crash()
      yield* after("10 seconds")
      yield* begin(control.recycle(1))
      yield* after("10 seconds")
      assert.deepStrictEqual(yield* stops, [0, 1, 0, 0])
      yield* Effect.repeat(tools.ping(), { times: 1 })
      yield* Effect.repeat(tools.ping(), { times: 1 })
      yield* after("30 seconds")
      assert.isAtLeast((yield* stops)[0]!, 1)
      yield* begin(control.scale(1))
      yield* after("10 seconds")
      assert.strictEqual((yield* stops)[2], 1)
    }))))

  it.effect("end with the pool", () =>
    observed(Effect.gen(function*() {
      yield* scoped(openPools({ pools: { default: { size: 1 }, other: {} } }))
      assert.deepStrictEqual(yield* Metric.snapshot, [])
    })))
})

describe("the metrics of a worker", () => {
  it.effect("are read of the process that fills its slot, and end with it", () =>
    observed(scoped(Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 2 } } })
      const first = { ...pool, slot: "0" }
      assert.deepStrictEqual(yield* slots, ["0", "1"])
      yield* scripted.worker("default/0").uses(1000)
      yield* after("10 seconds")
      assert.strictEqual(yield* read(PoolMetrics.memory, first), 1000)
      assert.strictEqual(yield* read(PoolMetrics.threads, first), 1)
      assert.strictEqual(yield* read(PoolMetrics.generation, first), 0)
      assert.isAtMost((yield* read(PoolMetrics.heartbeatAge, first))!, 1)
      assert.isAtLeast((yield* read(PoolMetrics.heartbeatLatency, pool))!, 18) // two workers, one beat a second each
      yield* scripted.worker("default/0").refuseBoots(2, "exit")
      yield* scripted.worker("default/0").crash()
      yield* after("1 millis")
      assert.deepStrictEqual(yield* slots, ["1"])
      yield* after("10 seconds")
      assert.deepStrictEqual(yield* slots, ["0", "1"])
      assert.strictEqual(yield* read(PoolMetrics.generation, first), 3)
      yield* tools.ping()
      assert.strictEqual(
        (yield* read(PoolMetrics.workerCalls, first))! + (yield* read(PoolMetrics.workerCalls, { ...pool, slot: "1" }))!,
        1
      )
    }))))

  it.effect("tell how long it is silent", () =>
    observed(scoped(Effect.gen(function*() {
      const { scripted } = yield* openPools({ pools: { default: { size: 1, heartbeat: { maxMissed: 1000 } } } })
      yield* after("5 seconds")
      yield* scripted.worker("default/0").appears(undefined) // to the kernel it is not there, so only misses count
      yield* scripted.worker("default/0").freeze
      yield* after("20 seconds")
      assert.isAtLeast((yield* read(PoolMetrics.heartbeatMisses, pool))!, 15)
      assert.isAtLeast((yield* read(PoolMetrics.heartbeatAge, { ...pool, slot: "0" }))!, 19)
    }))))

  it.effect("are read from the kernel once a second at most, and are not there where it says nothing", () =>
    observed(scoped(Effect.gen(function*() {
      let looks = 0
      const scripted = ScriptedRuntime.make({ tools })
      const usage = () => ({ memoryBytes: ++looks, cpuSeconds: 0, fileDescriptors: 0, threads: 1 })
      yield* openPools({ pools: { default: { size: 1 } }, scripted: { ...scripted, runtime: { ...scripted.runtime, usage } } })
      const memory = read(PoolMetrics.memory, pool)
      assert.deepStrictEqual([yield* memory, yield* memory], [1, 1])
      yield* after("1 second")
      assert.deepStrictEqual([yield* memory, yield* memory], [2, 2])
      yield* after("1 minute")
      assert.strictEqual(looks, 2) // nobody asked
      yield* Effect.scoped(Effect.gen(function*() {
        const other = ScriptedRuntime.make({ tools })
        yield* openPools({ pools: { blind: { size: 1 } }, scripted: { ...other, runtime: { ...other.runtime, usage: () => undefined } } })
        assert.strictEqual(yield* read(PoolMetrics.memory, { pool: "blind" }), undefined)
        assert.strictEqual(yield* read(PoolMetrics.generation, { pool: "blind" }), 0)
      }))
    }))))
})
