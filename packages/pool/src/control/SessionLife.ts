/**
 * How the sessions of a pool begin, move and end.
 *
 * ```text
 *              first call, or opened               sent to a worker
 *  (no session) ───────────────────▶ served nowhere ───────────────▶ bound to its slot: state in that worker
 *      ▲                               ▲        ▲                       │  │  │
 *      │                               │        └─ worker gone, and ────┘  │  │
 *      │                               │           it goes on elsewhere    │  │
 *      │      its next call was told   └──────────── lost ◀── worker gone ─┘  │
 *      │                                              │                       │
 *      └────────── ended: by its owner, an operator, or its time to live ─────┘
 * ```
 *
 * **Details**
 *
 * When a worker goes as planned, its strict sessions are ended there before they begin elsewhere: their calls wait until it has confirmed that.
 * A worker that has served a session is told of its end, also when the session moves to another one by `affinity: "hint"`. What it then does is
 * waited for by no call: an end stays counted until its worker has confirmed it, or is gone.
 */
import type * as CallError from "../CallError.ts"
import type { DispatchState, Offer, SessionEnd, Slot, Step } from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as Sessions from "./Sessions.ts"
import * as Settlement from "./Settlement.ts"

/** A name, not a document: 256 bytes hold any id that people make, and thousands of them little memory. */
const longestId = 256

/** A tenth below `warnAt` it is calm again, so that a number that swings about the threshold is told once. */
const calmBelow = 0.1

/** The session that goes by this id; one whose time is over ends by it. */
export const find = (step: Step, id: string): Sessions.Session | undefined => {
  const { now, state } = step
  const session = state.sessions.byId.get(id)
  if (session === undefined || !Sessions.isExpired(session, now, state.limits.sessionTtl)) return session
  expire(step, session)
  return session.over ? undefined : session
}

/** Why no session of that id may begin. */
export const refusal = (state: DispatchState, offer: Offer): CallError.CallError | undefined => {
  const { maxSessions } = state.config.sessions
  const issue = idIssue(offer.session!)
  if (issue !== undefined) return DispatchError.invalid(state, offer, issue)
  return Sessions.count(state.sessions) < maxSessions ? undefined : DispatchError.sessionsFull(state, offer, maxSessions)
}

/** What is wrong with an id. */
export const idIssue = (id: string): string | undefined => {
  if (id === "") return "the id of a session is not empty"
  const bytes = bytesOf(id)
  return bytes <= longestId ? undefined : `the id of its session has ${bytes} bytes, more than ${longestId}`
}

/** In UTF-8. */
const bytesOf = (text: string): number => {
  let bytes = 0
  for (const character of text) {
    const point = character.codePointAt(0)!
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x1_0000 ? 3 : 4
  }
  return bytes
}

/** A session of that id begins; its first call is sent later. */
export const begin = (step: Step, session: Omit<Sessions.Begin, "at">): Sessions.Session => {
  const { now, out, state } = step
  const { sessions } = state
  const begun = Sessions.add(sessions, { ...session, at: now })
  const { maxSessions, warnAt } = state.config.sessions
  const count = Sessions.count(sessions)
  if (!sessions.warned && count >= warnAt * maxSessions) {
    sessions.warned = true
    out.push({ _tag: "SessionsMany", sessions: count, limit: maxSessions })
  }
  return begun
}

/** A call of the session is about to be sent to the worker in `slot`, which does not serve it yet. */
export const bind = (step: Step, session: Sessions.Session, { slot }: Slot): void => {
  const { data, id, starts } = session
  const moves = Sessions.isBound(session)
  leave(step, session)
  session.slot = slot
  session.starts++
  if (data !== undefined) step.out.push({ _tag: "StartSessionOnWire", slot, session: id, data })
  step.out.push({ _tag: "SessionStarted", slot, session: id, why: moves ? "moved" : starts === 0 ? "new" : "again" })
}

/** Ends a session; `told` hears when its worker has confirmed it. */
export const end = (step: Step, session: Sessions.Session, reason: SessionEnd, told?: () => void): void => {
  const { state } = step
  const isNews = session.lost === undefined
  session.over = true
  state.sessions.byId.delete(session.id)
  leave(step, session, told)
  if (isNews) ended(step, session, reason)
  if (session.calls === 0) return
  for (const call of [...state.calls.values()]) {
    if (call.session !== session || (call.stage !== "Queued" && call.stage !== "Resting")) continue
    Settlement.fail(step, call, DispatchError.sessionEnded(state, call))
    Settlement.forget(step, call)
  }
}

const expire = (step: Step, session: Sessions.Session): void => {
  if (!session.opened) return end(step, session, "ttl")
  if (!Sessions.isBound(session)) return
  leave(step, session)
  ended(step, session, "ttl")
}

/** Ends what has not been used for its time to live. */
export const sweep = (step: Step): void => {
  const { now, state } = step
  const { byId } = state.sessions
  for (const session of byId.values()) if (Sessions.isExpired(session, now, state.limits.sessionTtl)) expire(step, session)
  calm(state)
}

/** Its worker is to go as planned: once that has ended it, it goes elsewhere. */
const move = (step: Step, session: Sessions.Session): void => {
  const { slot } = session
  leave(step, session)
  session.slot = slot
  session.moves = step.state.sessions.ends
}

/** The worker in `slot` is to go as planned, and its sessions go elsewhere in silence. */
export const moveAll = (step: Step, { slot }: Slot, reason: string): void => {
  let sessions = 0
  for (const session of step.state.sessions.byId.values()) {
    if (session.slot !== slot || session.lost !== undefined || session.moves !== undefined) continue
    sessions++
    move(step, session)
  }
  if (sessions > 0) step.out.push({ _tag: "SessionsLost", slot, sessions, reason, then: "replayed", incident: undefined })
}

