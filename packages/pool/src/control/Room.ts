/**
 * Which slots have room for a call, and which of them a call gets.
 */
import type { Call, Offer, Slot, Step } from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as LeastBusy from "./LeastBusy.ts"
import * as Line from "./Line.ts"
import * as Pace from "./Pace.ts"
import type * as Sessions from "./Sessions.ts"

export const hasRoom = ({ now, state }: Step, slot: Slot): boolean => {
  const { calls, concurrency, movedAt, open, work } = slot
  if (!open || state.paused) return false
  const ahead = calls.length - concurrency
  if (ahead < 0) return true
  if (slot.retries > 0) return false
  const { prefetch } = state.config
  if (prefetch !== "auto") return ahead < prefetch
  return ahead < Pace.limit(state.pace, now) && now - movedAt <= Pace.longestMillis && work <= Pace.budget(state.pace)
}

/** Its worker begins the next call at once. */
export const hasPlace = ({ calls, concurrency, open }: Slot): boolean => open && calls.length < concurrency

/** Not when its worker is of a version on trial and the call can be done by the version before alone: that one waits for another worker. */
export const suits = ({ state }: Step, { tools, trial }: Slot, offer: Offer): boolean =>
  !trial || DispatchError.unfit(state, offer, tools) === undefined || DispatchError.unfit(state, offer, state.tools) !== undefined

/**
 * Whether the slot has room for this call. One from a host tool is not sent ahead, because what it would wait for there may wait for it; and nothing
 * is sent ahead while it waits. A pause does not hold it: a call that has begun waits for it. Nor is one sent ahead whose worker crashed, nor anything
 * behind it, and no two of these begin beside each other: so the next crash tells which it was, and the others go on.
 */
export const takes = (step: Step, slot: Slot, offer: Offer, crashed?: Call["crashed"]): boolean => {
  if (!suits(step, slot, offer)) return false
  if (offer.nested !== undefined) return hasPlace(slot)
  if (!hasRoom(step, slot)) return false
  if (crashed !== undefined) return hasPlace(slot) && !hasFreshRetry(step, slot)
  return hasPlace(slot) || (step.state.nested.length === 0 && slot.boundNested.length === 0)
}

/** 100 ms: most calls that crash their worker do it at once, and the others must not wait for one that lasts, or that waits for one of them. */
const freshMillis = 100

/** It has just been sent a call whose worker crashed. */
const hasFreshRetry = ({ now }: Step, { calls, retries }: Slot): boolean => {
  if (retries === 0) return false
  for (const { crashed, sentAt } of Line.members(calls)) if (crashed !== undefined && now - sentAt < freshMillis) return true
  return false
}

/** Whether calls that may go anywhere may go there: slots that are avoided get them when no other is open, those that are cordoned never. */
export const isChosen = ({ state }: Step, { clean, cordoned }: Slot): boolean => clean || (state.barrier.clean === 0 && !cordoned)

/** Notes whether the slot has room, after it was changed. */
export const refresh = (step: Step, slot: Slot): void => {
  const clean = slot.open && !slot.avoided && !slot.cordoned
  if (clean !== slot.clean) countClean(step, slot, clean)
  LeastBusy.set(step.state.busy, slot.slot, isChosen(step, slot) && hasRoom(step, slot) ? slot.calls.length : -1)
}

const countClean = (step: Step, slot: Slot, clean: boolean): void => {
  const { barrier, slots } = step.state
  slot.clean = clean
  barrier.clean += clean ? 1 : -1
  if (barrier.clean > 1 || (barrier.clean === 1 && !clean)) return
  for (const other of slots) if (other !== slot && other.avoided) refresh(step, other) // from none to one, or back
}

/** The slot with room that has the fewest calls. */
export const freest = (step: Step): Slot | undefined => {
  const { busy, slots } = step.state
  for (let index = LeastBusy.first(busy); index >= 0; index = LeastBusy.first(busy)) {
    const slot = slots[index]!
    if (hasRoom(step, slot)) return slot
    LeastBusy.set(busy, index, -1) // its worker has not moved for too long; when it does, it is looked at again
  }
  return undefined
}

/** The freest slot that takes this call. */
export const freestFor = (step: Step, offer: Offer, crashed?: Call["crashed"]): Slot | undefined => {
  const { state } = step
  const may = (slot: Slot) => isChosen(step, slot) && takes(step, slot, offer, crashed)
  if (offer.nested === undefined) {
    if (state.nested.length > 0) return undefined // they have found no place
    const free = freest(step)
    if (free === undefined || (crashed === undefined && !free.trial)) return free
    return may(free) ? free : freestOf(step, may)
  }
  const free = freest(step)
  if (free !== undefined && takes(step, free, offer, crashed)) return free
  return state.slots.find(may) ?? // paused, or it runs more at once than others do
    state.slots.find((slot) => !slot.cordoned && takes(step, slot, offer, crashed)) // one that is avoided: those that are not may all be held by calls that wait for this one
}

/** The slot for a call that may go anywhere: its session's, if that has no more than one call more than the freest. */
export const choose = (step: Step, offer: Offer, session: Sessions.Session | undefined): Slot | undefined => {
  const free = freestFor(step, offer)
  if (session === undefined || session.slot < 0 || free === undefined) return free
  const last = step.state.slots[session.slot]!
  return last.calls.length <= free.calls.length + 1 && isChosen(step, last) && takes(step, last, offer) ? last : free
}

/** The slot with room that has the fewest calls, of those whose workers have not crashed with the call. For calls that are tried again: it looks at all. */
export const elsewhere = (step: Step, { crashed, offer }: Call): Slot | undefined =>
  freestOf(step, (slot) => !crashed!.includes(slot.slot) && isChosen(step, slot) && takes(step, slot, offer, crashed))

/** The slot with the fewest calls of those that may be taken. It looks at all. */
const freestOf = ({ state }: Step, may: (slot: Slot) => boolean): Slot | undefined => {
  let found: Slot | undefined
  for (const slot of state.slots) if (may(slot) && (found === undefined || slot.calls.length < found.calls.length)) found = slot
  return found
}
