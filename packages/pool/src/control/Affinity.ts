/**
 * Which worker the session of a call binds it to, as the pool's `affinity` says.
 */
import type { CallError } from "../CallError.ts"
import type { DispatchState, Offer } from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as Sessions from "./Sessions.ts"

/** Where the session of a call is bound to, when the call may not go elsewhere. */
export const bindingOf = ({ config, sessions }: DispatchState, { session }: Offer): Sessions.Binding | undefined =>
  session === undefined || config.affinity === "hint" ? undefined : Sessions.get(sessions, session)

/** Why a call of a bound session can neither be sent nor wait. A loss is told once: the session's next call begins it anew. */
export const refusal = (state: DispatchState, offer: Offer, { lost, slot }: Sessions.Binding): CallError | undefined => {
  if (lost !== undefined) {
    Sessions.forget(state.sessions, offer.session!)
    return DispatchError.sessionLost(state, offer, slot, lost)
  }
  const { calls, concurrency, open } = state.slots[slot]!
  if (state.config.affinity === "strict_queue" || (open && calls.length < concurrency)) return undefined
  return DispatchError.sessionBusy(state, offer, slot)
}
