import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@snakepit/core"
import { Effect, Fiber, Schema, Stream } from "effect"
import * as Dispatch from "../src/control/Dispatch.ts"
import * as DispatchMachine from "../src/control/DispatchMachine.ts"
import * as LifecycleMachine from "../src/control/LifecycleMachine.ts"
import * as LifecycleState from "../src/control/LifecycleState.ts"
import type * as Places from "../src/control/Places.ts"
import { PoolConfig, PoolControl } from "../src/index.ts"
import * as PoolVersion from "../src/PoolVersion.ts"
import { ScriptedCodec, ScriptedRuntime, ScriptedTool } from "../src/testing/index.ts"
import { offerOf, wireOf } from "./MachineInput.ts"
import { after, begin, errorOf, openPools, scoped, tools as scriptedTools } from "./OpenPools.ts"

/** One pool of scripted workers, all up, and its control. */
const open = Effect.fnUntraced(function*(
  pool: PoolConfig.PoolConfigInput = {},
  { bootMillis = 0, ...scripting }: Omit<ScriptedRuntime.Options, "tools"> & { readonly bootMillis?: number } = {}
) {
  const scripted = ScriptedRuntime.make({ tools: scriptedTools, bootTakes: bootMillis, ...scripting })
  const start = yield* begin(openPools({ pools: { default: pool }, scripted }))
  yield* after(bootMillis)
  const opened = yield* Fiber.join(start)
  const control = yield* PoolControl.of("default").pipe(opened.provided)
  const said = (name: string) => opened.recorded.events.filter((event) => event.name === `snakepit.${name}`)
  const restarts = () =>
    opened.recorded.events.filter(({ name }) => name.endsWith("_supervisor.restart") || name.endsWith("_supervisor.give_up"))
  const slots = () =>
    Effect.map(control.status, ({ workers }) => workers.filter(({ doing }) => doing === "serving").map(({ slot }) => slot).toSorted())
  return { ...opened, control, said, restarts, slots }
})

const attributes = (events: ReadonlyArray<Event.Event>, ...names: ReadonlyArray<string>) =>
  events.map(({ attributes }) => names.map((name) => attributes[name]))

