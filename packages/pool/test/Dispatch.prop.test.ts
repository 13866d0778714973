import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as DeadlineWheel from "../src/control/DeadlineWheel.ts"
import type * as Dispatch from "../src/control/Dispatch.ts"
import { make } from "../src/control/Dispatch.ts"
import * as DispatchMachine from "../src/control/DispatchMachine.ts"
import * as DispatchRepair from "../src/control/DispatchRepair.ts"
import * as Line from "../src/control/Line.ts"
import * as TenantQueue from "../src/control/TenantQueue.ts"
import { PoolConfig } from "../src/PoolConfig.ts"
import { ScriptedTool } from "../src/testing/index.ts"
import { Crashes, Model, Script, Settings } from "./DispatchModel.ts"
import { offerOf, wireOf } from "./MachineInput.ts"

/** Many short scripts meet the interleavings, long ones what needs many steps to come about. */
const short = { runs: 16_000, size: 25 }
const long = { runs: 300, size: 150 }
const crowded = { runs: 500, size: 60 }
const damaged = { runs: 2000, size: 40 }
const crashing = { runs: 1200, size: 60 }

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const id = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 14 }))
const slot = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 }))

/** What a mistake in the machine, or a throw in the middle of a decision, can leave behind. */
const Damage = Schema.Union([
  Schema.TaggedStruct("LosePlace", { id }),
  Schema.TaggedStruct("Enqueue", { id }),
  Schema.TaggedStruct("PutOnSlot", { id, slot }),
  Schema.TaggedStruct("LoseWorker", { slot }),
  Schema.TaggedStruct("OpenSlot", { slot }),
  Schema.TaggedStruct("LoseCall", { id }),
  Schema.TaggedStruct("LoseDeadline", { id }),
  Schema.TaggedStruct("Avoid", { slot }),
  Schema.TaggedStruct("MiscountClean", { by: Schema.Int.check(Schema.isBetween({ minimum: -2, maximum: 2 })) }),
  Schema.TaggedStruct("MiscountQuarantine", {}),
  Schema.TaggedStruct("MiscountWaiting", { by: Schema.Int.check(Schema.isBetween({ minimum: -2, maximum: 2 })) }),
  Schema.TaggedStruct("Miscount", { by: Schema.Int.check(Schema.isBetween({ minimum: -2, maximum: 2 })) })
])

const harm = (state: Dispatch.DispatchState, damage: typeof Damage.Type): void => {
  const call = "id" in damage ? state.calls.get(damage.id) : undefined
  switch (damage._tag) {
    case "LosePlace":
      return call && Line.leave(call)
    case "Enqueue":
      if (call === undefined) return
      Line.leave(call)
      return TenantQueue.push(state.queue, call)
    case "PutOnSlot":
      if (call === undefined) return
      Line.leave(call)
      return Line.push(state.slots[damage.slot]!.calls, call)
    case "LoseWorker":
      state.slots[damage.slot]!.tools = undefined
      return
    case "OpenSlot":
      state.slots[damage.slot]!.open = true
      return
    case "LoseCall":
      return void state.calls.delete(damage.id)
    case "LoseDeadline":
      return call && DeadlineWheel.clear(state.wheel, call.timer)
    case "Avoid":
      state.slots[damage.slot]!.avoided = !state.slots[damage.slot]!.avoided
      return
    case "MiscountClean":
      state.barrier.clean += damage.by
      return
    case "MiscountQuarantine":
      return state.barrier.quarantine.tools.clear()
    case "MiscountWaiting":
      state.waiting += damage.by
      return
    case "Miscount":
      state.ledger.accepted += damage.by
  }
}

const play = (settings: Settings, script: typeof Script.Type | typeof Crashes.Type): Model => {
  const model = new Model(settings)
  for (const step of script) model.step(step)
  return model
}

