/**
 * The invariants of a dispatch state, and how one that a crash has damaged is mended, so that no caller waits for ever.
 */
import * as Affinity from "./Affinity.ts"
import * as Avoidance from "./Avoidance.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import { type Call, type Command, type DispatchState, queueOf, queues, type Slot, type Step } from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as LeastBusy from "./LeastBusy.ts"
import * as Line from "./Line.ts"
import * as Quarantine from "./Quarantine.ts"
import * as Room from "./Room.ts"
import * as Sending from "./Sending.ts"
import * as SessionLife from "./SessionLife.ts"
import type * as Sessions from "./Sessions.ts"
import * as Settlement from "./Settlement.ts"
import * as TenantQueue from "./TenantQueue.ts"

/** What is wrong with a state, in words; empty when it is sound. */
export const violations = (state: DispatchState): ReadonlyArray<string> => {
  const out: Array<string> = []
  const queued: Array<Call> = []
  for (const queue of queues(state)) {
    const calls = [...TenantQueue.members(queue)]
    queued.push(...calls)
    if (calls.length !== queue.length) out.push(`a queue holds ${calls.length} calls and counts ${queue.length}`)
  }
  const placed = new Set<Call>(queued)
  if (placed.size !== state.waiting) out.push(`${placed.size} calls are in queues, and ${state.waiting} are counted`)
  for (const call of Line.members(state.resting)) {
    placed.add(call)
    if (call.stage !== "Resting") out.push(`call ${call.id} is ${call.stage} and among those that rest`)
  }
  for (const { id, stage } of queued) if (stage !== "Queued") out.push(`call ${id} is ${stage} and in a queue`)
  for (const slot of state.slots) {
    const { bound, boundNested, calls, open, tools } = slot
    let retries = 0
    for (const call of Line.members(calls)) {
      placed.add(call)
      if (call.crashed !== undefined) retries++
      if (call.stage === "Queued" || call.stage === "Resting" || call.slot !== slot.slot) {
        out.push(`slot ${slot.slot} holds call ${call.id}, which is not its own`)
      }
    }
    const waiting = bound.length + boundNested.length
    if ((open || calls.length + waiting > 0) && tools === undefined) out.push(`slot ${slot.slot} is in use without a worker`)
    if (retries !== slot.retries) out.push(`slot ${slot.slot} has ${retries} calls whose workers crashed, and counts ${slot.retries}`)
    const level = state.busy.at[slot.slot]!
    const isChosen = !slot.cordoned && (slot.clean || state.barrier.clean === 0)
    if (level >= 0 && (!isChosen || state.paused)) out.push(`slot ${slot.slot} is avoided, cordoned or its pool paused, and gets calls`)
    if (level >= 0 && (!open || level !== calls.length)) out.push(`slot ${slot.slot} with ${calls.length} calls is taken to have ${level}`)
    const isHeld = !isChosen || state.paused
    if (level < 0 && open && !isHeld && calls.length < slot.concurrency) out.push(`slot ${slot.slot} has room and gets no calls`)
  }
  for (const call of state.calls.values()) {
    if (!placed.delete(call)) out.push(`call ${call.id} is ${call.stage} and neither in a queue nor on a slot`)
    if (call.timer.line === undefined && Number.isFinite(limitOf(state, call))) out.push(`call ${call.id} has no deadline`)
  }
  for (const { id } of placed) out.push(`call ${id} has a place, and is over`)
  const inUse = callsBySession(state)
  for (const session of state.sessions.byId.values()) {
    if (session.calls !== (inUse.get(session) ?? 0)) out.push(`session ${session.id} counts ${session.calls} calls that are not its own`)
  }
  const { accepted, cancelled, completed, failed } = state.ledger
  if (accepted !== completed + failed + cancelled + open(state)) {
    out.push(`${accepted} calls accepted, but ${completed} completed, ${failed} failed, ${cancelled} cancelled and ${open(state)} open`)
  }
  return [...out, ...Avoidance.violations(state), ...Quarantine.violations(state)]
}

/**
 * Makes a damaged state sound again: what follows from the calls is made anew, and a call whose worker is gone is settled as unknown, as is
 * the one in whose command, `during`, the Dispatcher crashed. Returns the commands that tell the callers.
 */
