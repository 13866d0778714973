/**
 * What becomes of a call whose time is over: of its wait, of its attempt, or of its worker's grace.
 */
import * as DeadlineWheel from "./DeadlineWheel.ts"
import { asRunning, type Call, type DispatchState, type Step } from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as Line from "./Line.ts"
import * as Sending from "./Sending.ts"
import * as Settlement from "./Settlement.ts"

/** Its timer went off. */
export const expire = (step: Step, id: number): void => {
  const { now, out, state } = step
  const call = state.calls.get(id)
  if (call === undefined || call.timer.due > now) return // it was sent since, in the same tick
  switch (call.stage) {
    case "Resting":
      return now >= call.restUntil && now < (call.offer.deadline ?? Number.POSITIVE_INFINITY)
        ? Sending.restOver(step, call)
        : giveUp(step, call) // its caller's time is over, or nobody has said when it may be tried again
    case "Queued":
      return giveUp(step, call)
    case "Sent":
    case "Running":
      return overdue(step, call)
    case "Abandoned": // said again until the worker is gone: its watchdog may be between two generations
      DeadlineWheel.set(state.wheel, call.timer, now + state.limits.cancelGrace)
      state.slots[call.slot]!.condemned = true
      return void out.push({ _tag: "FailWorker", slot: call.slot, call: asRunning(call) })
  }
}

const giveUp = (step: Step, call: Call): void => {
  Settlement.fail(step, call, DispatchError.waitedTooLong(step.state, call.offer, step.now, call))
  Settlement.forget(step, call)
}

const overdue = (step: Step, call: Call): void => {
  const { now, out, state } = step
  const afterGrace = now + state.limits.cancelGrace
  const isHard = call.hardLimitMillis !== undefined && now >= call.replaceAt
  const replaces = isHard && !isBehindAnother(state, call)
  Settlement.fail(step, call, DispatchError.overLimit(state, call, replaces, "unknown"))
  if (replaces) {
    state.slots[call.slot]!.condemned = true
    out.push({ _tag: "FailWorker", slot: call.slot, call: asRunning(call) })
  } else if (isHard || call.hardLimitMillis === undefined) call.replaceAt = afterGrace
  else if (isLate(call, now)) call.replaceAt = Math.min(call.replaceAt, afterGrace)
  Settlement.abandon(step, call, replaces ? afterGrace : call.replaceAt, isLate(call, now) ? "deadline" : "timeout")
}

/** Its caller's deadline has passed, which comes to the same as a caller that went away. */
const isLate = ({ limitAt, offer }: Call, now: number): boolean => offer.deadline === limitAt && limitAt <= now

/** It was sent and has not begun, while another call of its worker has. */
const isBehindAnother = (state: DispatchState, call: Call): boolean => {
  if (call.stage !== "Sent") return false
  for (const other of Line.members(state.slots[call.slot]!.calls)) if (other.stage !== "Sent") return true
  return false
}