describe("Dispatch", () => {
  it.prop(
    "every accepted call ends in exactly one outcome, whatever callers and workers do",
    { settings: Settings, script: Script },
    ({ script, settings }) => play(settings, script).settle(),
    { arbitrary: short, timeout: 120_000 }
  )

  it.prop(
    "and so it is in long histories",
    { settings: Settings, script: Script },
    ({ script, settings }) => play(settings, script).settle(),
    { arbitrary: long }
  )

  it.prop(
    "of calls that crash their workers those with the same arguments are refused after poisonAfter crashes, and no taint empties the pool",
    { settings: Settings, script: Crashes },
    ({ script, settings }) => play({ ...settings, up: 3, capacity: 6 }, script).settle(),
    { arbitrary: crashing, timeout: 60_000 }
  )

  it.prop(
    "of many quick calls the poisonous one is quarantined, each of its crashes is counted, and its neighbours complete",
    {
      size: between(1, 3),
      concurrency: between(1, 3),
      prefetch: Schema.Union([between(0, 12), Schema.Literal("auto")]),
      crowd: between(0, 40),
      nth: between(0, 40),
      /** What a worker does next: which of them, how many of its calls it finishes, and whether it is heard before one of these crashes it. */
      chances: Schema.Array(Schema.Struct({ slot: between(0, 2), over: between(1, 4), isHeard: Schema.Boolean }))
    },
    ({ chances, concurrency, crowd, nth, prefetch, size }) => {
      const poison = 1 + Math.min(nth, crowd)
      const config = Schema.decodeUnknownSync(PoolConfig)({ size, prefetch, concurrency })
      const state = make("p", config, (payload) => String((payload as Uint8Array)[0]))
      const queues = Array.from({ length: size }, (): Array<number> => [])
      const ends = new Map<number, string>()
      let now = 1_000_000
      let crashes = 0
      const quarantined: Array<string> = []
      const say = (event: Dispatch.Event): void => {
        for (const command of DispatchMachine.transition(state, event, now)) {
          if (command._tag === "Send") queues[command.slot]!.push(command.id)
          else if (command._tag === "Complete") ends.set(command.id, "completed")
          else if (command._tag === "Fail") ends.set(command.id, command.error._tag)
          else if (command._tag === "AskDelay") say({ _tag: "DelayKnown", asked: { ...command, _tag: "AskDelay" }, delayMillis: 50 })
          else if (command._tag === "Quarantined") quarantined.push(command.digest)
        }
        assert.deepStrictEqual(DispatchRepair.violations(state), [])
      }
      const attach = (slot: number) => say({ _tag: "Attached", slot, wire: wireOf([ScriptedTool.announced("a")], concurrency) })
      for (let slot = 0; slot < size; slot++) attach(slot)
      for (let id = 1; id <= crowd + 1; id++) {
        say({ _tag: "Offer", offer: offerOf({ id, tool: "a", idempotent: true, payload: Uint8Array.of(id), at: now }) })
      }
      for (let turn = 0; ends.size <= crowd && turn < 2000; turn++) {
        const { isHeard, over, slot: from } = chances[turn % Math.max(1, chances.length)] ?? { slot: turn, over: 1, isHeard: false }
        const slot = [0, 1, 2].map((by) => (from + by) % size).find((slot) => queues[slot]!.length > 0)
        if (slot === undefined) {
          now += 10
          say({ _tag: "Tick" })
          continue
        }
        const queue = queues[slot]!
        const at = queue.indexOf(poison)
        const finished = queue.slice(0, at < 0 ? over : Math.min(over, at))
        const isCrash = at >= 0 && at < over + concurrency - 1
        if (!isCrash || isHeard) {
          for (const id of finished) {
            queue.splice(queue.indexOf(id), 1)
            say({ _tag: "Done", slot, id, payload: Uint8Array.of(0), micros: 20 })
          }
        }
        now += 1
        if (!isCrash) continue
        crashes++
        queues[slot] = []
        say({ _tag: "Detached", slot, reason: "gone", ended: true, exit: { _tag: "Segfault", signal: "SIGSEGV" } })
        attach(slot)
      }
      assert.strictEqual(ends.size, crowd + 1, "a call never comes to its end")
      for (const [id, end] of ends) if (id !== poison) assert.strictEqual(end, "completed", `call ${id} beside call ${poison}`)
      assert.strictEqual(crashes, 3)
      if (concurrency > 1) return // beside calls that came meanwhile its first crash proves nothing: the next call with its arguments is the last
      assert.deepStrictEqual(quarantined, [String(poison)])
      assert.strictEqual(ends.get(poison), "CallPoisoned")
    },
    { arbitrary: crowded, timeout: 60_000 }
  )

  it.prop(
    "closing ends every open call, and each later one at once",
    { settings: Settings, script: Script },
    ({ script, settings }) => {
      const model = play(settings, script)
      model.close()
      const offer = offerOf({ id: 999, tool: "a", at: model.now })
      model.step({ _tag: "Attach", slot: 0, poor: false })
      const [refused, ...more] = DispatchMachine.transition(model.state, { _tag: "Offer", offer }, model.now)
      assert.isTrue(refused?._tag === "Fail" && refused.error._tag === "PoolDown")
      assert.deepStrictEqual(more, [])
    },
    { arbitrary: damaged }
  )

  it.prop(
    "a damaged state is sound after its repair, and each of its calls is still open or settled",
    {
      settings: Settings,
      script: Schema.Union([Script, Crashes]),
      damages: Schema.Array(Damage).check(Schema.isMinLength(1), Schema.isMaxLength(6))
    },
    ({ damages, script, settings }) => {
      const { now, state } = play(settings, script)
      for (const damage of damages) harm(state, damage)
      const open = () => [...state.calls.values()].filter(({ stage }) => stage !== "Abandoned").map(({ id }) => id)
      const before = open()
      const commands = DispatchRepair.repair(state, now)
      assert.deepStrictEqual(DispatchRepair.violations(state), [])
      const told = commands.flatMap((command) => command._tag === "Fail" ? [command.id] : [])
      assert.deepStrictEqual([...told, ...open()].toSorted((a, b) => a - b), before.toSorted((a, b) => a - b))

      const ends = DispatchMachine.transition(state, { _tag: "Close", because: "over" }, now)
      assert.deepStrictEqual(ends.flatMap((command) => command._tag === "Fail" ? [command.id] : []).length, before.length - told.length)
      assert.deepStrictEqual(DispatchRepair.violations(state), [])
    },
    { arbitrary: damaged }
  )

  it.prop(
    "a sound state needs no repair",
    { settings: Settings, script: Schema.Union([Script, Crashes]) },
    ({ script, settings }) => {
      const model = play({ ...settings, delay: 20 }, script)
      model.step({ _tag: "Tick", ms: 1 }) // what has come to be due by time alone
      const { now, state } = model
      assert.deepStrictEqual(DispatchRepair.repair(state, now), [])
    },
    { arbitrary: damaged }
  )
})