describe("recycle", () => {
  it.effect("by calls: the replacement is up before the old worker gets no more, and no restart is spent", () =>
    scoped(Effect.gen(function*() {
      const { ledger, restarts, said, scripted, slots, tools } = yield* open({ size: 2, recycle: { calls: 3, jitter: 0 } }, {
        bootMillis: 300
      })
      for (let call = 0; call < 3; call++) yield* tools.ping() // all to the first
      yield* after("1 second")
      assert.deepStrictEqual(attributes(said("lifecycle.start"), "slot", "because", "replaces"), [[2, "calls", 0]])
      assert.deepStrictEqual(scripted.alive(), ["default/0", "default/1"])
      yield* after("300 millis")
      assert.deepStrictEqual(scripted.alive(), ["default/0", "default/1", "default/2"])
      yield* after("100 millis")
      assert.deepStrictEqual(scripted.alive(), ["default/1", "default/2"])
      assert.deepStrictEqual(yield* slots(), [1, 2])
      assert.deepInclude(said("lifecycle.stop")[0]?.measurements, { served: 3 })
      assert.deepStrictEqual(said("worker.detach").length, 1)
      assert.deepStrictEqual(restarts(), [])
      assert.strictEqual((yield* ledger())?.failed, 0)
    })))

  it.effect("waits for the calls that the old worker has, however long they take, while the new one serves", () =>
    scoped(Effect.gen(function*() {
      const { scripted, tools } = yield* open({ size: 1, recycle: { calls: 1, jitter: 0 } })
      yield* tools.ping()
      const long = yield* begin(tools.endless())
      yield* after("1500 millis")
      assert.deepStrictEqual(scripted.alive(), ["default/0", "default/1"])
      assert.strictEqual(yield* tools.add({ a: 1, b: 2 }), 3)
      assert.strictEqual(scripted.journal.at(-1)?.worker, "default/1")
      assert.isUndefined(long.pollUnsafe())
      yield* after("3 seconds")
      assert.strictEqual((yield* errorOf(long))._tag, "CallTimeout") // by its own limit, and no other
      yield* after("20 seconds")
      assert.strictEqual(scripted.alive().length, 1)
    })))

  it.effect("by age, earlier by what was drawn for each, so that those that began together do not end together", () =>
    scoped(Effect.gen(function*() {
      const { said, scripted } = yield* open({ size: 3, recycle: { age: "1 minute", jitter: 0.5 } })
      const began = said("lifecycle.fill").map(({ measurements }) => measurements["draw"]!)
      assert.strictEqual(began.length, 3)
      yield* after("70 seconds")
      const ages = said("lifecycle.stop").slice(0, 3).map(({ measurements }) => measurements["ageMillis"]!)
      const expected = began.map((draw) => 60_000 * (1 - 0.5 * draw)).toSorted((a, b) => a - b)
      assert.strictEqual(ages.length, 3)
      for (const [index, age] of ages.entries()) {
        assert.isAtLeast(age, expected[index]!)
        assert.isAtMost(age, expected[index]! + 2500, "a look, and the one before it") // 1 s each
      }
      assert.strictEqual(scripted.alive().length, 3)
    })))

  it.effect("by memory: the worst first, and one at its limit gets no call while another serves", () =>
    scoped(Effect.gen(function*() {
      const { control, said, scripted, tools } = yield* open({ size: 3, recycle: { rss: 1 << 30, jitter: 0.1 } }, { bootMillis: 2000 })
      for (const slot of [0, 1, 2]) yield* scripted.worker(`default/${slot}`).uses(1 << 20)
      yield* after("1 second")
      yield* scripted.worker("default/0").uses(1 << 30)
      yield* scripted.worker("default/1").uses(3 * 2 ** 29)
      yield* scripted.worker("default/2").uses(2 ** 28)
      yield* after("1 second")
      const { workers } = yield* control.status
      assert.deepStrictEqual(workers.map(({ doing }) => doing), ["cordoned", "cordoned", "serving", "filling"])
      assert.deepStrictEqual(workers.map(({ memory }) => memory), [1 << 30, 3 * 2 ** 29, 2 ** 28, undefined])
      assert.deepStrictEqual(attributes(said("lifecycle.start"), "replaces", "because"), [[1, "memory"]])
      for (let call = 0; call < 3; call++) yield* tools.ping()
      assert.deepStrictEqual(new Set(scripted.journal.map(({ worker }) => worker)), new Set(["default/2"]))
      yield* after("10 seconds")
      assert.deepStrictEqual(attributes(said("lifecycle.stop"), "slot"), [[1], [0]])
      assert.strictEqual(scripted.alive().length, 3)
    })))

  it.effect("by memory: one that is below its limit again, or was replaced by a crash, gets calls again", () =>
    scoped(Effect.gen(function*() {
      const { control, said, scripted } = yield* open({ size: 4, recycle: { rss: 1 << 30, jitter: 0 } }, { bootMillis: 3000 })
      const doing = Effect.map(control.status, ({ workers }) => workers.map(({ doing }) => doing).slice(0, 4))
      for (const slot of [0, 1, 2]) yield* scripted.worker(`default/${slot}`).uses(1 << 20)
      yield* after("1 second")
      for (const [slot, memory] of [1 << 30, 1 << 30, 3 * 2 ** 29].entries()) yield* scripted.worker(`default/${slot}`).uses(memory)
      yield* after("1 second")
      assert.deepStrictEqual(yield* doing, ["cordoned", "cordoned", "cordoned", "serving"])
      yield* scripted.worker("default/0").uses(1 << 20) // while the replacement of the worst boots
      yield* scripted.worker("default/1").crash()
      yield* after("1 second")
      assert.deepStrictEqual(yield* doing, ["serving", "serving", "cordoned", "serving"])
      yield* after("10 seconds")
      assert.deepStrictEqual(attributes(said("lifecycle.stop"), "slot"), [[2]])
      assert.strictEqual((yield* control.status).ready, 4)
    })))

  it.effect("by memory: a limit that a new worker is beyond already is told once, costs no capacity and no churn", () =>
    scoped(Effect.gen(function*() {
      const { control, said, scripted } = yield* open({ size: 2, recycle: { rss: 1 << 20, jitter: 0 } })
      for (let step = 0; step < 600; step++) { // each new process uses twice as much
        for (const worker of scripted.alive()) yield* scripted.worker(worker).uses(1 << 21)
        yield* after("500 millis")
        assert.isFalse((yield* control.status).workers.some(({ doing }) => doing === "cordoned"))
      }
      assert.isAtMost(said("lifecycle.stop").length, 12) // in 5 minutes: 1, 2, … 32 s, then one a minute
      assert.isAtLeast(said("lifecycle.stop").length, 6)
      assert.deepStrictEqual(said("lifecycle.limit_low").map(({ measurements }) => measurements), [{ memory: 1 << 21, limit: 1 << 20 }])
    })))

  it.effect("by memory: a measurement that takes its time holds up nothing else", () =>
    scoped(Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools })
      const runtime = { ...scripted.runtime, memory: () => Effect.never }
      const { provided } = yield* openPools({
        pools: { default: { size: 1, recycle: { rss: 1 << 20 } } },
        scripted: { ...scripted, runtime }
      })
      const control = yield* PoolControl.of("default").pipe(provided)
      const recycled = yield* begin(control.recycle(0))
      yield* after("2 seconds")
      yield* Fiber.join(recycled)
      assert.deepStrictEqual(scripted.alive(), ["default/1"])
    })))

  it.effect("by memory: that none can be measured is told once", () =>
    scoped(Effect.gen(function*() {
      const { said } = yield* open({ size: 2, recycle: { rss: 1 << 20 } })
      yield* after("1 minute")
      assert.deepStrictEqual(said("lifecycle.memory_unknown").length, 1)
    })))

  it.effect("leaves the last worker that serves its calls, whatever memory it uses, and those whose replacement does not come up", () =>
    scoped(Effect.gen(function*() {
      const { control, said, scripted, tools } = yield* open({ size: 2, recycle: { rss: 1 << 20, jitter: 0 } })
      for (const slot of [0, 1]) yield* scripted.worker(`default/${slot}`).uses(1 << 21)
      for (const slot of [0, 1, 2]) yield* scripted.worker(`default/${slot}`).refuseBoots(3)
      yield* after("1 second")
      const both = yield* control.status
      assert.deepStrictEqual(both.workers.map(({ doing }) => doing), ["serving", "serving"])
      assert.strictEqual(said("lifecycle.start_fail").length, 1)
      assert.deepInclude(said("lifecycle.start_fail")[0]?.attributes, { slot: 2, because: "memory" })
      yield* tools.ping()
      yield* after("2 seconds")
      assert.deepStrictEqual(said("lifecycle.start_fail").map(({ measurements }) => measurements["delayMillis"]), [1000, 2000])
      yield* after("20 seconds")
      assert.deepStrictEqual(attributes(said("lifecycle.stop"), "because"), [["memory"], ["memory"]])
      assert.strictEqual(scripted.alive().length, 2)
    })))

  it.effect("a strict session goes on where it is until its worker drains, and its next call is told then", () =>
    scoped(Effect.gen(function*() {
      const { control, scripted, tools } = yield* open({ size: 1, affinity: "strict_queue" })
      const session = { session: "s" }
      yield* tools.ping(undefined, session)
      const first = yield* begin(tools.record({ n: 1 }, session))
      const waits = yield* begin(tools.record({ n: 2 }, session))
      yield* begin(control.recycle(0))
      yield* after("100 millis")
      const late = yield* Effect.flip(tools.ping(undefined, session))
      assert.strictEqual(late._tag, "SessionLost")
      yield* after("2 seconds")
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(waits)], [1, 2])
      assert.deepStrictEqual(scripted.alive(), ["default/1"])
      yield* tools.ping(undefined, session) // it was told
    })))

  it.effect("a strict session is told once that its worker drains, however long that takes because of others, and begins elsewhere", () =>
    scoped(Effect.gen(function*() {
      for (const affinity of ["strict_queue", "strict_fail_fast"] as const) {
        const { control, scripted, said, tools } = yield* open({ size: 1, affinity })
        const session = { session: "s" }
        yield* tools.ping(undefined, session)
        const other = yield* begin(tools.record({ n: 1 }))
        yield* begin(control.recycle(0))
        yield* after("100 millis")
        assert.include(yield* Effect.flip(tools.ping(undefined, session)), { _tag: "SessionLost", executed: "no" })
        yield* tools.ping(undefined, session)
        assert.isUndefined(other.pollUnsafe())
        assert.deepStrictEqual(scripted.sessions.map(({ how, worker }) => [worker, how]), [["default/0", "ended"], ["default/1", "open"]])
        assert.deepStrictEqual(attributes(said("session.lose"), "then"), [["told"]])
        yield* after("5 seconds")
        yield* tools.ping(undefined, session)
      }
    })))

  it.effect("a strict session that may begin anew goes on elsewhere once its worker has ended it, and no call of it is told", () =>
    scoped(Effect.gen(function*() {
      const { control, said, scripted, tools } = yield* open({ size: 1, affinity: "strict_queue", sessions: { onLoss: "replay" } })
      const session = { session: "s" }
      const calls = yield* Effect.forEach([1, 2, 3], (n) => begin(tools.record({ n }, session)))
      const done = yield* begin(control.recycle(0))
      yield* after("100 millis")
      calls.push(yield* begin(tools.record({ n: 4 }, session)))
      assert.deepStrictEqual(scripted.alive(), ["default/0", "default/1"])
      yield* after("800 millis")
      assert.deepStrictEqual(scripted.sessions.map(({ how, worker }) => [worker, how]), [["default/0", "open"]])
      yield* after("5 seconds")
      assert.deepStrictEqual(scripted.sessions.map(({ how, worker }) => [worker, how]), [["default/0", "ended"], ["default/1", "open"]])
      assert.deepStrictEqual(attributes(said("session.lose"), "then"), [["replayed"]])
      assert.deepStrictEqual(yield* Effect.forEach(calls, Fiber.join), [1, 2, 3, 4])
      yield* Fiber.join(done)
      assert.deepStrictEqual(scripted.journal.map(({ worker }) => worker), ["default/0", "default/1", "default/1", "default/1"])
    })))
})

