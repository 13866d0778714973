/**
 * What becomes of the calls of a worker that is gone: those that may run again wait for another one, a while if it crashed; the others are settled.
 */
import type { ExitClass } from "../ExitClass.ts"
import * as Affinity from "./Affinity.ts"
import * as CrashBarrier from "./CrashBarrier.ts"
import { type Call, type DispatchState, queueOf, type Slot, type Step } from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as Line from "./Line.ts"
import * as Quarantine from "./Quarantine.ts"
import * as Room from "./Room.ts"
import * as Sending from "./Sending.ts"
import * as SessionLife from "./SessionLife.ts"
import * as Sessions from "./Sessions.ts"
import * as Settlement from "./Settlement.ts"
import * as TenantQueue from "./TenantQueue.ts"

/** How a worker was lost. */
export interface Loss {
  readonly slot: number
  readonly reason: string
  readonly ended: boolean
  readonly exit?: ExitClass | undefined
  /** Of the supervisors that decide about it. */
  readonly incident?: string | undefined
}

/** The worker of a slot is gone, if there was one. */
export const detached = (step: Step, { ended, exit, incident, reason, slot: index }: Loss): void => {
  const { out, state } = step
  const slot = state.slots[index]
  if (slot?.tools === undefined) return
  slot.tools = undefined
  slot.open = false
  out.push({ _tag: "WorkerDown", slot: index, calls: slot.calls.length, reason, incident })
  SessionLife.vacate(step, slot, reason, incident)
  const isCrash = ended && CrashBarrier.isCrash(exit)
  const culprit = isCrash ? CrashBarrier.crashed(step, slot, exit, reason, incident) : undefined
  const lost = [...Line.members(slot.calls)].toReversed() // each goes before the others: the one that was sent first ends up first
  for (const call of lost) {
    const poison = call === culprit ? Quarantine.holds(step, call.offer, call) : undefined
    if (call.stage === "Abandoned") {
      Settlement.cancelled(step, call, slot.condemned ? "recycled" : "lost", incident)
      Settlement.forget(step, call)
    } else if (poison !== undefined) {
      Settlement.fail(step, call, DispatchError.poisoned(state, call.offer, poison, "unknown"), incident)
      Settlement.forget(step, call)
    } else {
      const error = ended && call.stage === "Running"
        ? DispatchError.crashed(state, call, reason, exit)
        : DispatchError.unknown(state, call, reason, ended)
      if (mayRunAgain(state, call)) {
        out.push({ _tag: "Returned", id: call.id, error })
        Settlement.leaveSlot(step, call)
        if (isCrash) Sending.rest(step, call, error, { slot: index, reason, incident })
        else {
          Sending.retried(step, call, { slot: index, reason, incident }, 0)
          Sending.waitAgain(step, call)
        }
      } else {
        Settlement.fail(step, call, error, incident)
        Settlement.forget(step, call)
      }
    }
  }
  rehome(step, slot)
  Room.refresh(step, slot)
}

/** The worker in a slot is to go as planned: its sessions, and their calls that wait for it, are served there no more. */
export const vacated = (step: Step, index: number, reason: string): void => {
  const slot = step.state.slots[index]
  if (slot?.tools === undefined) return
  const { affinity, sessions } = step.state.config
  if (affinity !== "hint" && sessions.onLoss === "replay") return SessionLife.moveAll(step, slot, reason)
  SessionLife.vacate(step, slot, reason, undefined)
  rehome(step, slot)
}

/** Calls that wait for a worker that serves their sessions no more: told so, or put behind those that any worker may take. */
export const rehome = (step: Step, { bound, boundNested, slot }: Slot): void => {
  const { state } = step
  const told = new Set<Sessions.Session>()
  for (const call of [...TenantQueue.members(boundNested), ...TenantQueue.members(bound)]) {
    const session = call.session!
    if (session.lost !== undefined) {
      told.add(session)
      Settlement.fail(step, call, DispatchError.notRetried(state, call) ?? DispatchError.sessionLost(state, call.offer, slot, session.lost))
      Settlement.forget(step, call)
    } else if (Affinity.bindingOf(state, session) === undefined) {
      TenantQueue.leave(call)
      TenantQueue.push(queueOf(state, call.offer), call)
    }
  }
  for (const session of told) Sessions.unbind(session)
}

const mayRunAgain = (state: DispatchState, call: Call): boolean =>
  call.idempotent && !call.asked && call.attempt < state.config.attempts && (call.delivered === 0 || call.deterministic) &&
  call.session?.over !== true && (call.session === undefined || goesOn(state)) // else what its worker knew of the session is gone

/** A session whose worker is gone goes on elsewhere. */
const goesOn = ({ config }: DispatchState): boolean => config.affinity === "hint" || config.sessions.onLoss === "replay"
