/**
 * The dispatch machine of one pool: a total function of (state, event, now) to commands. Which call goes to which worker, what becomes of
 * it, and that every accepted call ends in exactly one outcome.
 *
 * ```text
 *             accepted                 sent                 began
 *  ─ offer ──▶ Queued ──a slot is free──▶ Sent ──Started──▶ Running ──Done · Failed──▶ settled
 *                ▲ ▲                        └─────┬────────────┘
 *                │ └── worker lost, idempotent ───┤
 *                └─delay─ Resting ◀── because it crashed · poison ──▶ settled: CallPoisoned
 *                                                 │
 *                                                 ├─ worker lost, not idempotent ──▶ settled: OutcomeUnknown · WorkerCrashed
 *                                                 ├─ deadline · caller gone ──▶ Abandoned ──worker says it is over──▶ forgotten
 *                                                 │      (settled already)         └─ hard limit · cancelGrace over ──▶ the worker is failed
 *                                                 └─ hard limit ──▶ settled: CallTimeout · the worker is failed
 * ```
 *
 * **Details**
 *
 * A slot has room while it has fewer calls than its worker runs at once, and for as many more as are sent ahead (`Pace.ts`, or a number by
 * `prefetch`). Of the slots with room the one with the fewest calls gets the next call, or the one that serves the call's session, as `affinity`
 * says. What finds no room waits: tenants take turns, each first in, first out, and a call that is tried again goes before its tenant's others.
 * Calls whose session is bound to a worker wait in that worker's own queue, which takes turns with the common one. Calls that host tools make go before all others, into free places alone, and are sent also while the
 * pool is paused: a call that has begun waits for them. While calls wait in the common
 * queue no slot that is open to them has room: those that are tainted or ejected are so only when there is no other (`Avoidance.ts`), or for a call of a host tool. A slot that is cordoned serves what waits in its worker's own queue and nothing else. An abandoned call keeps its place on the worker until the worker says that it is over, because the worker is not
 * free before.
 *
 * **Gotchas**
 *
 * The machine owns its state and updates it in place. `DispatchRepair.violations` says what is wrong with a state; a new Dispatcher has it mended first.
 */
import type { CycleStep } from "../CallError.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import type { Wire, WireFailure } from "../Wire.ts"
import * as Admission from "./Admission.ts"
import * as Avoidance from "./Avoidance.ts"
import * as CrashBarrier from "./CrashBarrier.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import { type Call, type Command, type DispatchState, type Event, limitsOf, type Slot, slotAt, type Step } from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as Outlier from "./Outlier.ts"
import * as Overdue from "./Overdue.ts"
import * as Pace from "./Pace.ts"
import * as Quarantine from "./Quarantine.ts"
import * as Room from "./Room.ts"
import * as Sending from "./Sending.ts"
import * as SessionLife from "./SessionLife.ts"
import * as Settlement from "./Settlement.ts"
import * as WorkerLoss from "./WorkerLoss.ts"

/** Applies one event at `now` (milliseconds) and returns what to do, in order. Total. */
export const transition = (state: DispatchState, event: Event, now: number): ReadonlyArray<Command> => {
  const out: Array<Command> = []
  apply({ state, now, out }, event)
  return out
}