/**
 * A call comes for a session whose worker is to go as planned, and whose callers must know: whether it is told. As long as the session has calls
 * each that comes is, else one of all; then it ends there, and the next call begins it elsewhere.
 */
export const isTold = (step: Step, session: Sessions.Session, reason: string): boolean => {
  const isNews = session.calls > 0 || !session.told
  session.told = true
  if (session.calls > 0) return true
  step.out.push({ _tag: "SessionsLost", slot: session.slot, sessions: 1, reason, then: "told", incident: undefined })
  ended(step, session, "lost")
  move(step, session)
  return isNews
}

/** The worker in `slot` serves no session any more, because it is gone or is being drained. */
export const vacate = (
  step: Step,
  { slot }: Slot,
  reason: string,
  incident: string | undefined,
  end: "lost" | "pool_down" = "lost"
): void => {
  const { out, state } = step
  const { byId, endings } = state.sessions
  const isStrict = state.config.affinity !== "hint"
  const isTold = isStrict && state.config.sessions.onLoss === "fail"
  const isGone = state.slots[slot]!.tools === undefined
  let sessions = 0
  for (const session of byId.values()) {
    if (session.slot !== slot || session.lost !== undefined) continue
    const { moves, told } = session
    if (moves !== undefined) {
      if (isGone) Sessions.unbind(session)
      continue
    }
    sessions++
    leave(step, session)
    if (!isTold) continue
    ended(step, session, end)
    if (told) continue
    session.slot = slot
    session.lost = reason
  }
  const then = isTold ? "told" : isStrict ? "replayed" : "elsewhere"
  if (sessions > 0) out.push({ _tag: "SessionsLost", slot, sessions, reason, then, incident })
  if (!isGone) return // it confirms what it was told
  for (const [number, ending] of endings) {
    if (ending.slot !== slot) continue
    endings.delete(number)
    if (ending.told !== undefined) out.push({ _tag: "Tell", told: ending.told })
  }
}

/**
 * A worker has ended a session, as it was told to: `failure` is what its hooks raised, `overran` that they go on beyond their limit. Gives whether the
 * session may go elsewhere now.
 */
export const confirmed = (step: Step, slot: number, number: number, failure: string, overran: boolean): boolean => {
  const { now, out, state } = step
  const { byId, endings } = state.sessions
  const ending = endings.get(number)
  if (ending?.slot !== slot) return false
  endings.delete(number)
  if (failure !== "") out.push({ _tag: "SessionEndFailed", slot, session: ending.session, reason: failure })
  if (ending.told !== undefined) out.push({ _tag: "Tell", told: ending.told })
  if (!overran) {
    calm(state)
    const session = byId.get(ending.session)
    if (session?.moves !== number) return false
    Sessions.unbind(session)
    return true
  }
  const { sessionEnd } = state.limits
  state.slots[slot]!.condemned = true
  const call = { tool: "on_session_end", since: now - sessionEnd, blocking: false, hardLimitMillis: sessionEnd, cancelled: true }
  out.push({ _tag: "FailWorker", slot, call })
  return false
}

/** Somebody opens a session, and hears what came of it. */
export const open = (
  step: Step,
  session: Omit<Sessions.Begin, "at" | "opened">,
  told: (outcome: Sessions.Session | Refused) => void
): void => {
  const outcome = notOpened(step, session) ?? begin(step, { ...session, opened: true })
  step.out.push({ _tag: "Tell", told: () => told(outcome) })
}

/** Why a session cannot be opened. */
export interface Refused {
  readonly reason: "taken" | "full" | "invalid" | "down"
  readonly detail: string
}

const notOpened = (step: Step, { data, id }: Omit<Sessions.Begin, "at" | "opened">): Refused | undefined => {
  const { closed, config, sessions } = step.state
  const { maxSessions } = config.sessions
  if (closed !== undefined) return { reason: "down", detail: closed }
  const bytes = data?.byteLength ?? 0
  const issue = idIssue(id) ?? (bytes > config.maxPayload ? `its data takes ${bytes} bytes, more than maxPayload` : undefined)
  if (issue !== undefined) return { reason: "invalid", detail: issue }
  if (find(step, id) !== undefined) return { reason: "taken", detail: "there is one of that id, and what it began with stands" }
  if (Sessions.count(sessions) < maxSessions) return undefined
  return { reason: "full", detail: `there are ${maxSessions}, as many as sessions.maxSessions allows` }
}

/** Its worker is told, if some worker serves it; else `told` hears at once. */
const leave = ({ out, state }: Step, session: Sessions.Session, told?: () => void): void => {
  const { id, moves, slot } = session
  const isServed = Sessions.isBound(session) && state.slots[slot]?.tools !== undefined
  Sessions.unbind(session)
  if (isServed) {
    const number = moves ?? ++state.sessions.ends
    state.sessions.endings.set(number, { slot, session: id, told })
    if (moves === undefined) out.push({ _tag: "EndSessionOnWire", slot, number, session: id })
  } else if (told !== undefined) out.push({ _tag: "Tell", told })
}

const ended = ({ now, out, state }: Step, { createdAt, id, starts }: Sessions.Session, reason: SessionEnd): void => {
  out.push({ _tag: "SessionEnded", session: id, reason, starts, livedMillis: now - createdAt })
  calm(state)
}

const calm = ({ config, sessions }: DispatchState): void => {
  const { maxSessions, warnAt } = config.sessions
  if (sessions.warned && Sessions.count(sessions) < (warnAt - calmBelow) * maxSessions) sessions.warned = false
}
