/**
 * How a call ends: for its caller, for those who listen, and for the queue or the slot that has it.
 */
import type { CallError } from "../CallError.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import type { Because, Call, DispatchState, Step } from "./Dispatch.ts"
import * as Line from "./Line.ts"
import * as Room from "./Room.ts"
import * as TenantQueue from "./TenantQueue.ts"

/** Its caller is told; `incident`: of the loss of a worker that it comes from. */
export const fail = ({ now, out, state }: Step, call: Call, error: CallError, incident?: string): void => {
  const { at, tool } = call.offer
  state.ledger.failed++
  state.counts.failed(tool, state.tools, error, now - at)
  out.push({ _tag: "Fail", id: call.id, error, incident })
}

/** Its caller has its outcome; the worker has until `limit` to stop. */
export const abandon = ({ now, out, state }: Step, call: Call, limit: number, because: Because): void => {
  call.stage = "Abandoned"
  call.because = because
  call.abandonedAt = now
  DeadlineWheel.set(state.wheel, call.timer, limit)
  out.push({ _tag: "CancelOnWire", slot: call.slot, id: call.id, attempt: call.attempt })
}

/** Tells how a call ended that nobody waits for. */
export const cancelled = (
  { now, out }: Step,
  { abandonedAt, because, id, offer, slot }: Call,
  how: string,
  incident?: string
): void =>
  void out.push({
    _tag: "Cancelled",
    id,
    tool: offer.tool,
    slot: slot < 0 ? undefined : slot,
    how,
    because: because!,
    afterMillis: now - abandonedAt,
    incident
  })

/** It is not accepted. */
export const refuse = ({ ledger, counts, tools }: DispatchState, tool: string, error: CallError): void => {
  ledger.rejected++
  counts.refused(tool, tools, error)
}

/** It is over: it leaves the place where it stands. */
export const forget = (step: Step, call: Call): void => {
  const { state } = step
  state.calls.delete(call.id)
  if (call.session !== undefined) {
    call.session.calls--
    call.session.usedAt = step.now
  }
  DeadlineWheel.clear(state.wheel, call.timer)
  if (call.slot >= 0) leaveSlot(step, call)
  else if (call.stage === "Resting") Line.leave(call)
  else if (call.line !== undefined) {
    TenantQueue.leave(call)
    state.waiting--
  }
}

/** It leaves the slot that has it, for good or to wait again. */
export const leaveSlot = (step: Step, call: Call): void => {
  const slot = step.state.slots[call.slot]!
  Line.leave(call)
  slot.work = slot.calls.length === 0 ? 0 : slot.work - call.cost
  slot.movedAt = step.now
  slot.served++
  if (call.crashed !== undefined) slot.retries--
  Room.refresh(step, slot)
}
