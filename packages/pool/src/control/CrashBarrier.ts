/**
 * What a pool remembers of crashes, so that one does not lead to the next: slots that are tainted, calls that are in quarantine, workers that fail
 * where others succeed. It stands in the Roster's state: a crash of the Dispatcher forgets nothing.
 */
import type { ExitClass } from "../ExitClass.ts"
import * as Avoidance from "./Avoidance.ts"
import type { Call, Slot, Step } from "./Dispatch.ts"
import * as Line from "./Line.ts"
import * as Outlier from "./Outlier.ts"
import * as Quarantine from "./Quarantine.ts"

export interface CrashBarrier {
  /** Slots that are open and neither tainted nor ejected. */
  clean: number
  /** No later than the first of what is remembered is over; Infinity: nothing is remembered. */
  due: number
  readonly quarantine: Quarantine.Quarantine
  readonly outliers: Outlier.Outliers
}

export const make = (): CrashBarrier => ({
  clean: 0,
  due: Number.POSITIVE_INFINITY,
  quarantine: Quarantine.make(),
  outliers: Outlier.make()
})

const nobody: ReadonlyArray<Call> = []

/** The worker of the slot is gone, with this exit: gives the calls that may have crashed it. What we ended ourselves has not crashed. */
export const crashed = (step: Step, slot: Slot, exit: ExitClass | undefined, reason: string): ReadonlyArray<Call> => {
  if (exit === undefined || exit._tag === "KilledByUs") return nobody
  expire(step) // what is over does not count
  const suspects = suspectsOf(slot)
  Quarantine.blame(step, suspects, slot.slot, exit)
  Avoidance.taint(step, slot, exit, reason)
  return suspects
}

/** The calls that it had begun. When it has said of none that it began, the first that it was sent: that word may have been lost with it. */
const suspectsOf = ({ calls, concurrency }: Slot): ReadonlyArray<Call> => {
  const sent = [...Line.members(calls)]
  const begun = sent.filter(({ began, stage }) => stage === "Running" || (stage === "Abandoned" && began))
  return begun.length > 0 ? begun : sent.slice(0, concurrency)
}

/** Ends what is over. */
export const expire = (step: Step): void => {
  const { barrier } = step.state
  if (step.now < barrier.due) return
  barrier.due = Number.POSITIVE_INFINITY // while slots are looked at none is added
  barrier.due = Math.min(Avoidance.expire(step), Quarantine.expire(step))
}
