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

/** `quarantine`: that of the Roster before. What else was remembered is of workers, and these went with it. */
export const make = (quarantine?: Quarantine.Quarantine): CrashBarrier => ({
  clean: 0,
  due: quarantine === undefined ? Number.POSITIVE_INFINITY : 0, // looked at by the next tick
  quarantine: quarantine ?? Quarantine.make(),
  outliers: Outlier.make()
})

/** Its worker crashed, whoever caused it. What we ended ourselves has not crashed. */
export const isCrash = (exit: ExitClass | undefined): exit is ExitClass => exit !== undefined && exit._tag !== "KilledByUs"

/**
 * Ends that count for no call. A signal from outside comes from an operator, a job manager or a kernel in want of memory, and often to all workers at
 * once; code 0 is what a handler leaves with that was told to. A call that does this to its own process runs until its attempts are spent.
 */
const fromOutside: ReadonlySet<ExitClass["_tag"]> = new Set(["KilledBySomeone", "Clean"])

/** The worker of the slot has crashed: gives the call that crashed it, where that is known. */
export const crashed = (step: Step, slot: Slot, exit: ExitClass, reason: string, incident: string | undefined): Call | undefined => {
  expire(step) // what is over does not count
  Avoidance.taint(step, slot, exit, reason, incident)
  if (fromOutside.has(exit._tag)) return undefined
  const crash = { at: step.now, worker: `${step.state.pool}/${slot.slot}`, exit: exit._tag }
  const culprit = culpritOf(slot, step.now)
  if (culprit !== undefined) Quarantine.blame(step, culprit, crash, slot.calls.length === 1)
  for (const call of Line.members(slot.calls)) if (call !== culprit) Quarantine.suspect(call, crash)
  return culprit
}

/** One second: what a worker says leaves it within 2 ms (`LATER_SECONDS` in `_outbox.py`); its end is seen after its memory was written out. */
const toldMillis = 1000

/**
 * The one call that must have done it; none where others may have. Of a quick tool the worker says that it began, and what came of it, only with
 * what it says next, and a crash takes that word along: a call that is over may seem to run, and the one that crashed the worker not to have
 * begun. So there is proof only where the worker had one call; where one alone of its calls had a worker crash before, for which these are kept apart
 * (`Room.takes`); or where it runs one at a time, and this one would have been told to be over.
 */
const culpritOf = ({ calls, concurrency }: Slot, now: number): Call | undefined => {
  const sent = [...Line.members(calls)]
  const [only, ...more] = sent.length === 1 ? sent : sent.filter(({ crashed }) => crashed !== undefined)
  if (more.length > 0) return undefined
  if (only !== undefined) return only.stage === "Abandoned" && only.startedAt === Number.POSITIVE_INFINITY ? undefined : only
  return concurrency === 1 ? sent.find(({ startedAt }) => now - startedAt >= toldMillis) : undefined
}

/** Ends what is over. */
export const expire = (step: Step): void => {
  const { barrier } = step.state
  if (step.now < barrier.due) return
  barrier.due = Number.POSITIVE_INFINITY // while slots are looked at none is added
  barrier.due = Math.min(Avoidance.expire(step), Quarantine.expire(step))
}
