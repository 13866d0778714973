/**
 * Which slots have room for a call, and which of them a call gets.
 */
import type { Call, Offer, Slot, Step } from "./Dispatch.ts"
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
const hasPlace = ({ calls, concurrency, open }: Slot): boolean => open && calls.length < concurrency

/**
 * Whether the slot has room for this call. One from a host tool is not sent ahead: what it would wait for there may wait for it. Nor is one
 * whose worker crashed, nor anything behind it, and no two of these begin beside each other: so the next crash tells which it was, and the others go
 * on.
 */
export const takes = (step: Step, slot: Slot, { nested }: Offer, crashed?: Call["crashed"]): boolean => {
  if (nested !== undefined) return hasPlace(slot)
  return hasRoom(step, slot) && (crashed === undefined || (hasPlace(slot) && !isOnTrial(step, slot)))
}

/** 100 ms: most calls that crash their worker do it at once, and the others must not wait for one that lasts, or that waits for one of them. */
const trialMillis = 100

/** It has just been sent a call whose worker crashed. */
const isOnTrial = ({ now }: Step, { calls, retries }: Slot): boolean => {
  if (retries === 0) return false
  for (const { crashed, sentAt } of Line.members(calls)) if (crashed !== undefined && now - sentAt < trialMillis) return true
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
  const { nested } = offer
  const free = freest(step)
  if (nested === undefined && crashed === undefined) return free
  if (free === undefined ? nested === undefined || !step.state.paused : takes(step, free, offer, crashed)) return free // a pause holds no call that has begun
  return step.state.slots.find((slot) => isChosen(step, slot) && takes(step, slot, offer, crashed)) // others may run more at once, or be on no trial
}

/** The slot for a call that may go anywhere: its session's, if that has no more than one call more than the freest. */
export const choose = (step: Step, offer: Offer, session: Sessions.Session | undefined): Slot | undefined => {
  const free = freestFor(step, offer)
  if (session === undefined || session.slot < 0 || free === undefined) return free
  const last = step.state.slots[session.slot]!
  return last.calls.length <= free.calls.length + 1 && isChosen(step, last) && takes(step, last, offer) ? last : free
}

/** The slot with room that has the fewest calls, of those whose workers have not crashed with the call. For calls that are tried again: it looks at all. */
export const elsewhere = (step: Step, { crashed, offer }: Call): Slot | undefined => {
  let found: Slot | undefined
  for (const slot of step.state.slots) {
    if (crashed!.includes(slot.slot) || !isChosen(step, slot) || !takes(step, slot, offer, crashed)) continue
    if (found === undefined || slot.calls.length < found.calls.length) found = slot
  }
  return found
}
