/** What the dispatch machine does in single cases, said event by event. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Dispatch from "../src/control/Dispatch.ts"
import * as DispatchMachine from "../src/control/DispatchMachine.ts"
import * as DispatchRepair from "../src/control/DispatchRepair.ts"
import { PoolConfig } from "../src/index.ts"
import { ScriptedCodec, ScriptedTool } from "../src/testing/index.ts"
import { offerOf, wireOf } from "./MachineInput.ts"

/** Workers that are up; what is said gives the commands. */
const open = (pool: PoolConfig.PoolConfigInput, concurrency = 1) => {
  const configOf = (input: PoolConfig.PoolConfigInput) => Schema.decodeUnknownSync(PoolConfig.PoolConfig)(input)
  const state = Dispatch.make("default", configOf(pool), ScriptedCodec.digest)
  let now = 0
  let ids = 0
  const say = (event: Dispatch.Event) => {
    const commands = DispatchMachine.transition(state, event, now)
    assert.deepStrictEqual(DispatchRepair.violations(state), [])
    return commands
  }
  const wire = wireOf([ScriptedTool.announced("tool")], concurrency)
  state.slots.forEach(({ slot }) => say({ _tag: "Attached", slot, wire }))
  return {
    state,
    say,
    configure: (changed: PoolConfig.PoolConfigInput) => say({ _tag: "Configured", config: configOf({ ...pool, ...changed }) }),
    pass: (millis: number) => {
      now += millis
      return say({ _tag: "Tick" })
    },
    offer: (offer: Partial<Dispatch.Offer> = {}) => {
      const id = ++ids
      const commands = say({ _tag: "Offer", offer: offerOf({ id, tool: "tool", at: now, ...offer }) })
      return { id, commands }
    },
    done: (slot: number, id: number) => say({ _tag: "Done", slot, id, payload: new Uint8Array(), micros: 0 })
  }
}

const sent = (commands: ReadonlyArray<Dispatch.Command>) => commands.flatMap((command) => command._tag === "Send" ? [command.id] : [])
const tags = (commands: ReadonlyArray<Dispatch.Command>) => commands.map(({ _tag }) => _tag)

describe("a call of a host tool", () => {
  it("is sent while the pool is paused although others wait, and so is one that has to wait", () => {
    const { done, offer, say } = open({ size: 2 })
    const outer = offer()
    say({ _tag: "Pause" })
    const plain = offer()
    assert.deepStrictEqual(sent(plain.commands), [])
    const inner = offer({ nested: 1 })
    assert.deepStrictEqual(sent(inner.commands), [inner.id])
    const second = offer({ nested: 2 })
    assert.deepStrictEqual(sent(second.commands), [])
    assert.deepStrictEqual(sent(done(1, inner.id)), [second.id])
    assert.deepStrictEqual(sent(done(1, second.id)), [])
    assert.deepStrictEqual(sent(done(0, outer.id)), [])
    assert.deepStrictEqual(sent(say({ _tag: "Resume" })), [plain.id])
  })

  it("of a bound session is sent to its worker while the pool is paused, before what waits for that", () => {
    const { done, offer, say } = open({ size: 1, affinity: "strict_queue", prefetch: 0 }, 2)
    const session = "s"
    const [outer, other] = [offer({ session }), offer({ session })]
    const plain = offer({ session })
    say({ _tag: "Pause" })
    const waits = offer({ session, nested: 1 })
    assert.deepStrictEqual(sent(waits.commands), [])
    assert.deepStrictEqual(sent(done(0, other.id)), [waits.id])
    assert.deepStrictEqual(sent(done(0, waits.id)), [])
    const inner = offer({ session, nested: 2 })
    assert.deepStrictEqual(sent(inner.commands), [inner.id])
    done(0, inner.id)
    done(0, outer.id)
    assert.deepStrictEqual(sent(say({ _tag: "Resume" })), [plain.id])
  })

  it("is not kept waiting by calls that are sent ahead", () => {
    const { done, offer } = open({ size: 1, prefetch: 2 })
    const outer = offer()
    const ahead = offer()
    assert.deepStrictEqual(sent(ahead.commands), [ahead.id])
    const nested = offer({ nested: 1 })
    const late = offer()
    assert.deepStrictEqual(sent(late.commands), [])
    assert.deepStrictEqual(sent(done(0, outer.id)), [])
    assert.deepStrictEqual(sent(done(0, ahead.id)), [nested.id, late.id])
  })
})

