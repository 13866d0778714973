/**
 * The verdict on a worker: what its beats, the kernel and its running call say together. A total function of (state, observation) to orders.
 *
 * ```text
 *                        ┌───────────────────── a beat is answered ─────────────────────┐
 *                        ▼                                                              │
 *   beat missed ─▶ what does the kernel say?                                            │
 *                        ├─ a debugger holds it ────────────────▶ traced ───────────────┤  never failed
 *                        ├─ stopped (SIGSTOP) ──────────────────▶ stopped ──────────────┤  still stopped at the next look ─▶ fail: Stopped
 *                        ├─ it works: CPU, page-ins, running ───▶ busy ─────────────────┤  until its call's limit ─────────▶ fail: Overran
 *                        ├─ it is still, its tool may block ────▶ busy ─────────────────┤  until its call's limit ─────────▶ fail: Overran
 *                        └─ it is still, or nobody knows ─ maxMissed times in a row ────┘
 *                               ├─ it runs a call ───▶ hung ────────▶ fail: Hung
 *                               └─ it runs none ─────▶ unreachable ─▶ fail: Unreachable
 * ```
 *
 * **Details**
 *
 * Each beat is looked at twice when it is not answered: half-way (`waiting`) and at its end (`missed`). The two looks are what CPU time is
 * compared between, so that even the first missed beat can tell work from stillness. A look that has none before it proves neither, and
 * the beat does not count as still.
 *
 * **Gotchas**
 *
 * A worker that works without a call (threads that its tools left behind) may be silent as long as a call may run, then it is unreachable.
 * An observation that was taken late, while the host itself was held up, judges nothing.
 */
import * as Data from "effect/Data"
import type { Evidence } from "../WorkerRuntime.ts"

export type Verdict = "alive" | "busy" | "stopped" | "traced" | "hung" | "unreachable"

/** The call that a worker runs, as far as the host knows. */
export interface RunningCall {
  /** Its number in the Roster; absent: it is the end of a session. */
  readonly id?: number | undefined
  readonly tool: string
  /** When it was sent. */
  readonly since: number
  /** Its tool is declared to hold the interpreter without working: `Tool.Blocking`. */
  readonly blocking: boolean
  /** How long after `since` the worker is replaced if it runs still. */
  readonly hardLimitMillis: number
  /** Its caller is not waiting any more. */
  readonly cancelled: boolean
}

/** What was seen at one moment. */
export interface Observation {
  /** Milliseconds, monotonic. */
  readonly now: number
  /** `waiting`: half of its timeout is over. `none`: an overrun was reported between two beats. */
  readonly beat: "answered" | "waiting" | "missed" | "none"
  /** What the kernel says of the process; `undefined` when it was not asked, or does not say. */
  readonly evidence: Evidence | undefined
  readonly call: RunningCall | undefined
  /** The host was held up meanwhile: what was seen says nothing about the worker. */
  readonly hostLate: boolean
}

export interface Limits {
  /** Beats that a worker may miss in a row while it is still. */
  readonly maxMissed: number
  /** How long a worker that works but runs no call may be silent, in milliseconds. */
  readonly idleLimitMillis: number
}

export interface VerdictState {
  readonly verdict: Verdict
  /** Beats missed in a row. */
  readonly missed: number
  /** Of these the last in a row during which it did not work. Invariant: still ≤ missed. */
  readonly still: number
  /** It was seen to work since the last missed beat. */
  readonly worked: boolean
  /** When the first of these was missed. */
  readonly silentSince: number | undefined
  readonly look: { readonly at: number; readonly evidence: Evidence } | undefined
}

/** Why a worker must go. */
export type Reason = Data.TaggedEnum<{
  Stopped: {}
  Hung: { readonly call: RunningCall }
  Unreachable: {}
  Overran: { readonly call: RunningCall }
}>
export const Reason = Data.taggedEnum<Reason>()

export type Order = Data.TaggedEnum<{
  /** The verdict has changed. */
  Tell: { readonly verdict: Verdict; readonly was: Verdict }
  /** End the process, abnormally. */
  Fail: { readonly reason: Reason }
}>
export const Order = Data.taggedEnum<Order>()

export interface Outcome {
  readonly state: VerdictState
  readonly orders: ReadonlyArray<Order>
}

export const initial: VerdictState = {
  verdict: "alive",
  missed: 0,
  still: 0,
  worked: false,
  silentSince: undefined,
  look: undefined
}