describe("an operator", () => {
  it.effect("pauses a pool: calls are accepted and wait, those that run go on; and resumes it", () =>
    scoped(Effect.gen(function*() {
      const { control, said, scripted, tools } = yield* open({ size: 1, queue: { capacity: 1 } })
      const runs = yield* begin(tools.record({ n: 1 }))
      yield* control.pause
      yield* control.pause
      const waits = yield* begin(tools.record({ n: 2 }))
      assert.strictEqual((yield* Effect.flip(tools.ping()))._tag, "QueueFull")
      yield* after("5 seconds")
      assert.strictEqual(yield* Fiber.join(runs), 1)
      assert.deepStrictEqual(scripted.journal.length, 1)
      yield* control.resume
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(waits), 2)
      assert.deepStrictEqual([said("pool.pause").length, said("pool.resume").length], [1, 1])
    })))

  it.effect("drains a pool: new calls are refused, and it is told when the last is over", () =>
    scoped(Effect.gen(function*() {
      const { control, said, tools } = yield* open({ size: 1 })
      const calls = [yield* begin(tools.record({ n: 1 })), yield* begin(tools.record({ n: 2 }))]
      const drained = yield* begin(control.drain)
      yield* after("100 millis")
      const refused = yield* Effect.flip(tools.ping())
      assert.deepInclude(refused, { _tag: "PoolDraining", executed: "no" })
      assert.isUndefined(drained.pollUnsafe())
      yield* after("2 seconds")
      assert.deepStrictEqual([yield* Fiber.join(calls[0]!), yield* Fiber.join(calls[1]!)], [1, 2])
      yield* Fiber.join(drained)
      assert.strictEqual((yield* control.status).draining, "drained")
      yield* control.undrain
      yield* tools.ping()
      assert.deepStrictEqual(["drain", "drained", "undrain"].map((verb) => said(`pool.${verb}`).length), [1, 1, 1])
    })))

  it.effect("cordons a worker: it gets no new calls, and stays cordoned when it crashes", () =>
    scoped(Effect.gen(function*() {
      const { control, scripted, tools } = yield* open({ size: 2 })
      yield* control.cordon(0)
      yield* tools.ping()
      yield* scripted.worker("default/0").crash()
      yield* after("1 second")
      yield* Effect.all([tools.ping(), tools.ping(), tools.ping()], { concurrency: "unbounded" })
      assert.deepStrictEqual(new Set(scripted.journal.map(({ worker }) => worker)), new Set(["default/1"]))
      assert.strictEqual((yield* control.status).ready, 1)
      yield* control.uncordon(0)
      yield* tools.ping()
      assert.strictEqual(scripted.journal.at(-1)?.worker, "default/0")
      assert.deepInclude(yield* Effect.flip(control.cordon(7)), { _tag: "WorkerNotFound", slot: 7, available: [0, 1] })
    })))

  it.effect("scales a pool up and down, and the calls of who goes come to their end", () =>
    scoped(Effect.gen(function*() {
      const { control, ledger, restarts, said, scripted, tools } = yield* open({ size: 1 }, { bootMillis: 100 })
      const up = yield* begin(control.scale(3))
      yield* after("1 second")
      yield* Fiber.join(up)
      assert.deepStrictEqual(scripted.alive(), ["default/0", "default/1", "default/2"])
      const calls = yield* Effect.forEach([1, 2, 3], (n) => begin(tools.record({ n })))
      const down = yield* begin(control.scale(1))
      yield* after("500 millis")
      assert.isUndefined(down.pollUnsafe())
      yield* after("3 seconds")
      yield* Fiber.join(down)
      assert.deepStrictEqual(yield* Effect.forEach(calls, Fiber.join), [1, 2, 3])
      assert.strictEqual(scripted.alive().length, 1)
      assert.deepInclude(yield* Effect.flip(control.scale(0)), { _tag: "SizeInvalid", min: 1 })
      assert.deepStrictEqual(said("pool.scale").map(({ measurements }) => measurements), [{ size: 3, was: 1 }, { size: 1, was: 3 }])
      assert.deepStrictEqual(restarts(), [])
      assert.strictEqual((yield* ledger())?.failed, 0)
    })))

  it.effect("is not kept waiting for a worker that is at its memory limit to be uncordoned", () =>
    scoped(Effect.gen(function*() {
      const { control, scripted } = yield* open({ size: 2, recycle: { rss: 1 << 20, jitter: 0 } }, { bootMillis: 5000 })
      for (const slot of [0, 1]) yield* scripted.worker(`default/${slot}`).uses(1 << 19)
      yield* after("2 seconds")
      yield* scripted.worker("default/0").uses(1 << 20)
      yield* after("2 seconds")
      yield* control.uncordon(0)
      assert.strictEqual((yield* control.status).workers[0]?.doing, "cordoned")
    })))

  it.effect("has a worker replaced, sees every change, and learns that a pool that is down cannot be asked", () =>
    scoped(Effect.gen(function*() {
      const { control, kill, provided, slots } = yield* open({ size: 2 }, { bootMillis: 100 })
      const changes = yield* begin(Stream.runCollect(control.changes))
      const done = yield* begin(control.recycle(1))
      yield* after("1 second")
      yield* Fiber.join(done)
      assert.deepStrictEqual(yield* slots(), [0, 2])
      const waits = yield* begin(control.recycle(0))
      yield* kill("default/roster")
      assert.strictEqual((yield* errorOf(waits))._tag, "PoolUnavailable")
      const seen = yield* Fiber.join(changes)
      assert.isTrue(seen.some(({ workers }) => workers.length === 3))
      assert.strictEqual((yield* Effect.flip(control.status))._tag, "PoolUnavailable")
      assert.strictEqual((yield* Effect.flip(PoolControl.of("nowhere").pipe(provided)))._tag, "PoolNotFound")
      yield* after("1 second")
      assert.strictEqual((yield* control.status).ready, 2)
    })))
})