/** The same, with the commands put into `step.out`; several events of one moment may share their step. */
export const apply = (step: Step, event: Event): void => {
  const { now, out, state } = step
  switch (event._tag) {
    case "Offer":
      return Admission.offer(step, event.offer)
    case "Started":
      return started(step, event.slot, event.id)
    case "Done":
      return done(step, event.slot, event.id, event.payload, event.micros)
    case "Item": {
      const call = onSlot(state, event.slot, event.id)
      if (call === undefined || call.stage === "Abandoned") return
      if (call.delivered >= call.granted) return overflowed(step, call)
      call.delivered++
      return void out.push({ _tag: "Deliver", id: event.id, payload: event.payload })
    }
    case "Credit":
      return credit(step, event.id, event.elements)
    case "Failed":
      return failed(step, event.slot, event.id, event.failure)
    case "Cancel":
      return cancel(step, event.id)
    case "Want": {
      const call = onSlot(state, event.slot, event.id)
      if (call === undefined || call.stage === "Abandoned") return
      call.asked = true
      return void out.push({ _tag: "Want", id: event.id, elements: event.elements })
    }
    case "Input":
    case "InputEnd":
      return input(step, event)
    case "Attached":
      return attached(step, event.slot, event.wire, event.isTrial === true)
    case "Broken": {
      const slot = state.slots[event.slot]
      if (slot === undefined) return
      slot.open = false
      Room.refresh(step, slot)
      return Sending.pump(step) // those that are avoided may have become the only ones
    }
    case "Resumed": {
      const slot = state.slots[event.slot]
      if (slot?.tools === undefined) return
      slot.open = true
      Room.refresh(step, slot)
      return Sending.pump(step, slot)
    }
    case "Detached":
      WorkerLoss.detached(step, event)
      return Sending.pump(step)
    case "Cordon":
    case "Drain":
    case "Uncordon":
      return cordon(step, event)
    case "Promote": {
      const slot = slotAt(state, event.slot)
      slot.trial = false
      state.tools = slot.tools ?? state.tools
      return Sending.pump(step, slot)
    }
    case "Pause":
    case "Resume":
      return pause(step, event._tag === "Pause")
    case "Refuse":
    case "Accept":
      state.draining = event._tag === "Refuse"
      return
    case "DelayKnown": {
      const { asked, delayMillis } = event
      const call = state.calls.get(asked.id)
      if (call?.stage !== "Resting" || call.restUntil < Number.POSITIVE_INFINITY) return
      if (delayMillis !== undefined) return Sending.restFor(step, call, asked, delayMillis)
      Settlement.fail(step, call, asked.error)
      return Settlement.forget(step, call)
    }
    case "Release":
      return Quarantine.release(step, event.tool, event.digest)
    case "Configured":
      return configured(step, event.config)
    case "Tick":
      CrashBarrier.expire(step)
      for (const id of DeadlineWheel.expired(state.wheel, now)) Overdue.expire(step, id)
      return Sending.pump(step) // a slot may be avoided no more
    case "Cycle":
      return cycle(step, event.id, event.cycle)
    case "OpenSession":
      return SessionLife.open(step, event.session, event.told)
    case "EndSession":
      if (event.session.over) return void out.push({ _tag: "Tell", told: event.told })
      return SessionLife.end(step, event.session, "explicit", event.told)
    case "SweepSessions":
      return SessionLife.sweep(step)
    case "Vacate":
      WorkerLoss.vacated(step, event.slot, event.reason)
      return Sending.pump(step)
    case "SessionEnded":
      if (!SessionLife.confirmed(step, event.slot, event.number, event.failure, event.overran)) return
      WorkerLoss.rehome(step, state.slots[event.slot]!)
      return Sending.pump(step)
    case "Close":
      return close(step, event.because)
  }
}

/** A call that the slot has. */
const onSlot = (state: DispatchState, slot: number, id: number): Call | undefined => {
  const call = state.calls.get(id)
  return call?.slot === slot ? call : undefined
}

const credit = ({ out, state }: Step, id: number, elements: number): void => {
  const call = state.calls.get(id)
  if (call === undefined) return
  call.granted += elements
  const { attempt, slot, stage } = call
  if (stage === "Sent" || stage === "Running") out.push({ _tag: "CreditOnWire", slot, id, attempt, elements })
}

