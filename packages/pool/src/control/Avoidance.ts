/**
 * Slots that get no calls while there are others: tainted by a crash, or ejected because their worker fails where others succeed.
 *
 * ```text
 *            crash of a class in taintOn                        fails where others succeed
 *  clean ──────────────────────────────▶ tainted      clean ──────────────────────────────▶ ejected
 *    ▲                                      │            ▲                                     │
 *    └──────────── taintFor ────────────────┘            └── ejectFor × 2ⁿ · another worker ───┘
 * ```
 *
 * **Details**
 *
 * A slot stays tainted when its worker is replaced: what was wrong may be the place. An ejection is the worker's own, and ends with it. While no
 * clean slot is open the others are used as if they were clean, so the pool is never without a worker because of this.
 */
import * as Duration from "effect/Duration"
import type { ExitClass } from "../ExitClass.ts"
import type { DispatchState, Slot, Step } from "./Dispatch.ts"
import * as Room from "./Room.ts"

const isAvoided = ({ ejectedUntil, taintedUntil }: Slot): boolean => taintedUntil > 0 || ejectedUntil > 0

/** As {@link Room.refresh} notes it. */
const isClean = ({ avoided, cordoned, open }: Slot): boolean => open && !avoided && !cordoned

const count = (state: DispatchState, which: (slot: Slot) => boolean): number => {
  let slots = 0
  for (const slot of state.slots) if (which(slot)) slots++
  return slots
}

const note = (step: Step, slot: Slot): void => {
  slot.avoided = isAvoided(slot)
  Room.refresh(step, slot)
}

const expires = ({ state }: Step, at: number): void => {
  state.barrier.due = Math.min(state.barrier.due, at)
}

/** The worker of the slot has crashed: it is tainted, if that is what the class of its exit means, and not too many are. */
export const taint = (step: Step, slot: Slot, exit: ExitClass, reason: string, incident: string | undefined): void => {
  const { now, out, state } = step
  const { maxTainted, taintFor, taintOn } = state.config.barrier
  const exitClass = exit._tag
  const forMillis = Duration.toMillis(taintFor)
  if (forMillis === 0 || !(taintOn as ReadonlyArray<string>).includes(exitClass)) return
  const others = count(state, (other) => other !== slot && other.taintedUntil > 0)
  if (others + 1 > maxTainted * state.slots.length) return
  slot.taintedUntil = now + forMillis
  expires(step, slot.taintedUntil)
  out.push({ _tag: "Tainted", slot: slot.slot, exitClass, forMillis, reason, incident })
  note(step, slot)
}

/** Whether one more may be ejected: another that is clean takes its calls, and the share is not used up. */
export const mayEject = (state: DispatchState, slot: Slot): boolean => {
  if (slot.ejectedUntil > 0) return false
  const others = state.barrier.clean - (slot.clean ? 1 : 0)
  return others > 0 && count(state, ({ ejectedUntil }) => ejectedUntil > 0) + 1 <= state.config.outlier.maxEjected * state.slots.length
}

/** The worker of the slot gets no calls for a while; longer each time, until it was well for as long as it was away. */
export const eject = (step: Step, slot: Slot, tool: string, failures: number): void => {
  const { now, out, state } = step
  const { ejectFor, maxEjectFor } = state.config.outlier
  if (slot.ejections > 0 && now - slot.readmittedAt > slot.ejectedFor) slot.ejections = 0
  slot.ejectedFor = Math.min(Duration.toMillis(ejectFor) * 2 ** slot.ejections, Duration.toMillis(maxEjectFor))
  slot.ejections++
  slot.ejectedUntil = now + slot.ejectedFor
  expires(step, slot.ejectedUntil)
  out.push({ _tag: "Ejected", slot: slot.slot, tool, failures, ejections: slot.ejections, forMillis: slot.ejectedFor })
  note(step, slot)
}

/** Another worker fills the slot: what the one before it did is not its own. */
export const replaced = (step: Step, slot: Slot): void => {
  slot.ejections = 0
  if (slot.ejectedUntil > 0) readmit(step, slot, "replaced")
}

const readmit = (step: Step, slot: Slot, how: "expired" | "replaced"): void => {
  slot.ejectedUntil = 0
  slot.readmittedAt = step.now
  step.out.push({ _tag: "Readmitted", slot: slot.slot, how })
  note(step, slot)
}

/** Ends what is over; gives when the next is. */
export const expire = (step: Step): number => {
  const { now, out, state } = step
  let due = Number.POSITIVE_INFINITY
  for (const slot of state.slots) {
    if (slot.taintedUntil > 0 && slot.taintedUntil <= now) {
      slot.taintedUntil = 0
      out.push({ _tag: "Untainted", slot: slot.slot })
      note(step, slot)
    }
    if (slot.ejectedUntil > 0 && slot.ejectedUntil <= now) readmit(step, slot, "expired")
    if (slot.taintedUntil > 0) due = Math.min(due, slot.taintedUntil)
    if (slot.ejectedUntil > 0) due = Math.min(due, slot.ejectedUntil)
  }
  return due
}

/** What is wrong, in words. */
export const violations = ({ barrier, slots }: DispatchState): ReadonlyArray<string> => {
  const out: Array<string> = []
  let clean = 0
  for (const slot of slots) {
    const { ejectedUntil, slot: index, taintedUntil } = slot
    if (slot.avoided !== isAvoided(slot)) out.push(`slot ${index} is ${slot.avoided ? "" : "not "}avoided, for no reason`)
    if (slot.clean !== isClean(slot)) out.push(`slot ${index} is taken for ${slot.clean ? "" : "not "}clean`)
    if (slot.clean) clean++
    for (const until of [taintedUntil, ejectedUntil]) if (until > 0 && barrier.due > until) out.push(`slot ${index} is never clean again`)
  }
  if (clean !== barrier.clean) out.push(`${clean} slots are clean, and ${barrier.clean} are counted`)
  return out
}

/** Makes sound what follows from the slots. */
export const rebuild = ({ barrier, slots }: DispatchState): void => {
  barrier.clean = 0
  barrier.due = 0 // looked at by the next tick
  for (const slot of slots) {
    slot.avoided = isAvoided(slot)
    slot.clean = isClean(slot)
    if (slot.clean) barrier.clean++
  }
}