describe("a call that a host tool makes for one that runs", () => {
  it("is accepted while the pool is drained, and sent while it is paused: the other waits for it", () => {
    const state = Dispatch.make("default", Schema.decodeUnknownSync(PoolConfig.PoolConfig)({ size: 1 }), ScriptedCodec.digest)
    const say = (event: Dispatch.Event) => DispatchMachine.transition(state, event, 0).map(({ _tag }) => _tag)
    const tool = ScriptedTool.announced("tool")
    say({ _tag: "Attached", slot: 0, wire: wireOf([tool], 2) })
    say({ _tag: "Refuse" })
    say({ _tag: "Pause" })
    assert.deepStrictEqual(say({ _tag: "Offer", offer: offerOf({ id: 1, tool: "tool", at: 0 }) }), ["Fail"])
    assert.deepStrictEqual(say({ _tag: "Offer", offer: offerOf({ id: 2, tool: "tool", at: 0, nested: 1 }) }), ["Send"])
    say({ _tag: "Accept" })
    assert.deepStrictEqual(say({ _tag: "Offer", offer: offerOf({ id: 3, tool: "tool", at: 0 }) }), [])
    assert.deepStrictEqual(say({ _tag: "Resume" }), ["Send"])
  })
})

/** The machine of a pool of three whose workers are all up, and what is seen of them. */
const machine = (settings: PoolConfig.PoolConfigInput = {}) => {
  const config = Schema.decodeUnknownSync(PoolConfig.PoolConfig)({ size: 3, ...settings })
  const versions = PoolVersion.versions({ snapshot: 1, roll: 0, config })
  const state = LifecycleState.make("default", versions, config)
  const say = (event: LifecycleState.Event, now = 0) => LifecycleMachine.transition(state, event, now)
  const seen = (slot: number, calls = 0): Places.Seen => ({
    slot,
    runs: true,
    attached: true,
    calls,
    served: 0,
    memory: state.places[slot]!.seen.memory,
    missing: [],
    changed: []
  })
  const look = (...calls: ReadonlyArray<number>) =>
    say({ _tag: "Look", seen: [0, 1, 2].map((slot) => seen(slot, calls[slot])), delayMillis: 0, busy: 0, open: 0 })
  for (const slot of [0, 1, 2]) {
    versions.filled.set(slot, versions.proven)
    say({ _tag: "Filled", slot, generation: 0, served: 0, draw: 0 })
  }
  look()
  return { look, say, state, versions }
}