const input = ({ out, state }: Step, event: Extract<Event, { readonly _tag: "Input" | "InputEnd" }>): void => {
  const call = state.calls.get(event.id)
  if (call === undefined || call.slot < 0 || call.stage === "Abandoned") return
  const { attempt, id, slot } = call
  out.push(
    event._tag === "Input"
      ? { _tag: "InputOnWire", slot, id, attempt, payload: event.payload }
      : { _tag: "InputEndOnWire", slot, id, attempt, failure: event.failure }
  )
}

const attached = (step: Step, index: number, { concurrency, tools }: Wire, isTrial: boolean): void => {
  if (step.state.closed !== undefined) return
  const slot = slotAt(step.state, index)
  WorkerLoss.detached(step, { slot: index, reason: "another connection took its place", ended: false })
  slot.tools = tools
  slot.open = true
  slot.concurrency = Math.max(1, concurrency)
  slot.condemned = false
  slot.trial = isTrial
  if (!isTrial) step.state.tools = tools
  Outlier.forget(step.state, index)
  Avoidance.replaced(step, slot)
  Room.refresh(step, slot)
  step.out.push({ _tag: "WorkerUp", slot: index, tools: tools.size })
  Sending.pump(step, slot)
}

const leaving = "its worker is replaced or taken away, as planned"

const cordon = (step: Step, { _tag, slot: index }: Extract<Event, { readonly _tag: "Cordon" | "Drain" | "Uncordon" }>): void => {
  const { state } = step
  const slot = slotAt(state, index)
  slot.cordoned = _tag !== "Uncordon"
  slot.draining = _tag === "Drain"
  Room.refresh(step, slot)
  depart(step, slot)
  Sending.pump(step, slot) // also without it: those that are avoided may have become the only ones
}

/** Sessions of a worker that is to go as planned go on elsewhere, unless their callers must know. */
const depart = (step: Step, { draining, slot }: Slot): void => {
  const { affinity, sessions } = step.state.config
  if (draining && (affinity === "hint" || sessions.onLoss === "replay")) WorkerLoss.vacated(step, slot, leaving)
}

const pause = (step: Step, paused: boolean): void => {
  const { state } = step
  state.paused = paused
  for (const slot of state.slots) Room.refresh(step, slot)
  if (!paused) { for (const slot of state.slots) Sending.pump(step, slot) }
}

/** A greater prefetch may have made room, and what waits for one worker may have come to be for any. */
const configured = (step: Step, config: PoolConfig): void => {
  const { state } = step
  state.config = config
  state.limits = limitsOf(config)
  for (const slot of state.slots) {
    depart(step, slot)
    WorkerLoss.rehome(step, slot)
    Room.refresh(step, slot)
  }
  for (const slot of state.slots) Sending.pump(step, slot) // when it is known which is the freest
}

const started = ({ now, state }: Step, slot: number, id: number): void => {
  const call = onSlot(state, slot, id)
  if (call === undefined) return
  if (call.began && !call.idempotent) state.ledger.twice++
  call.began = true
  call.startedAt = now
  if (call.stage === "Sent") call.stage = "Running"
}

const done = (step: Step, index: number, id: number, payload: Uint8Array, micros: number): void => {
  const { out, state } = step
  const call = onSlot(state, index, id)
  if (call === undefined) return
  if (call.stage === "Abandoned") Settlement.cancelled(step, call, "finished")
  else {
    state.ledger.completed++
    state.counts.completed(call.offer.tool, state.tools, step.now - call.offer.at)
    out.push({ _tag: "Complete", id, payload })
    if (call.attempt > 1) out.push(recovered(call, step.now))
  }
  if (micros > 0) learn(step, call, micros / 1000)
  Outlier.tell(step, call, false)
  Settlement.forget(step, call)
  Sending.pump(step, state.slots[index])
}

const recovered = ({ attempt, id, offer, slot }: Call, now: number): Command => ({
  _tag: "Recovered",
  id,
  tool: offer.tool,
  slot,
  attempts: attempt,
  durationMillis: now - offer.at
})

