/**
 * What becomes of the calls of a worker that is gone: those that may run again wait for another one, the others are settled.
 */
import type { ExitClass } from "../ExitClass.ts"
import * as Affinity from "./Affinity.ts"
import * as CrashBarrier from "./CrashBarrier.ts"
import type { Call, DispatchState, Step } from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as Line from "./Line.ts"
import * as Quarantine from "./Quarantine.ts"
import * as Room from "./Room.ts"
import * as Sending from "./Sending.ts"
import * as Sessions from "./Sessions.ts"
import * as Settlement from "./Settlement.ts"
import * as TenantQueue from "./TenantQueue.ts"

/** The worker of a slot is gone, if there was one. */
export const detached = (step: Step, index: number, reason: string, ended: boolean, exit?: ExitClass): void => {
  const { out, state } = step
  const slot = state.slots[index]
  if (slot?.tools === undefined) return
  slot.tools = undefined
  slot.open = false
  out.push({ _tag: "WorkerDown", slot: index, calls: slot.calls.length, reason })
  const sessions = Sessions.lose(state.sessions, index, reason, state.config.affinity !== "hint")
  if (sessions > 0) out.push({ _tag: "SessionsLost", slot: index, sessions, reason })
  const suspects = ended ? CrashBarrier.crashed(step, slot, exit, reason) : []
  const lost = [...Line.members(slot.calls)].toReversed() // each goes before the others: the one that was sent first ends up first
  for (const call of lost) {
    const isSuspect = suspects.includes(call)
    const poison = isSuspect ? Quarantine.holds(step, call.offer, call) : undefined
    if (call.stage === "Abandoned") {
      Settlement.cancelled(step, call, slot.condemned ? "recycled" : "lost")
      Settlement.forget(step, call)
    } else if (poison !== undefined) {
      Settlement.fail(step, call, DispatchError.poisoned(state, call.offer, poison, "unknown"))
      Settlement.forget(step, call)
    } else {
      const isCrash = ended && call.stage === "Running"
      const error = isCrash ? DispatchError.crashed(state, call, reason, exit) : DispatchError.unknown(state, call, reason, ended)
      if (mayRunAgain(state, call)) {
        Settlement.leaveSlot(step, call)
        if (isSuspect) Sending.rest(step, call, index, reason, error)
        else {
          Sending.retried(step, call, index, reason, 0)
          Sending.waitAgain(step, call)
        }
      } else {
        Settlement.fail(step, call, error)
        Settlement.forget(step, call)
      }
    }
  }
  for (const call of [...TenantQueue.members(slot.bound)]) {
    Settlement.fail(step, call, DispatchError.notRetried(state, call) ?? DispatchError.sessionLost(state, call.offer, index, reason))
    Settlement.forget(step, call)
    Sessions.forget(state.sessions, call.offer.session!)
  }
  Room.refresh(step, slot)
}

const mayRunAgain = (state: DispatchState, call: Call): boolean =>
  call.idempotent && !call.asked && call.attempt < state.config.attempts && (call.delivered === 0 || call.deterministic) &&
  Affinity.bindingOf(state, call.offer) === undefined // what its worker knew of the session is gone