export const repair = (state: DispatchState, now: number, during?: Command): ReadonlyArray<Command> => {
  const out: Array<Command> = []
  const step: Step = { state, now, out }
  const reason = "the Dispatcher crashed while it handled the call"
  if (violations(state).length > 0) rebuild(step, reason)
  const call = during !== undefined && "id" in during ? state.calls.get(during.id) : undefined
  if (call !== undefined && call.slot >= 0 && call.stage !== "Abandoned") {
    Settlement.fail(step, call, DispatchError.unknown(state, call, reason))
    if (during!._tag === "Send") Settlement.forget(step, call) // the wire did not take it
    else Settlement.abandon(step, call, now + state.limits.cancelGrace, "caller")
  }
  // who was to be asked, or to answer, may have forgotten it
  for (const call of [...Line.members(state.resting)]) if (call.restUntil === Number.POSITIVE_INFINITY) Sending.restOver(step, call)
  for (const slot of state.slots) Sending.pump(step, slot)
  return out
}

const rebuild = (step: Step, reason: string): void => {
  const { now, state } = step
  state.waiting = 0
  for (const queue of queues(state)) TenantQueue.clear(queue)
  Object.assign(state.resting, Line.make())
  Object.assign(state.wheel, { size: 0 }).buckets.clear()
  for (const slot of state.slots) {
    Object.assign(slot.calls, Line.make())
    slot.work = 0
    slot.retries = 0
    if (slot.tools !== undefined) continue
    slot.open = false
    SessionLife.vacate(step, slot, reason, undefined)
  }
  for (const call of state.calls.values()) {
    Line.unlink(call)
    Line.unlink(call.timer)
  }
  for (const call of [...state.calls.values()].toSorted((a, b) => a.id - b.id)) {
    const slot = state.slots[call.slot]
    if (call.stage === "Queued") {
      call.slot = -1
      TenantQueue.push(queueOf(state, call.offer, homeOf(state, call)), call)
      state.waiting++
    } else if (call.stage === "Resting") {
      call.slot = -1
      Line.push(state.resting, call)
    } else if (slot?.tools !== undefined) {
      Line.push(slot.calls, call)
      slot.work += call.cost
      if (call.crashed !== undefined) slot.retries++
    } else {
      if (call.stage !== "Abandoned") Settlement.fail(step, call, DispatchError.unknown(state, call, reason))
      state.calls.delete(call.id)
      continue
    }
    DeadlineWheel.set(state.wheel, call.timer, Number.isFinite(call.timer.due) ? call.timer.due : now + limitOf(state, call))
  }
  Avoidance.rebuild(state)
  Quarantine.rebuild(state)
  for (const slot of state.slots) {
    LeastBusy.set(state.busy, slot.slot, -1)
    Room.refresh(step, slot)
  }
  const inUse = callsBySession(state)
  for (const session of state.sessions.byId.values()) session.calls = inUse.get(session) ?? 0
  const { accepted, cancelled, completed, failed } = state.ledger
  const missing = accepted - completed - failed - cancelled - open(state)
  if (missing > 0) state.ledger.failed += missing // their callers are told by the Dispatcher, which finds their tickets
  else state.ledger.accepted -= missing
}

const callsBySession = ({ calls }: DispatchState): Map<Sessions.Session, number> => {
  const counts = new Map<Sessions.Session, number>()
  for (const { session } of calls.values()) if (session !== undefined) counts.set(session, (counts.get(session) ?? 0) + 1)
  return counts
}

const homeOf = (state: DispatchState, { session }: Call): Slot | undefined => {
  const home = state.slots[Affinity.bindingOf(state, session)?.slot ?? -1]
  return home?.tools === undefined ? undefined : home
}

/** How long a call may stay where it is. */
const limitOf = ({ limits }: DispatchState, { callTimeoutMillis, hardLimitMillis, offer, replaceAt, stage }: Call): number => {
  switch (stage) {
    case "Queued":
    case "Resting":
      return offer.queueTimeoutMillis ?? limits.queueTimeout
    case "Sent":
    case "Running":
      return Math.min(callTimeoutMillis, hardLimitMillis ?? callTimeoutMillis)
    case "Abandoned":
      return Number.isFinite(replaceAt) ? limits.cancelGrace : replaceAt
  }
}

const open = (state: DispatchState): number => {
  let count = 0
  for (const { stage } of state.calls.values()) if (stage !== "Abandoned") count++
  return count
}
