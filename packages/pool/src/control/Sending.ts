/**
 * From the queues to the workers: how a call waits, when it is taken, and what is noted of it when it is sent.
 */
import type { CallError } from "../CallError.ts"
import type { WireTool } from "../Wire.ts"
import * as Affinity from "./Affinity.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import { type AskDelay, type Call, type DispatchState, type LostWith, queueOf, type Slot, type Step } from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as Line from "./Line.ts"
import * as Pace from "./Pace.ts"
import * as Quarantine from "./Quarantine.ts"
import * as Room from "./Room.ts"
import * as SessionLife from "./SessionLife.ts"
import * as Settlement from "./Settlement.ts"
import * as TenantQueue from "./TenantQueue.ts"

/** Counts a call that was put into a queue, and bounds its wait. */
export const wait = ({ state }: Step, call: Call, from: number): void => {
  const { deadline = Number.POSITIVE_INFINITY, queueTimeoutMillis = state.limits.queueTimeout } = call.offer
  state.waiting++
  call.queuedAt = from
  DeadlineWheel.set(state.wheel, call.timer, Math.min(from + queueTimeoutMillis, deadline))
}

/** A call that the worker in `slot` had when it crashed is queued again after a while, which somebody else knows. */
export const rest = (step: Step, call: Call, error: CallError, lost: LostWith): void => {
  const { now, out, state } = step
  const { deadline = Number.POSITIVE_INFINITY, queueTimeoutMillis = state.limits.queueTimeout } = call.offer
  call.stage = "Resting"
  call.slot = -1
  call.restUntil = Number.POSITIVE_INFINITY
  call.crashed = [...call.crashed ?? [], lost.slot]
  Line.push(state.resting, call)
  DeadlineWheel.set(state.wheel, call.timer, Math.min(now + queueTimeoutMillis, deadline)) // if nobody answers
  out.push({ _tag: "AskDelay", id: call.id, error, ...lost })
}

/** Now it is known: it may be tried again after `delayMillis`, if its caller waits so long. */
export const restFor = (step: Step, call: Call, asked: AskDelay, delayMillis: number): void => {
  const { deadline = Number.POSITIVE_INFINITY } = call.offer
  call.restUntil = step.now + delayMillis
  retried(step, call, asked, delayMillis)
  if (delayMillis <= 0) return restOver(step, call)
  if (Number.isFinite(delayMillis)) DeadlineWheel.set(step.state.wheel, call.timer, Math.min(call.restUntil, deadline))
}

/** It has waited long enough. */
export const restOver = (step: Step, call: Call): void => {
  const { now, state } = step
  Line.leave(call)
  call.stage = "Queued"
  TenantQueue.unshift(queueOf(state, call.offer), call)
  wait(step, call, now)
  pump(step)
}

/** It is given another attempt. */
export const retried = ({ out, state }: Step, { attempt, id, offer }: Call, lost: LostWith, delayMillis: number): void => {
  const { incident, reason, slot } = lost
  state.ledger.retried++
  out.push({ _tag: "Retried", id, tool: offer.tool, attempt: attempt + 1, delayMillis, slot, reason, incident })
}

/** A call that comes back from a worker goes before the others of its tenant. */
export const waitAgain = (step: Step, call: Call): void => {
  const { state } = step
  const binding = Affinity.bindingOf(state, call.session)
  call.stage = "Queued"
  call.slot = -1
  TenantQueue.unshift(queueOf(state, call.offer, binding && state.slots[binding.slot]), call)
  wait(step, call, step.now)
}

/** Sends what waits, as far as there is room: `slot` is the one that may have got some. */
export const pump = (step: Step, slot?: Slot): void => {
  const { state } = step
  if (state.waiting === 0) return
  if (slot !== undefined) {
    while (nextOf(slot.boundNested) && Room.hasPlace(slot)) take(step, slot.boundNested, slot, true)
  }
  for (let next = TenantQueue.first(state.nested); next !== undefined; next = TenantQueue.first(state.nested)) {
    const free = Room.freestFor(step, next.offer, next.crashed)
    if (free === undefined) break
    take(step, state.nested, free, false)
  }
  if (slot !== undefined) { while (nextOf(slot.bound) && Room.hasRoom(step, slot) && serve(step, slot)); }
  for (let next = TenantQueue.first(state.queue); next !== undefined; next = TenantQueue.first(state.queue)) {
    const free = Room.freestFor(step, next.offer, next.crashed)
    if (free === undefined || !serve(step, free)) return
  }
}

/** The next call that waits for one worker: none while its session moves. */
const nextOf = (bound: Slot["bound"]): Call | undefined => {
  const call = TenantQueue.first(bound)
  return call?.session?.moves === undefined ? call : undefined
}