describe("who goes when there are to be fewer", () => {
  const gone = ({ look, say, state }: ReturnType<typeof machine>) => {
    say({ _tag: "Scale", size: 2 })
    look(2, 1, 0)
    return state.places.flatMap(({ doing, slot }) => doing === "draining" ? [slot] : [])
  }

  it("is the least used, but before it one that is to be replaced, and before that one of another version", () => {
    assert.deepStrictEqual(gone(machine()), [2])
    const due = machine({ recycle: { age: "1 hour" } })
    due.state.places[0]!.filledAt = -3_600_000
    assert.deepStrictEqual(gone(due), [0])
    const stale = machine({ recycle: { age: "1 hour" } })
    stale.state.places[0]!.filledAt = -3_600_000
    stale.versions.filled.set(1, { ...stale.versions.proven, roll: -1 })
    assert.deepStrictEqual(gone(stale), [1])
  })
})

describe("a lifecycle that begins", () => {
  it("tells again what the one before has decided: it may not have been carried out", () => {
    const { say, state, versions } = machine()
    state.places[0]!.doing = "cordoned"
    state.places[1]!.doing = "draining"
    state.paused = true
    state.draining = "drained"
    state.rollout = { version: versions.proven, stage: "rest", canary: 2, generation: 0, since: 0 }
    const told = say({ _tag: "Begin" }).map((command) => {
      if (command._tag !== "Dispatch") return command._tag
      return "slot" in command.event ? `${command.event._tag} ${command.event.slot}` : command.event._tag
    })
    assert.sameMembers(told, ["Cordon 0", "Drain 1", "Uncordon 2", "Pause", "Refuse", "Prove", "Promote 2"])
    state.rollout = undefined
    state.places[2]!.doing = "filling"
    assert.deepStrictEqual(say({ _tag: "Begin" }).some(({ _tag }) => _tag === "Prove"), false)
  })
})

