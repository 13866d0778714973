/**
 * The typed error that a call ends with, from what the machine knows of it.
 */
import * as CallError from "../CallError.ts"
import type { ExitClass } from "../ExitClass.ts"
import type { Wire, WireFailure } from "../Wire.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import { type Call, type DispatchState, isFunction, type Offer, type Step } from "./Dispatch.ts"
import * as Quarantine from "./Quarantine.ts"

const workerName = (state: DispatchState, slot: number): string => `${state.pool}/${slot}`

const about = (state: DispatchState, { tool }: Offer) => ({ pool: state.pool, tool })

const unrun = (state: DispatchState, offer: Offer) => ({ ...about(state, offer), executed: "no" as const })

export const poolDown = (state: DispatchState, offer: Offer, because: string): CallError.CallError =>
  new CallError.PoolDown({ ...unrun(state, offer), because })

export const poolDraining = (state: DispatchState, offer: Offer): CallError.CallError => new CallError.PoolDraining(unrun(state, offer))

/** `tools`: those there are. */
export const toolNotFound = (state: DispatchState, offer: Offer, tools = state.tools): CallError.CallError =>
  new CallError.ToolNotFound({ ...unrun(state, offer), available: [...(tools?.keys() ?? [])].toSorted() })

/** Why workers that announce these tools are not sent it; `undefined` when nothing speaks against it. */
export const unfit = (state: DispatchState, offer: Offer, tools: Wire["tools"] | undefined): CallError.CallError | undefined => {
  const announced = tools?.get(offer.tool)
  if (announced !== undefined) return offer.agreement?.mismatch(announced)
  return isFunction(offer.tool) ? undefined : toolNotFound(state, offer, tools)
}

export const tooLarge = (state: DispatchState, offer: Offer): CallError.CallError =>
  new CallError.PayloadTooLarge({ ...unrun(state, offer), bytes: offer.bytes, limit: state.config.maxPayload })

/** `tenant`: whose share of the queue is full. */
export const queueFull = (state: DispatchState, offer: Offer, capacity: number, tenant?: string): CallError.CallError =>
  new CallError.QueueFull({ ...unrun(state, offer), capacity, ...tenant !== undefined && { tenant } })

export const cycle = (state: DispatchState, offer: Offer, steps: ReadonlyArray<CallError.CycleStep>): CallError.CallError =>
  new CallError.CallCycle({ ...unrun(state, offer), cycle: steps })

export const sessionBusy = (state: DispatchState, offer: Offer, slot: number): CallError.CallError =>
  new CallError.SessionBusy({ ...unrun(state, offer), session: offer.session!, worker: workerName(state, slot) })

export const sessionLost = (state: DispatchState, offer: Offer, slot: number, reason: string): CallError.CallError =>
  new CallError.SessionLost({ ...unrun(state, offer), session: offer.session!, worker: workerName(state, slot), reason })

export const sessionEnded = (state: DispatchState, call: Call): CallError.CallError =>
  notRetried(state, call) ?? new CallError.SessionEnded({ ...unrun(state, call.offer), session: call.offer.session! })

export const sessionsFull = (state: DispatchState, offer: Offer, limit: number): CallError.CallError =>
  new CallError.SessionsFull({ ...unrun(state, offer), session: offer.session!, limit })

export const invalid = (state: DispatchState, offer: Offer, issue: string): CallError.CallError =>
  new CallError.InvalidPayload({ ...unrun(state, offer), issue })

export const overflowed = (state: DispatchState, { granted, offer }: Call): CallError.CallError =>
  new CallError.InvalidResult({
    ...about(state, offer),
    executed: "failed",
    issue: `its worker sent more elements than the ${granted} that it was asked for, which no tool does by itself`
  })

export const late = (state: DispatchState, offer: Offer, executed: "no" | "unknown", worker?: string): CallError.CallError =>
  new CallError.DeadlineExceeded({
    ...about(state, offer),
    executed,
    deadlineMillis: offer.deadline! - offer.at,
    ...worker === undefined ? {} : { worker }
  })

