/**
 * Which slots have room for a call, and which of them a call gets.
 */
import type { Slot, Step } from "./Dispatch.ts"
import * as LeastBusy from "./LeastBusy.ts"
import * as Pace from "./Pace.ts"
import * as Sessions from "./Sessions.ts"

export const hasRoom = ({ now, state }: Step, slot: Slot): boolean => {
  const { calls, concurrency, movedAt, open, work } = slot
  if (!open || state.paused) return false
  const ahead = calls.length - concurrency
  if (ahead < 0) return true
  const { prefetch } = state.config
  if (prefetch !== "auto") return ahead < prefetch
  return ahead < Pace.limit(state.pace, now) && now - movedAt <= Pace.longestMillis && work <= Pace.budget(state.pace)
}

/** Notes whether the slot has room, after it was changed. */
export const refresh = (step: Step, slot: Slot): void =>
  LeastBusy.set(step.state.busy, slot.slot, !slot.cordoned && hasRoom(step, slot) ? slot.calls.length : -1)

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

/** The slot for a call that may go anywhere: its session's, if that has no more than one call more than the freest. */
export const choose = (step: Step, session: string | undefined): Slot | undefined => {
  const { sessions, slots } = step.state
  const free = freest(step)
  if (session === undefined || free === undefined) return free
  const binding = Sessions.get(sessions, session)
  if (binding === undefined) return free
  const last = slots[binding.slot]!
  return last.calls.length <= free.calls.length + 1 && !last.cordoned && hasRoom(step, last) ? last : free
}
