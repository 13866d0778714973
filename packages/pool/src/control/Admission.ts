/**
 * Whether a call that is offered is accepted, and where it goes first: to a worker, or into a queue.
 */
import type { CallError } from "../CallError.ts"
import * as Affinity from "./Affinity.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import { type Call, type Offer, queueOf, type Slot, type Step } from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as Pace from "./Pace.ts"
import * as Quarantine from "./Quarantine.ts"
import * as Room from "./Room.ts"
import * as Sending from "./Sending.ts"
import * as SessionLife from "./SessionLife.ts"
import type * as Sessions from "./Sessions.ts"
import * as Settlement from "./Settlement.ts"
import * as TenantQueue from "./TenantQueue.ts"

export const offer = (step: Step, offer: Offer): void => {
  const { now, out, state } = step
  if (offer.slot !== undefined) return probe(step, offer, state.slots[offer.slot])
  Pace.offered(state.pace, offer.tenant, now)
  let error = refusal(step, offer)
  let queue = queueOf(state, offer)
  let slot: Slot | undefined
  const session = offer.session === undefined || error !== undefined ? undefined : SessionLife.find(step, offer.session)
  const binding = Affinity.bindingOf(state, session)
  if (binding === undefined) {
    if (queue.length === 0) slot = Room.choose(step, offer, session)
  } else {
    const home = state.slots[binding.slot]!
    queue = queueOf(state, offer, home)
    error = Affinity.isServedBy(home, binding) && isLeaving(step, home, binding, offer)
      ? DispatchError.sessionLost(state, offer, home.slot, leaving)
      : Affinity.refusal(state, offer, binding)
    if (error === undefined && queue.length === 0 && Affinity.isServedBy(home, binding) && Room.takes(step, home, offer)) slot = home
  }
  if (error === undefined && slot === undefined) error = full(step, queue, offer)
  if (error === undefined && session === undefined && offer.session !== undefined) error = SessionLife.refusal(state, offer)
  if (error !== undefined) {
    Settlement.refuse(state, offer.tool, error)
    return void out.push({ _tag: "Fail", id: offer.id, error })
  }
  state.ledger.accepted++
  const call = accept(step, offer, session)
  if (slot !== undefined) return Sending.send(step, call, slot)
  TenantQueue.push(queue, call)
  Sending.wait(step, call, offer.at)
}

const leaving = "its worker is to go, as planned"

/** Whether the call is told that its session's worker is to go. A host tool's goes on there with the one it is made for. */
const isLeaving = (step: Step, { draining }: Slot, session: Sessions.Session, { nested }: Offer): boolean =>
  draining && (nested === undefined || session.calls === 0) && SessionLife.isTold(step, session, leaving)

/** To that worker alone, which nobody else may use yet. */
const probe = (step: Step, offer: Offer, slot: Slot | undefined): void => {
  const { out, state } = step
  if (slot?.open !== true) {
    const error = DispatchError.poolDown(state, offer, "the worker to probe is gone")
    Settlement.refuse(state, offer.tool, error)
    return void out.push({ _tag: "Fail", id: offer.id, error })
  }
  state.ledger.accepted++
  Sending.send(step, accept(step, offer, undefined), slot)
}

/** Why it cannot be served at all. */
const refusal = (step: Step, offer: Offer): CallError | undefined => {
  const { now, state } = step
  const { bytes, deadline } = offer
  const { closed, config, draining, tools } = state
  if (closed !== undefined) return DispatchError.poolDown(state, offer, closed)
  if (draining && offer.nested === undefined) return DispatchError.poolDraining(state, offer)
  const unfit = tools === undefined ? undefined : DispatchError.unfit(state, offer, tools)
  if (unfit !== undefined) return unfit
  if (bytes > config.maxPayload) return DispatchError.tooLarge(state, offer)
  if (deadline !== undefined && deadline <= now) return DispatchError.late(state, offer, "no")
  const poison = Quarantine.holds(step, offer)
  return poison === undefined ? undefined : DispatchError.poisoned(state, offer, poison, "no")
}

/** Why it cannot wait. */
const full = ({ out, state }: Step, queue: TenantQueue.TenantQueue<Call>, offer: Offer): CallError | undefined => {
  const { capacity, perTenant } = state.config.queue
  if (state.waiting >= capacity) {
    if (!state.saturated) out.push({ _tag: "Saturated", queued: state.waiting, capacity })
    state.saturated = true
    return DispatchError.queueFull(state, offer, capacity)
  }
  if (state.saturated && state.waiting * 2 <= capacity) state.saturated = false // half empty: else it is told at each call around the limit
  if (perTenant === undefined || TenantQueue.lengthOf(queue, offer.tenant) < perTenant) return undefined
  return DispatchError.queueFull(state, offer, perTenant, offer.tenant)
}

const accept = (step: Step, offer: Offer, known: Sessions.Session | undefined): Call => {
  const { calls, config, limits } = step.state
  let session = known
  if (offer.session !== undefined) {
    session ??= SessionLife.begin(step, { id: offer.session, data: undefined, ttlMillis: undefined, opened: false })
    session.calls++
    session.usedAt = step.now
  }
  const call: Call = {
    id: offer.id,
    tenant: offer.tenant,
    offer,
    timer: DeadlineWheel.timer(offer.id),
    session,
    stage: "Queued",
    slot: -1,
    idempotent: offer.idempotent ?? false,
    deterministic: offer.deterministic ?? false,
    callTimeoutMillis: offer.callTimeoutMillis ?? limits.callTimeout,
    hardLimitMillis: offer.hardLimitMillis,
    blocking: offer.blocking ?? false,
    attempt: 0,
    queuedAt: offer.at,
    sentAt: 0,
    limitAt: 0,
    replaceAt: Number.POSITIVE_INFINITY,
    began: false,
    startedAt: Number.POSITIVE_INFINITY,
    alone: false,
    cost: 0,
    delivered: 0,
    granted: config.credit,
    asked: false,
    crashed: undefined,
    unproven: undefined,
    restUntil: Number.POSITIVE_INFINITY,
    digest: undefined,
    because: undefined,
    abandonedAt: 0,
    line: undefined,
    before: undefined,
    after: undefined
  }
  calls.set(call.id, call)
  return call
}