/** Takes one call for a slot with room, from its own queue and from the common one by turns; `false`: the next is not to be sent ahead. */
const serve = (step: Step, slot: Slot): boolean => {
  const { state } = step
  const { bound, boundIsNext } = slot
  const next = nextOf(bound)
  const isBound = next !== undefined && (boundIsNext || state.queue.length === 0 || !Room.isChosen(step, slot)) &&
    Room.suits(step, slot, next.offer)
  const queue = isBound ? bound : state.queue
  const call = TenantQueue.first(queue)
  if (call === undefined || !Room.takes(step, slot, call.offer, call.crashed)) return false
  slot.boundIsNext = !isBound
  take(step, queue, slot, isBound)
  return true
}

/** Takes the next call out of a queue that has one, for this slot. */
const take = (step: Step, queue: TenantQueue.TenantQueue<Call>, slot: Slot, isBound: boolean): void => {
  const call = TenantQueue.take(queue)!
  step.state.waiting--
  hand(step, call, slot, isBound)
}

/** Sends a call that was taken out of its queue, to this slot or to where it belongs by now; or ends it. */
const hand = (step: Step, call: Call, slot: Slot, isBound: boolean): void => {
  const { state } = step
  const poison = Quarantine.holds(step, call.offer, call)
  if (poison !== undefined) {
    Settlement.fail(step, call, DispatchError.poisoned(state, call.offer, poison, call.attempt === 0 ? "no" : "unknown"))
    return Settlement.forget(step, call)
  }
  if (isBound) return send(step, call, slot)
  const binding = Affinity.bindingOf(state, call.session)
  if (binding === undefined) return send(step, call, call.crashed === undefined ? slot : Room.elsewhere(step, call) ?? slot)
  if (Affinity.isServedBy(slot, binding)) return send(step, call, slot)
  // another call of its session was sent while it waited
  const home = state.slots[binding.slot]!
  const error = Affinity.refusal(state, call.offer, binding)
  if (error !== undefined) {
    Settlement.fail(step, call, DispatchError.notRetried(state, call) ?? error)
    Settlement.forget(step, call)
    return
  }
  const queue = queueOf(state, call.offer, home)
  if (queue.length === 0 && Affinity.isServedBy(home, binding) && Room.takes(step, home, call.offer, call.crashed)) {
    return send(step, call, home)
  }
  TenantQueue.push(queue, call)
  state.waiting++
}

export const send = (step: Step, call: Call, slot: Slot): void => {
  const { now, out, state } = step
  const { offer } = call
  const { session } = call
  const { deadline = Number.POSITIVE_INFINITY, tool } = offer
  const fact = slot.tools?.get(tool)
  // it was accepted before any worker had announced its tools, or by what workers announced before their adapter was changed
  const unfit = DispatchError.unfit(state, offer, slot.tools)
  if (unfit !== undefined) {
    Settlement.fail(step, call, DispatchError.notRetried(state, call) ?? unfit)
    return Settlement.forget(step, call)
  }
  if (deadline <= now) {
    Settlement.fail(step, call, DispatchError.late(state, offer, call.attempt === 0 ? "no" : "unknown"))
    return Settlement.forget(step, call)
  }
  resolve(state, call, fact)
  const attemptMillis = Math.min(call.callTimeoutMillis, call.hardLimitMillis ?? Number.POSITIVE_INFINITY)
  state.counts.sent(now - call.queuedAt)
  call.attempt++
  call.stage = "Sent"
  call.slot = slot.slot
  call.sentAt = now
  call.startedAt = Number.POSITIVE_INFINITY
  call.limitAt = Math.min(now + attemptMillis, deadline)
  call.replaceAt = now + (call.hardLimitMillis ?? call.callTimeoutMillis + state.limits.cancelGrace)
  call.cost = Pace.costOf(state.pace, tool) / slot.concurrency
  call.alone = slot.calls.length === 0
  if (call.alone) slot.movedAt = now
  slot.work += call.cost
  if (call.crashed !== undefined) slot.retries++
  Line.push(slot.calls, call)
  Room.refresh(step, slot)
  if (session !== undefined && (session.slot !== slot.slot || session.lost !== undefined)) SessionLife.bind(step, session, slot)
  DeadlineWheel.set(state.wheel, call.timer, call.limitAt)
  const { attempt, delivered, granted, id } = call
  out.push({
    _tag: "Send",
    slot: slot.slot,
    id,
    attempt,
    tool,
    session: offer.session,
    deadlineMillis: call.limitAt - now,
    credit: granted - delivered,
    skip: delivered
  })
}

/** What the contract leaves open is as the worker says of its tool, and else as the pool says. */
const resolve = ({ limits }: DispatchState, call: Call, fact: WireTool | undefined): void => {
  const { offer } = call
  call.idempotent = offer.idempotent ?? fact?.idempotent ?? false
  call.deterministic = offer.deterministic ?? fact?.deterministic ?? false
  call.callTimeoutMillis = offer.callTimeoutMillis ?? fact?.timeoutMillis ?? limits.callTimeout
  call.hardLimitMillis = offer.hardLimitMillis ?? fact?.hardLimitMillis
  call.blocking = offer.blocking ?? fact?.blocking ?? false
}