/**
 * 5 %, of one thread: a computation on a machine with twenty others like it still gets that. A thread that waits for the interpreter lock
 * of a deadlocked worker asks for it all the time and uses 0.5 %; sixteen of them together look like one that works.
 */
const workingShare = 0.05
/** What a difference of two readings may be off: CPU time is counted in ticks, and a busy host charges a thread for its own delays. */
const readingErrorMillis = 10

/** Total. The clock must not go back between two observations. */
export const transition = (state: VerdictState, seen: Observation, limits: Limits): Outcome => {
  if (seen.beat === "answered") return become(initial, state.verdict)
  if (seen.hostLate) return { state: { ...state, worked: false, look: undefined }, orders: [] }
  switch (seen.beat) {
    case "none":
      return overrun(state, seen)
    case "waiting":
      return waiting(state, seen)
    case "missed":
      return missed(state, seen, limits)
  }
}

const overrun = (state: VerdictState, { call, evidence, now }: Observation): Outcome => {
  if (evidence?.state === "traced") return become({ ...state, verdict: "traced" }, state.verdict)
  return call !== undefined && isOver(call, now) ? fail(state, state.verdict, Reason.Overran({ call })) : { state, orders: [] }
}

const waiting = (state: VerdictState, { evidence, now }: Observation): Outcome => {
  if (state.missed > 0 && stoppedTwice(state, evidence)) return fail({ ...state, verdict: "stopped" }, state.verdict, Reason.Stopped())
  return { state: { ...state, worked: state.worked || works(state, evidence, now), look: lookAt(evidence, now) }, orders: [] }
}

const missed = (before: VerdictState, { call, evidence, now }: Observation, limits: Limits): Outcome => {
  const worked = before.worked || works(before, evidence, now)
  const counts = evidence === undefined || before.look?.evidence.pid === evidence.pid
  const state: VerdictState = {
    verdict: before.verdict,
    missed: before.missed + 1,
    still: worked || evidence?.state === "traced" ? 0 : before.still + (counts ? 1 : 0),
    worked: false,
    silentSince: before.silentSince ?? now,
    look: lookAt(evidence, now)
  }
  const is = (verdict: Verdict) => become({ ...state, verdict }, before.verdict)
  const failed = (verdict: Verdict, reason: Reason) => fail({ ...state, verdict }, before.verdict, reason)

  if (evidence?.state === "traced") return is("traced")
  if (evidence?.state === "stopped") return stoppedTwice(before, evidence) ? failed("stopped", Reason.Stopped()) : is("stopped")
  if (call !== undefined && isOver(call, now)) return failed(worked ? "busy" : "hung", Reason.Overran({ call }))
  if (worked) {
    const patient = call !== undefined || now - state.silentSince! < limits.idleLimitMillis
    return patient ? is("busy") : failed("unreachable", Reason.Unreachable())
  }
  if (call?.blocking === true) return is("busy")
  if (state.still < limits.maxMissed) return is(before.verdict === "busy" ? "busy" : "alive") // not judged yet
  return call === undefined ? failed("unreachable", Reason.Unreachable()) : failed("hung", Reason.Hung({ call }))
}

const works = ({ look }: VerdictState, evidence: Evidence | undefined, now: number): boolean => {
  if (evidence === undefined) return false
  if (evidence.state === "running") return true // or would if it were let: the machine is busy
  if (look === undefined || look.evidence.pid !== evidence.pid || now <= look.at) return false
  if (evidence.majorFaults > look.evidence.majorFaults) return true
  const { threads } = look.evidence
  const atLeast = workingShare * (now - look.at) + readingErrorMillis
  return [...evidence.threads].some(([id, millis]) => millis - (threads.get(id) ?? 0) >= atLeast)
}

const stoppedTwice = ({ look }: VerdictState, evidence: Evidence | undefined): boolean =>
  evidence?.state === "stopped" && look?.evidence.state === "stopped" && look.evidence.pid === evidence.pid

const lookAt = (evidence: Evidence | undefined, at: number): VerdictState["look"] => evidence === undefined ? undefined : { at, evidence }

const isOver = (call: RunningCall, now: number): boolean => now - call.since >= call.hardLimitMillis

const become = (state: VerdictState, was: Verdict): Outcome => ({
  state,
  orders: state.verdict === was ? [] : [Order.Tell({ verdict: state.verdict, was })]
})

const fail = (state: VerdictState, was: Verdict, reason: Reason): Outcome => ({
  state,
  orders: [...become(state, was).orders, Order.Fail({ reason })]
})
