import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as DeadlineWheel from "../src/control/DeadlineWheel.ts"
import type * as Dispatch from "../src/control/Dispatch.ts"
import * as DispatchMachine from "../src/control/DispatchMachine.ts"
import * as DispatchRepair from "../src/control/DispatchRepair.ts"
import * as Line from "../src/control/Line.ts"
import * as TenantQueue from "../src/control/TenantQueue.ts"
import { Crashes, Model, Script, Settings } from "./DispatchModel.ts"
import { offerOf } from "./MachineInput.ts"

/** Many short scripts meet the interleavings, long ones what needs many steps to come about. */
const short = { runs: 16_000, size: 25 }
const long = { runs: 300, size: 150 }
const damaged = { runs: 2000, size: 40 }
const crashing = { runs: 1200, size: 60 }

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
      const { now, state } = play({ ...settings, delay: 20 }, script)
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

  it("the crash in the command of a call settles that call as unknown, and no other", () => {
    const model = play({ ...settings, prefetch: 1 }, [offer({ idempotent: true }), offer({ idempotent: true })])
    const during: Dispatch.Command = {
      _tag: "Send",
      slot: 0,
      id: 1,
      attempt: 1,
      tool: "a",
      session: undefined,
      trace: undefined,
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