export const crashed = (state: DispatchState, call: Call, reason: string, exit: ExitClass | undefined): CallError.CallError =>
  new CallError.WorkerCrashed({
    ...about(state, call.offer),
    executed: "unknown",
    worker: workerName(state, call.slot),
    reason,
    ...(exit !== undefined && { exit }),
    delivered: call.delivered,
    attempts: call.attempt
  })

export const poisoned = (
  state: DispatchState,
  offer: Offer,
  suspect: Quarantine.Suspect,
  executed: "no" | "unknown"
): CallError.CallError =>
  new CallError.CallPoisoned({
    ...about(state, offer),
    executed,
    digest: suspect.digest,
    crashes: suspect.crashes.length,
    ...Quarantine.facts(suspect),
    until: suspect.until
  })

/** `ended`: the worker's process was seen to end. */
export const unknown = (state: DispatchState, call: Call, reason: string, ended = false): CallError.CallError =>
  new CallError.OutcomeUnknown({
    ...about(state, call.offer),
    executed: "unknown",
    worker: workerName(state, call.slot),
    began: call.stage === "Running",
    ended,
    reason
  })

/** Of a call that waits to be tried again and will not be: an earlier attempt may have run. `undefined`: there was none. */
export const notRetried = (state: DispatchState, { attempt, offer }: Call): CallError.CallError | undefined =>
  attempt === 0 ? undefined : new CallError.OutcomeUnknown({
    ...about(state, offer),
    executed: "unknown",
    worker: state.pool,
    began: false,
    ended: false,
    reason: `attempt ${attempt} was lost with its worker, and no worker was free for another`
  })

/** Of a call that waits, when its deadline or its patience is over. */
export const waitedTooLong = (state: DispatchState, offer: Offer, now: number, call?: Call): CallError.CallError => {
  const { at, deadline } = offer
  const again = call === undefined ? undefined : notRetried(state, call)
  if (deadline !== undefined && deadline <= now) return late(state, offer, again === undefined ? "no" : "unknown")
  return again ?? new CallError.QueueTimeout({ ...unrun(state, offer), waitedMillis: now - at })
}

/** Of a call that was sent. `replaced`: and its worker is replaced. */
export const overLimit = (state: DispatchState, call: Call, replaced: boolean, executed: "no" | "unknown"): CallError.CallError => {
  const { limitAt, offer, sentAt, slot, stage } = call
  const worker = workerName(state, slot)
  if (offer.deadline === limitAt) return late(state, offer, executed, worker)
  return new CallError.CallTimeout({
    ...about(state, offer),
    executed: "unknown",
    worker,
    timeoutMillis: limitAt - sentAt,
    began: stage === "Running",
    replaced
  })
}

/** As the worker says. */
export const failed = (
  { now, state }: Step,
  call: Call,
  failure: Exclude<WireFailure, { readonly _tag: "Declined" }>
): CallError.CallError => {
  const { attempt, limitAt, offer, slot } = call
  const worker = workerName(state, slot)
  switch (failure._tag) {
    case "Exception":
      return new CallError.PythonError({ ...about(state, offer), executed: "failed", worker, exception: failure.exception })
    case "TooLarge":
      return new CallError.ResultTooLarge({
        ...about(state, offer),
        executed: "failed",
        bytes: failure.bytes,
        limit: state.config.maxPayload
      })
    case "Invalid":
      return invalid(state, offer, failure.issue)
    case "Unknown":
      return toolNotFound(state, offer)
    case "Cancelled": {
      const executed = failure.how === "queued" && attempt === 1 ? "no" : "unknown"
      if (now >= limitAt - DeadlineWheel.tickMillis) return overLimit(state, call, false, executed) // the worker's clock was first
      return new CallError.Cancelled({ ...about(state, offer), executed, worker, how: failure.how })
    }
  }
}
