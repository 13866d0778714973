/**
 * Which worker the session of a call binds it to, as the pool's `affinity` says.
 */
import type { CallError } from "../CallError.ts"
import type { DispatchState, Offer, Slot } from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as Sessions from "./Sessions.ts"

/** The session whose worker a call of it may not leave. */
export const bindingOf = ({ config }: DispatchState, session: Sessions.Session | undefined): Sessions.Session | undefined =>
  session === undefined || session.slot < 0 || config.affinity === "hint" ? undefined : session

/** Whether the worker in a slot serves the session that is bound. */
export const isServedBy = ({ slot }: Slot, session: Sessions.Session): boolean =>
  session.slot === slot && session.lost === undefined && session.moves === undefined

/** Why a call of a bound session can neither be sent nor wait. A loss is told once: the session's next call begins it anew. */
export const refusal = (state: DispatchState, offer: Offer, session: Sessions.Session): CallError | undefined => {
  const { lost, moves, slot } = session
  if (lost !== undefined) {
    Sessions.unbind(session)
    return DispatchError.sessionLost(state, offer, slot, lost)
  }
  if (moves !== undefined) return undefined // it waits for the end there, not for that worker
  const { calls, concurrency, open } = state.slots[slot]!
  if (state.config.affinity === "strict_queue" || (open && calls.length < concurrency)) return undefined
  return DispatchError.sessionBusy(state, offer, slot)
}