const settings: Settings = {
  concurrency: 1,
  prefetch: 0,
  affinity: "hint",
  capacity: 4,
  perTenant: 4,
  attempts: 3,
  credit: 4,
  poisonAfter: 3,
  delay: 20,
  taintFor: 0,
  maxTainted: 1,
  up: 1
}
const offer = (more: Partial<Extract<typeof Script.Type[number], { _tag: "Offer" }>> = {}) =>
  ({
    _tag: "Offer",
    tool: "a",
    args: 0,
    says: true,
    idempotent: false,
    deterministic: false,
    large: false,
    timeout: 500,
    hardLimit: 0,
    tenant: "",
    session: "",
    deadline: 0,
    queueTimeout: 0,
    ...more
  }) as const

describe("Dispatch, by example", () => {
  it("a call whose cancelled tool goes on is reported again until its worker is gone", () => {
    const model = play(settings, [offer(), { _tag: "Begin", slot: 0 }, { _tag: "Cancel", nth: 0 }])
    for (let bite = 0; bite < 3; bite++) {
      model.bitten.clear()
      model.step({ _tag: "Tick", ms: 110 })
      assert.deepStrictEqual([...model.bitten], [0])
    }
    model.step({ _tag: "Detach", slot: 0, end: "KilledByUs" })
    model.bitten.clear()
    model.step({ _tag: "Tick", ms: 300 })
    assert.deepStrictEqual([...model.bitten], [])
  })

  it("a call that a draining worker gives back waits as long as a new one", () => {
    const model = play(settings, [offer({ timeout: 30 }), { _tag: "GiveBack", slot: 0 }, { _tag: "Tick", ms: 110 }, {
      _tag: "Tick",
      ms: 40
    }])
    assert.deepStrictEqual([...model.open()].length, 1)
  })

  const suspects = (model: Model) =>
    [...model.state.barrier.quarantine.suspects.values()].map(({ crashes, digest }) => [digest, crashes.length])

  it("a crash counts for none of several quick calls, and then for the one that crashes a worker of its own, both times", () => {
    const calls = [0, 1, 2].map((args) => offer({ args, idempotent: true }))
    const model = play({ ...settings, prefetch: 2, delay: 0 }, [...calls, { _tag: "Detach", slot: 0, end: "Segfault" }])
    assert.deepStrictEqual(suspects(model), [])
    model.step({ _tag: "Pass", ms: 1 })
    model.step({ _tag: "Attach", slot: 0, poor: false })
    assert.strictEqual(model.state.slots[0]!.calls.length, 1, "nothing is sent ahead behind it")
    model.step({ _tag: "Detach", slot: 0, end: "Segfault" })
    assert.strictEqual(suspects(model).length, 1)
    assert.strictEqual(suspects(model)[0]![1], 2)
    model.settle()
  })

  it("a call whose worker crashed does not wait for another one that lasts, nor do those behind it", () => {
    const calls = [0, 1].map((args) => offer({ args, idempotent: true }))
    const model = play({ ...settings, concurrency: 2, delay: 0 }, [...calls, { _tag: "Detach", slot: 0, end: "Segfault" }])
    model.step({ _tag: "Attach", slot: 0, poor: false })
    model.step(offer({ args: 2 }))
    assert.strictEqual(model.state.slots[0]!.calls.length, 1)
    model.step({ _tag: "Tick", ms: 110 })
    assert.strictEqual(model.state.slots[0]!.calls.length, 2)
    model.settle()
  })

  it("a call that said long ago that it began has crashed its worker; one that has just said so may be over", () => {
    for (const [ms, expected] of [[300, []], [1000, ["args 0"]]] as const) {
      const steps = [offer(), offer({ args: 1 }), { _tag: "Begin", slot: 0 }, { _tag: "Pass", ms }, {
        _tag: "Detach",
        slot: 0,
        end: "Segfault"
      }] as const
      assert.deepStrictEqual(suspects(play({ ...settings, prefetch: 1 }, steps)).map(([digest]) => digest), [...expected])
    }
  })

  it("a call that was cancelled before it began in its present attempt has not crashed its worker", () => {
    const model = play(settings, [
      offer({ idempotent: true }),
      { _tag: "Begin", slot: 0 },
      { _tag: "Detach", slot: 0, end: "KilledByUs" },
      { _tag: "Attach", slot: 0, poor: false },
      { _tag: "Cancel", nth: 0 },
      { _tag: "Detach", slot: 0, end: "Segfault" }
    ])
    assert.deepStrictEqual(suspects(model), [])
  })

  it("a call that runs and is given back ends as unknown, and is not sent again", () => {
    for (const idempotent of [true, false]) {
      const { now, state } = play({ ...settings, up: 2 }, [offer({ idempotent }), { _tag: "Begin", slot: 0 }])
      const commands = DispatchMachine.transition(state, { _tag: "Failed", slot: 0, id: 1, failure: { _tag: "Declined" } }, now)
      assert.deepStrictEqual(commands.map((command) => command._tag === "Fail" ? command.error._tag : command._tag), ["OutcomeUnknown"])
      assert.strictEqual(state.calls.size, 0)
      assert.deepStrictEqual(DispatchRepair.violations(state), [])
    }
  })

  it("the crash in the command of a call settles that call as unknown, and no other", () => {
    const model = play({ ...settings, prefetch: 1 }, [offer({ idempotent: true }), offer({ idempotent: true })])
    const during: Dispatch.Command = {
      _tag: "Send",
      slot: 0,
      id: 1,
      attempt: 1,
      tool: "a",
      session: undefined,
      deadlineMillis: 500,
      credit: 4,
      skip: 0
    }
    const commands = DispatchRepair.repair(model.state, model.now, during)
    assert.deepStrictEqual(commands.map((command) => command._tag === "Fail" ? [command.id, command.error._tag] : []), [[
      1,
      "OutcomeUnknown"
    ]])
    assert.deepStrictEqual([...model.state.calls.keys()], [2])
    assert.deepStrictEqual(DispatchRepair.violations(model.state), [])
  })
})