describe("a version that was taken back before it was looked at", () => {
  it("is told to those who wait for it", () => {
    const { look, state, versions } = machine()
    versions.rolls = 2
    look()
    assert.deepStrictEqual([1, 2].map((roll) => (state.results.get(roll) as { readonly _tag: string })._tag), [
      "RolloutSuperseded",
      "RolloutSuperseded"
    ])
    assert.isUndefined(state.rollout)
  })
})

describe("what was under way", () => {
  it.effect("is gone on with by the next lifecycle, wherever it was", () =>
    scoped(Effect.gen(function*() {
      const { control, kill, restarts, said, scripted, tools } = yield* open({ size: 1 }, { bootMillis: 400 })
      const call = yield* begin(tools.record({ n: 1 }))
      const done = yield* begin(control.recycle(0))
      for (let step = 0; step < 3; step++) { // while it comes up, while the old one drains, when that is gone
        yield* kill("default/control/lifecycle")
        yield* after("450 millis")
      }
      yield* after("2 seconds")
      yield* Fiber.join(done)
      assert.strictEqual(yield* Fiber.join(call), 1)
      assert.deepStrictEqual(scripted.alive(), ["default/1"])
      assert.deepStrictEqual(["start", "ready", "drain", "stop"].map((verb) => said(`lifecycle.${verb}`).length), [1, 1, 1, 1])
      assert.deepStrictEqual(restarts().map(({ attributes }) => attributes["child"]), ["lifecycle", "lifecycle", "lifecycle"])
    })))
})

