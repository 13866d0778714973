/**
 * The invariants of a dispatch state, and how one that a crash has damaged is mended, so that no caller waits for ever.
 */
import * as Duration from "effect/Duration"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import type { Call, Command, DispatchState } from "./Dispatch.ts"
import { abandon, fail, forget, onSlot, pump, type Step, unknown } from "./DispatchMachine.ts"

/** What is wrong with a state, in words; empty when it is sound. */
export const violations = (state: DispatchState): ReadonlyArray<string> => {
  const out: Array<string> = []
  for (const id of [...state.again, ...state.queue]) {
    if (!state.calls.has(id)) out.push(`call ${id} is in the queue, and over`)
    if (state.again.has(id) && state.queue.has(id)) out.push(`call ${id} is in the queue twice`)
  }
  for (const call of state.calls.values()) {
    if (!state.wheel.places.has(call.id) && Number.isFinite(limitOf(state, call))) out.push(`call ${call.id} has no deadline`)
    const queued = state.queue.has(call.id) || state.again.has(call.id)
    if (queued !== (call.stage._tag === "Queued")) out.push(`call ${call.id} is ${call.stage._tag} and ${queued ? "" : "not "}in the queue`)
    if (call.stage._tag !== "Queued" && state.slots.get(call.stage.slot)?.calls.has(call.id) !== true) {
      out.push(`call ${call.id} is on slot ${call.stage.slot}, which does not know it`)
    }
  }
  for (const slot of state.slots.values()) {
    for (const id of slot.calls) {
      if (onSlot(state, slot.slot, id) === undefined) out.push(`slot ${slot.slot} holds call ${id}, which is not its own`)
    }
    if ((slot.open || slot.calls.size > 0) && slot.tools === undefined) out.push(`slot ${slot.slot} is in use without a worker`)
  }
  const { accepted, cancelled, completed, failed } = state.ledger
  if (accepted !== completed + failed + cancelled + open(state)) {
    out.push(`${accepted} calls accepted, but ${completed} completed, ${failed} failed, ${cancelled} cancelled and ${open(state)} open`)
  }
  return out
}

/**
 * Makes a damaged state sound again: a call that nothing leads to is settled as unknown, and so is the one in whose command, `during`, the
 * Dispatcher crashed. Returns the commands that tell the callers.
 */
export const repair = (state: DispatchState, now: number, during?: Command): ReadonlyArray<Command> => {
  const step: Step = { state, now, out: [] }
  const reason = "the Dispatcher crashed while it handled the call"
  for (const ids of [state.again, state.queue]) {
    for (const id of ids) if (state.calls.get(id)?.stage._tag !== "Queued") ids.delete(id)
  }
  for (const id of state.again) state.queue.delete(id)
  for (const slot of state.slots.values()) {
    if (slot.tools === undefined) slot.open = false
    for (const id of slot.calls) if (slot.tools === undefined || onSlot(state, slot.slot, id) === undefined) slot.calls.delete(id)
  }
  for (const call of [...state.calls.values()]) {
    const { stage } = call
    if (stage._tag === "Queued") {
      if (!state.again.has(call.id)) state.queue.add(call.id)
    } else if (state.slots.get(stage.slot)?.calls.has(call.id) !== true) {
      if (stage._tag !== "Abandoned") fail(step, call, unknown(step, call, stage.slot, reason))
      forget(step, call)
    } else if (stage._tag !== "Abandoned" && during !== undefined && "id" in during && during.id === call.id) {
      fail(step, call, unknown(step, call, stage.slot, reason))
      if (during._tag === "Send") forget(step, call) // the wire did not take it
      else abandon(step, call, stage.slot, now + Duration.toMillis(state.config.cancelGrace))
    }
    if (state.calls.has(call.id) && !state.wheel.places.has(call.id)) DeadlineWheel.set(state.wheel, call.id, now + limitOf(state, call))
  }
  const { accepted, cancelled, completed, failed } = state.ledger
  const missing = accepted - completed - failed - cancelled - open(state)
  if (missing > 0) state.ledger.failed += missing // their callers are told by the Dispatcher, which finds their tickets
  else state.ledger.accepted -= missing
  pump(step)
  return step.out
}

/** How long a call may stay where it is. */
const limitOf = ({ config }: DispatchState, { callTimeoutMillis, hardLimitMillis, replaceAt, stage }: Call): number => {
  switch (stage._tag) {
    case "Queued":
      return Duration.toMillis(config.queue.timeout)
    case "Sent":
    case "Running":
      return Math.min(callTimeoutMillis, hardLimitMillis ?? callTimeoutMillis)
    case "Abandoned":
      return Number.isFinite(replaceAt) ? Duration.toMillis(config.cancelGrace) : replaceAt
  }
}

const open = (state: DispatchState): number => {
  let count = 0
  for (const { stage } of state.calls.values()) if (stage._tag !== "Abandoned") count++
  return count
}