describe("an element beyond the credit", () => {
  it("ends its call, is not delivered, and costs the worker that goes on", () => {
    const { offer, pass, say, state } = open({ size: 1, credit: 2, cancelGrace: "1 second" })
    const { id } = offer()
    say({ _tag: "Started", slot: 0, id })
    const item = () => say({ _tag: "Item", slot: 0, id, payload: new Uint8Array() })
    assert.deepStrictEqual([...item(), ...item()].map(({ _tag }) => _tag), ["Deliver", "Deliver"])
    say({ _tag: "Credit", id, elements: 1 })
    assert.deepStrictEqual(tags(item()), ["Deliver"])
    const [fail, cancel] = item()
    assert.isTrue(fail?._tag === "Fail" && fail.error._tag === "InvalidResult" && fail.error.message.includes("more elements than the 3"))
    assert.strictEqual(cancel?._tag, "CancelOnWire")
    assert.deepStrictEqual(item(), [])
    assert.strictEqual(state.ledger.failed, 1)
    assert.deepStrictEqual(tags(pass(1010)), ["FailWorker"])
  })
})

describe("calls that wait for the worker of their session", () => {
  const waiting = () => {
    const opened = open({ size: 2, affinity: "strict_queue", prefetch: 0 })
    const runs = opened.offer({ session: "s" })
    const waits = opened.offer({ session: "s" })
    assert.deepStrictEqual(sent(waits.commands), [])
    return { ...opened, runs, waits }
  }

  it("wait for any when the affinity becomes a hint", () => {
    const { configure, waits } = waiting()
    assert.deepStrictEqual(sent(configure({ affinity: "hint" })), [waits.id])
  })

  it("go on elsewhere when their worker goes after that", () => {
    const { configure, offer, say, waits } = waiting()
    const other = offer()
    configure({ affinity: "hint" })
    const commands = say({ _tag: "Detached", slot: 0, reason: "gone", ended: true })
    assert.isFalse(commands.some((command) => command._tag === "Fail" && command.id === waits.id))
    assert.deepStrictEqual(sent(say({ _tag: "Done", slot: 1, id: other.id, payload: new Uint8Array(), micros: 0 })), [waits.id])
  })

  it("are all told when it goes, and the one after them begins the session anew", () => {
    const { offer, say } = waiting()
    const third = offer({ session: "s" })
    const failed = say({ _tag: "Detached", slot: 0, reason: "gone", ended: true })
      .flatMap((command) => command._tag === "Fail" ? [command.error._tag] : [])
    assert.deepStrictEqual(failed, ["OutcomeUnknown", "SessionLost", "SessionLost"])
    assert.strictEqual(third.id, 3)
    const next = offer({ session: "s" })
    assert.deepStrictEqual(sent(next.commands), [next.id])
  })

  it("wait until it has confirmed the session's end, when it is to go as planned", () => {
    const { configure, done, offer, runs, say, waits } = waiting()
    configure({ sessions: { onLoss: "replay" } })
    const drain = say({ _tag: "Drain", slot: 0 })
    assert.deepStrictEqual(tags(drain), ["EndSessionOnWire", "SessionsLost"])
    const comes = offer({ session: "s" })
    assert.deepStrictEqual([...sent(comes.commands), ...sent(done(0, runs.id))], [])
    configure({ sessions: { onLoss: "replay", warnAt: 0.5 } })
    const confirmed = say({ _tag: "SessionEnded", slot: 0, number: 1, failure: "", overran: false })
    assert.deepStrictEqual(sent(confirmed), [waits.id])
    assert.isTrue(confirmed.some((command) => command._tag === "SessionStarted" && command.slot === 1))
    assert.deepStrictEqual(sent(done(1, waits.id)), [comes.id])
  })

  it("go on when it is gone before it has confirmed that", () => {
    const { configure, say, waits } = waiting()
    configure({ sessions: { onLoss: "replay" } })
    say({ _tag: "Drain", slot: 0 })
    assert.deepStrictEqual(sent(say({ _tag: "Detached", slot: 0, reason: "gone", ended: true })), [waits.id])
  })
})