describe("autoscale", () => {
  it.effect("does not add workers for calls that wait for one worker alone", () =>
    scoped(Effect.gen(function*() {
      const { control, tools } = yield* open({
        size: 1,
        affinity: "strict_queue",
        autoscale: { min: 1, max: 3, targetDelay: "200 millis", cooldown: "2 seconds" }
      })
      yield* tools.ping(undefined, { session: "s" })
      const calls = yield* Effect.forEach([1, 2, 3, 4, 5], (n) => begin(tools.record({ n }, { session: "s" })))
      yield* after("4 seconds")
      assert.strictEqual((yield* control.status).size, 1)
      yield* after("4 seconds")
      assert.deepStrictEqual(yield* Effect.forEach(calls, Fiber.join), [1, 2, 3, 4, 5])
    })))

  it.effect("adds workers while calls wait too long, and takes them away when the others can do what runs", () =>
    scoped(Effect.gen(function*() {
      const { control, restarts, said, scripted, tools } = yield* open({
        size: 1,
        queue: { timeout: "2 minutes" },
        autoscale: { min: 1, max: 3, targetDelay: "200 millis", cooldown: "2 seconds" }
      })
      const calls = yield* Effect.forEach(Array.from({ length: 40 }, (_, n) => n), (n) => begin(tools.record({ n })))
      yield* after("6 seconds")
      assert.strictEqual((yield* control.status).size, 3)
      assert.strictEqual(scripted.alive().length, 3)
      yield* after("30 seconds")
      assert.deepStrictEqual(yield* Effect.forEach(calls, Fiber.join), Array.from({ length: 40 }, (_, n) => n))
      assert.strictEqual((yield* control.status).size, 1)
      assert.strictEqual(scripted.alive().length, 1)
      assert.deepStrictEqual(said("pool.scale").map(({ measurements }) => measurements["size"]), [2, 3, 2, 1])
      assert.deepStrictEqual(restarts(), [])
    })))
})
