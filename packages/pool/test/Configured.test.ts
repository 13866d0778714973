/** A change of the settings, and what of it running pools do from then on. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import { PoolConfig } from "../src/index.ts"
import { after, begin, errorOf, openPools, scoped } from "./OpenPools.ts"

type Open = Effect.Success<ReturnType<typeof openPools<never>>>

let snapshots = 1
const configure = ({ config, directory }: Open, pools: { readonly [pool: string]: PoolConfig.PoolConfigInput }) => {
  const decoded = { pools: Schema.decodeUnknownSync(Schema.Record(Schema.String, PoolConfig.PoolConfig))(pools) }
  config.latest = decoded
  directory.configure(++snapshots, decoded)
}
const change = (pools: Open, input: PoolConfig.PoolConfigInput) => configure(pools, { default: input })

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
      yield* after("1 second")
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

describe("pools come and go", () => {
  it.effect("one that has come to be named starts, and one that is named no more ends after its calls", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 1 }, other: { size: 1 } } })
      const call = yield* begin((yield* pools.client("other")).record({ n: 1 }))
      configure(pools, { default: { size: 1 }, third: { size: 2 } })
      yield* after("500 millis")
      assert.deepStrictEqual(pools.scripted.alive(), ["default/0", "other/0", "third/0", "third/1"])
      assert.strictEqual(yield* (yield* pools.client("third")).add({ a: 1, b: 2 }), 3)
      yield* after("600 millis")
      assert.strictEqual(yield* Fiber.join(call), 1)
      yield* after("5 seconds")
      assert.deepStrictEqual(pools.scripted.alive(), ["default/0", "third/0", "third/1"])
      configure(pools, { default: { size: 1 }, other: { size: 1 } })
      yield* after("5 seconds")
      assert.deepStrictEqual(pools.scripted.alive(), ["default/0", "other/0"])
    })))

  it.effect("one that does not come up is down with its reason, and tried again while it is named", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 1 } } })
      const before = pids(pools)
      yield* pools.scripted.worker("third/0").refuseBoots(3, "exit")
      configure(pools, { default: { size: 1 }, third: { size: 1 } })
      yield* after("20 millis")
      const error = yield* Effect.flip((yield* pools.client("third")).add({ a: 1, b: 2 }))
      assert.strictEqual(error._tag, "PoolDown")
      yield* after("20 seconds")
      assert.strictEqual(yield* (yield* pools.client("third")).add({ a: 1, b: 2 }), 3)
      assert.deepStrictEqual(pids(pools).slice(0, 1), before)
    })))

  it.effect("one that has never come up is repaired by its settings, in place and named anew", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 1 } } })
      const third = pools.scripted.worker("third/0")
      const { versions } = pools.directory.entry("third") // somebody asks for it before it is named
      yield* third.refuseBoots(1000, "exit")
      for (const concurrency of [2, 3]) {
        configure(pools, { default: { size: 1 }, third: { size: 1, concurrency } })
        yield* after("20 seconds")
        assert.strictEqual(versions.proven, versions.current, "each attempt is with what the configuration says")
      }
      configure(pools, { default: { size: 1 } })
      yield* after("5 seconds")
      yield* third.refuseBoots(0, "exit")
      configure(pools, { default: { size: 1 }, third: { size: 1, concurrency: 4 } })
      yield* after("1 second")
      assert.deepStrictEqual(pools.scripted.alive(), ["default/0", "third/0"])
      assert.strictEqual(versions.filled.get(0)?.config.concurrency, 4)
    })))

  it.effect("one that was up and does not come up again is repaired by its settings, whenever they come", () =>
    scoped(Effect.gen(function*() {
      for (const wait of ["10 millis", "3 seconds", "7 seconds"] as const) {
        const pools = yield* openPools({ pools: { default: { size: 1 }, other: { size: 1, restart: { pool: { maxRestarts: 0 } } } } })
        const other = pools.scripted.worker("other/0")
        const { versions } = pools.directory.entry("other")
        yield* other.refuseBoots(1000, "exit")
        yield* pools.kill("other/roster")
        yield* after(wait)
        configure(pools, { default: { size: 1 }, other: { size: 1, concurrency: 3 } })
        yield* after("20 seconds")
        assert.strictEqual(versions.proven, versions.current)
        yield* other.refuseBoots(0, "exit")
        yield* after("6 seconds")
        assert.strictEqual(versions.filled.get(0)?.config.concurrency, 3)
      }
    })))

  it.effect("one that gives up comes back as what has proved itself, not as what was rolled back", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 1, restart: { pool: { maxRestarts: 0 } } } } })
      const { versions } = pools.directory.entry("default")
      const first = versions.proven
      yield* pools.scripted.worker("default/1").refuseBoots(1, "exit")
      change(pools, { size: 1, concurrency: 3, restart: { pool: { maxRestarts: 0 } } })
      yield* after("5 seconds")
      assert.strictEqual(pools.roster().lifecycle.failed?.stage, "boot")
      yield* pools.kill("default/roster")
      yield* after("1 second")
      assert.strictEqual(versions.filled.get(0)?.roll, first.roll)
    })))

  it.effect("one that ends refuses new calls, so that those it has come to their end", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 1 }, other: { size: 2 } } })
      const tools = yield* pools.client("other")
      const refused: Array<string> = []
      const [ok, lost] = [{ calls: 0 }, { calls: 0 }]
      const caller = Effect.forever(Effect.matchEffect(tools.record({ n: 1 }), {
        onSuccess: () => Effect.sync(() => ok.calls++),
        onFailure: (error) => {
          if (error.executed !== "no") lost.calls++
          refused.push(error._tag)
          return Effect.sleep("100 millis")
        }
      }))
      const callers = [yield* begin(caller), yield* begin(Effect.delay(caller, "500 millis"))]
      yield* after("2700 millis")
      configure(pools, { default: { size: 1 } })
      yield* after("600 millis")
      assert.deepStrictEqual([...new Set(refused)], ["PoolDraining"])
      assert.deepStrictEqual(pools.scripted.alive(), ["default/0", "other/0", "other/1"])
      yield* after("2 seconds")
      assert.deepStrictEqual(pools.scripted.alive(), ["default/0"])
      assert.deepStrictEqual([ok.calls, lost.calls], [6, 0])
      yield* Effect.forEach(callers, Fiber.interrupt)
    })))

  it.effect("one that is named again while its calls come to their end takes calls again", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 1 }, other: { size: 1 } } })
      const tools = yield* pools.client("other")
      const before = pids(pools)
      const call = yield* begin(tools.record({ n: 1 }))
      configure(pools, { default: { size: 1 } })
      yield* after("500 millis")
      configure(pools, { default: { size: 1 }, other: { size: 1 } })
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(call), 1)
      assert.strictEqual(yield* tools.add({ a: 1, b: 2 }), 3)
      assert.deepStrictEqual(pids(pools), before)
    })))

  it.effect("one that is named again while it stops starts when it is gone", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({
        pools: { default: { size: 1 }, other: { size: 1, callTimeout: "2 seconds", queue: { timeout: "1 second" } } }
      })
      const tools = yield* pools.client("other")
      yield* begin(Effect.exit(tools.endless()))
      configure(pools, { default: { size: 1 } })
      const status = Effect.map(pools.running.tree, ({ children }) => children.find(({ id }) => id === "other")?.status)
      for (let looks = 0; looks < 100 && (yield* status) !== "stopping"; looks++) yield* after("100 millis")
      assert.strictEqual(yield* status, "stopping")
      configure(pools, { default: { size: 1 }, other: { size: 1 } })
      yield* after("10 millis")
      configure(pools, { default: { size: 1 } }) // and whatever else is said meanwhile
      yield* after("10 millis")
      configure(pools, { default: { size: 1 }, other: { size: 1 } })
      yield* after("30 seconds")
      assert.deepStrictEqual(pools.scripted.alive(), ["default/0", "other/0"])
      assert.strictEqual(yield* tools.add({ a: 1, b: 2 }), 3)
    })))
})

const Harm = Schema.Union([
  Schema.TaggedStruct("Configure", { concurrency: Schema.Literals([1, 2, 3]), attempts: Schema.Literals([1, 2, 3]) }),
  Schema.TaggedStruct("Assign", { slot: Schema.Literals([0, 1]) }),
  Schema.TaggedStruct("Prove", {}),
  Schema.TaggedStruct("Reload", {}),
  Schema.TaggedStruct("Crash", { slot: Schema.Literals([0, 1]) }),
  Schema.TaggedStruct("LoseChannel", { slot: Schema.Literals([0, 1]) }),
  Schema.TaggedStruct("Kill", { path: Schema.Literals(["control/dispatcher", "fleet/0/heartbeat", "fleet/1/watchdog", "control/spares"]) }),
  Schema.TaggedStruct("Wait", { ms: Schema.Literals([10, 300, 2000]) })
])

describe("whatever happens in the middle of a change", () => {
  it.effect.prop(
    "a worker is of one version from its process on, and the place keeps the one that it was assigned",
    { script: Schema.Array(Harm).check(Schema.isMaxLength(15)) },
    ({ script }) =>
      scoped(Effect.gen(function*() {
        const generous = { worker: { maxRestarts: 100 }, fleet: { maxRestarts: 100 }, pool: { maxRestarts: 100 } }
        const settings = (concurrency: number, attempts: number) => ({
          size: 2,
          concurrency,
          attempts,
          restart: generous,
          launch: { spares: 1 }
        })
        const pools = yield* openPools({ pools: { default: settings(1, 1) } })
        const { versions, ...entry } = pools.directory.entry("default")
        const seats = new Map<number, { readonly pid: number; readonly version: unknown }>()
        for (const step of [...script, { _tag: "Wait", ms: 6000 } as const]) {
          switch (step._tag) {
            case "Configure":
              change(pools, settings(step.concurrency, step.attempts))
              break
            case "Assign":
              versions.assigned.set(step.slot, versions.current)
              break
            case "Prove":
              versions.assigned.clear()
              entry.prove(versions.current)
              break
            case "Reload":
              entry.reload()
              break
            case "Crash":
            case "LoseChannel": {
              const worker = pools.scripted.worker(`default/${step.slot}`)
              if (worker.pid() === undefined) break
              yield* Effect.exit(step._tag === "Crash" ? worker.crash() : worker.loseChannel()) // there may be no channel now
              break
            }
            case "Kill":
              yield* Effect.ignore(pools.kill(`default/${step.path}`))
              break
            case "Wait":
              yield* after(step.ms)
          }
          const roster = pools.roster()
          for (const slot of [0, 1]) {
            const pid = roster.pids.get(slot)
            const version = versions.filled.get(slot)!
            const before = seats.get(slot)
            if (pid === undefined) continue
            if (before?.pid === pid) {
              assert.strictEqual(version, before.version, "its process is the same, and it has become of another version")
            }
            assert.strictEqual(roster.state.slots[slot]!.concurrency, version.config.concurrency, "its channel is of another version")
            seats.set(slot, { pid, version })
          }
          assert.strictEqual(roster.config.attempts, versions.current.config.attempts)
          assert.strictEqual(roster.config.concurrency, versions.proven.config.concurrency)
        }
        assert.strictEqual(pools.roster().state.config, pools.roster().config)
      })),
    { arbitrary: { runs: 40 } } // some 300 ms each
  )
})
