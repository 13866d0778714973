/** A change of the settings, and what of it running pools do from then on. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import { PoolConfig } from "../src/index.ts"
import { after, begin, errorOf, openPools, scoped } from "./OpenPools.ts"

type Open = Effect.Success<ReturnType<typeof openPools<never>>>

let snapshots = 1
const change = ({ directory }: Open, input: PoolConfig.PoolConfigInput, pool = "default") =>
  directory.configure(++snapshots, { pools: { [pool]: Schema.decodeUnknownSync(PoolConfig.PoolConfig)(input) } })

const intensityOf = ({ running }: Open, path: string) =>
  Effect.flatMap(running.at(path), ({ tree }) => Effect.map(tree, ({ intensity }) => intensity))

const pids = ({ scripted }: Open) => scripted.alive().map((name) => scripted.worker(name).pid())

describe("without a restart of anything", () => {
  it.effect("heartbeats come at the new interval, and miss after the new number", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 1, heartbeat: { interval: "1 minute" } } } })
      const before = pids(pools)
      yield* after("30 seconds")
      change(pools, { size: 1, heartbeat: { interval: "1 second", maxMissed: 1 } })
      yield* after("31 seconds") // the beat that was due already
      assert.deepStrictEqual(pids(pools), before)
      yield* pools.scripted.worker("default/0").freeze
      yield* after("2500 millis")
      assert.isTrue(pools.recorded.events.some(({ name }) => name === "snakepit.watchdog.bite"))
    })))

  it.effect("calls have the new limits from then on", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 1, queue: { capacity: 0 } } } })
      const before = pids(pools)
      const first = yield* begin(pools.tools.record({ n: 1 }))
      assert.strictEqual((yield* Effect.flip(pools.tools.record({ n: 2 })))._tag, "QueueFull")
      change(pools, { size: 1, callTimeout: "500 millis" })
      const second = yield* begin(pools.tools.record({ n: 3 }))
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(first), 1, "it had been sent with the limit of then")
      yield* after("600 millis")
      assert.strictEqual((yield* errorOf(second))._tag, "CallTimeout")
      yield* after("1 second")
      assert.deepStrictEqual(pids(pools), before)
    })))

  it.effect("restart limits are those of the new settings, and what was counted stays counted", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 2 } } })
      yield* pools.scripted.worker("default/0").crash()
      yield* after("1 second")
      const before = pids(pools)
      const restart = {
        worker: { maxRestarts: 1, within: "20 seconds" },
        fleet: { maxRestarts: 7, within: "10 seconds" },
        pool: { maxRestarts: 5, within: "40 seconds" }
      }
      change(pools, { size: 2, restart })
      yield* after("1 millis")
      const limits = yield* Effect.forEach(
        ["pools/default", "pools/default/control", "pools/default/fleet", "pools/default/fleet/0"],
        (path) => intensityOf(pools, path)
      )
      assert.deepStrictEqual(limits, [
        { maxRestarts: 5, withinMillis: 40_000 },
        { maxRestarts: 5, withinMillis: 40_000 },
        { maxRestarts: 7, withinMillis: 10_000 },
        { maxRestarts: 1, withinMillis: 20_000 }
      ])
      assert.deepStrictEqual(pids(pools), before)
      yield* pools.scripted.worker("default/0").crash() // the second within 20 seconds
      yield* after("1 second")
      assert.strictEqual((yield* pools.node("default/fleet/0")).restarts, 1, "the whole worker was started anew")
      assert.deepStrictEqual(yield* intensityOf(pools, "pools/default/fleet/0"), { maxRestarts: 1, withinMillis: 20_000 })
    })))

  it.effect("a worker that was down meanwhile has the new restart limits too", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 1, restart: { worker: { maxRestarts: 0 } } } } })
      yield* pools.scripted.worker("default/0").refuseBoots(1, "exit")
      yield* pools.scripted.worker("default/0").crash()
      change(pools, { size: 1, restart: { worker: { maxRestarts: 9 } } })
      yield* after("10 seconds")
      assert.deepStrictEqual(yield* intensityOf(pools, "pools/default/fleet/0"), { maxRestarts: 9, withinMillis: 30_000 })
    })))

  it.effect("spares come and go", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 1 } } })
      assert.deepStrictEqual(pools.scripted.spares("default").waiting(), [])
      change(pools, { size: 1, launch: { spares: 3 } })
      yield* after("1 second")
      const [one, ...others] = pools.scripted.spares("default").waiting()
      assert.strictEqual(others.length, 2)
      change(pools, { size: 1, launch: { spares: 1 } })
      yield* after("5 seconds")
      assert.deepStrictEqual(pools.scripted.spares("default").waiting(), [one!])
    })))
})

describe("what takes a new process", () => {
  it.effect("is as it was for each worker that runs, and for one that crashes meanwhile", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 2 } } })
      const { versions } = pools.directory.entry("default")
      const first = versions.proven
      change(pools, { size: 2, concurrency: 3, attempts: 7 })
      yield* pools.scripted.worker("default/0").crash()
      yield* after("1 second")
      assert.deepStrictEqual([versions.filled.get(0), versions.filled.get(1)], [first, first])
      assert.strictEqual(pools.roster().config.concurrency, 1)
      assert.strictEqual(pools.roster().state.config.attempts, 7)
    })))

  it.effect("is for one place, whatever crashes meanwhile, and for all when it has proved itself there", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 2 } } })
      const entry = pools.directory.entry("default")
      const first = entry.versions.proven
      change(pools, { size: 2, concurrency: 3 })
      const second = entry.versions.current
      yield* after("1 second")
      for (let crash = 0; crash < 2; crash++) {
        yield* pools.scripted.worker("default/0").crash()
        yield* after("1 second")
        assert.deepStrictEqual([0, 1, 2].map((slot) => entry.versions.filled.get(slot)), [first, first, second])
      }
      assert.deepStrictEqual(pools.roster().state.slots.map(({ concurrency }) => concurrency), [1, 1, 3])
      yield* after("10 seconds")
      assert.strictEqual(pools.roster().config.concurrency, 3)
      assert.strictEqual(entry.versions.proven, second)
      yield* pools.kill("default/roster")
      yield* after("5 seconds")
      assert.deepStrictEqual([...entry.versions.filled.values()], [second, second], "what has proved itself outlives the Roster")
    })))

  it.effect("is given up when the settings are taken back, and tried anew when they come again", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 1 } } })
      const entry = pools.directory.entry("default")
      const first = entry.versions.proven
      change(pools, { size: 1, concurrency: 3 })
      yield* after("1 second")
      assert.deepStrictEqual(pools.scripted.alive(), ["default/0", "default/1"])
      change(pools, { size: 1 })
      yield* after("1 second")
      assert.deepStrictEqual(pools.scripted.alive(), ["default/0"])
      assert.strictEqual(entry.versions.filled.get(0), first)
      change(pools, { size: 1, concurrency: 3 })
      yield* after("10 seconds")
      assert.strictEqual(entry.versions.proven.config.concurrency, 3)
    })))

  it.effect("a number of workers is added or taken away, and those that stay are not touched", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 1 } } })
      change(pools, { size: 3 })
      yield* after("1 second")
      assert.deepStrictEqual(pools.scripted.alive(), ["default/0", "default/1", "default/2"])
      change(pools, { size: 2 })
      yield* after("1 second")
      assert.deepStrictEqual(pools.scripted.alive(), ["default/0", "default/1"])
      assert.strictEqual(pools.scripted.worker("default/0").generation(), 0)
    })))
})