/** How long the call ran, and what is left of its time for the way when its worker had no other. */
const learn = ({ now, state }: Step, { alone, offer, sentAt, slot }: Call, millis: number): void => {
  Pace.ran(state.pace, offer.tool, millis)
  if (alone && state.slots[slot]!.calls.length === 1) Pace.travelled(state.pace, now - sentAt - millis)
}

const failed = (step: Step, index: number, id: number, failure: WireFailure): void => {
  const { state } = step
  const call = onSlot(state, index, id)
  if (call === undefined) return
  const slot = state.slots[index]!
  if (call.stage === "Abandoned") Settlement.cancelled(step, call, howOf(failure))
  else if (failure._tag === "Declined" && call.stage === "Running") {
    Settlement.fail(step, call, DispatchError.unknown(state, call, "its worker said that it began, and then gave it back unbegun"))
  } else if (failure._tag === "Declined") {
    // its worker is draining and gave it back unbegun: it goes to another one, whatever it is, and this one gets no more
    slot.open = false
    Settlement.leaveSlot(step, call)
    step.out.push({ _tag: "Returned", id, error: undefined })
    call.attempt--
    if (call.session?.over === true) {
      Settlement.fail(step, call, DispatchError.sessionEnded(state, call))
      call.slot = -1
      return Settlement.forget(step, call)
    }
    Sending.waitAgain(step, call)
    return Sending.pump(step)
  } else Settlement.fail(step, call, DispatchError.failed(step, call, failure))
  if (failure._tag === "Exception") Outlier.tell(step, call, true)
  Settlement.forget(step, call)
  Sending.pump(step, slot)
}

const howOf = (failure: WireFailure): string => {
  switch (failure._tag) {
    case "Cancelled":
      return failure.how
    case "Declined":
    case "Invalid":
    case "Unknown":
      return "queued"
    case "Exception":
    case "TooLarge":
      return "finished"
  }
}

const cancel = (step: Step, id: number): void => {
  const { now, state } = step
  const call = state.calls.get(id)
  if (call === undefined || call.stage === "Abandoned") return
  state.ledger.cancelled++
  state.counts.cancelled(call.offer.tool, state.tools)
  if (call.slot < 0) {
    call.because = "caller"
    call.abandonedAt = now
    Settlement.cancelled(step, call, "queued")
    return Settlement.forget(step, call)
  }
  stop(step, call)
}

/** Its worker has the grace to end it. */
const stop = (step: Step, call: Call): void => {
  call.replaceAt = Math.min(call.replaceAt, step.now + step.state.limits.cancelGrace)
  Settlement.abandon(step, call, call.replaceAt, "caller")
}

/** Its worker sends more elements than were asked for, which nothing else would bound. */
const overflowed = (step: Step, call: Call): void => {
  Settlement.fail(step, call, DispatchError.overflowed(step.state, call))
  stop(step, call)
}

const cycle = (step: Step, id: number, steps: ReadonlyArray<CycleStep>): void => {
  const { state } = step
  const call = state.calls.get(id)
  if (call?.stage !== "Queued") return
  Settlement.fail(step, call, DispatchError.notRetried(state, call) ?? DispatchError.cycle(state, call.offer, steps))
  Settlement.forget(step, call)
}

const close = (step: Step, because: string): void => {
  const { state } = step
  state.closed = because
  for (const slot of state.slots) {
    slot.tools = undefined
    slot.open = false
  }
  for (const call of [...state.calls.values()]) {
    if (call.slot < 0) {
      Settlement.fail(step, call, DispatchError.notRetried(state, call) ?? DispatchError.poolDown(state, call.offer, because))
    } else if (call.stage === "Abandoned") Settlement.cancelled(step, call, "lost")
    else Settlement.fail(step, call, DispatchError.unknown(state, call, because))
    Settlement.forget(step, call)
  }
  for (const slot of state.slots) {
    SessionLife.vacate(step, slot, because, undefined, "pool_down")
    Room.refresh(step, slot)
  }
}
