/**
 * From the queues to the workers: how a call waits, when it is taken, and what is noted of it when it is sent.
 */
import type { WireTool } from "../Wire.ts"
import * as Affinity from "./Affinity.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import type { Call, DispatchState, Slot, Step } from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as Line from "./Line.ts"
import * as Pace from "./Pace.ts"
import * as Room from "./Room.ts"
import * as Sessions from "./Sessions.ts"
import * as Settlement from "./Settlement.ts"
import * as TenantQueue from "./TenantQueue.ts"

/** Counts a call that was put into a queue, and bounds its wait. */
export const wait = ({ state }: Step, call: Call, from: number): void => {
  const { deadline = Number.POSITIVE_INFINITY, queueTimeoutMillis = state.limits.queueTimeout } = call.offer
  state.waiting++
  DeadlineWheel.set(state.wheel, call.timer, Math.min(from + queueTimeoutMillis, deadline))
}

/** A call that comes back from a worker goes before the others of its tenant. */
export const waitAgain = (step: Step, call: Call): void => {
  const { state } = step
  const binding = Affinity.bindingOf(state, call.offer)
  call.stage = "Queued"
  call.slot = -1
  TenantQueue.unshift(binding === undefined ? state.queue : state.slots[binding.slot]!.bound, call)
  wait(step, call, step.now)
}

/** Sends what waits, as far as there is room: `slot` is the one that may have got some. */
export const pump = (step: Step, slot?: Slot): void => {
  const { state } = step
  if (state.waiting === 0) return
  if (slot !== undefined) { while (slot.bound.length > 0 && Room.hasRoom(step, slot)) serve(step, slot) }
  while (state.queue.length > 0) {
    const free = Room.freest(step)
    if (free === undefined) return
    serve(step, free)
  }
}

/** Takes one call for a slot with room: from its own queue and from the common one by turns. */
const serve = (step: Step, slot: Slot): void => {
  const { state } = step
  const { bound, boundIsNext } = slot
  const isBound = bound.length > 0 && (boundIsNext || slot.cordoned || state.queue.length === 0)
  slot.boundIsNext = !isBound
  const call = TenantQueue.take(isBound ? bound : state.queue)!
  state.waiting--
  const binding = isBound ? undefined : Affinity.bindingOf(state, call.offer)
  if (binding === undefined || (binding.slot === slot.slot && binding.lost === undefined)) return send(step, call, slot)
  // another call of its session was sent while it waited
  const home = state.slots[binding.slot]!
  const error = Affinity.refusal(state, call.offer, binding)
  if (error !== undefined) {
    Settlement.fail(step, call, DispatchError.notRetried(state, call) ?? error)
    return Settlement.forget(step, call)
  }
  if (home.bound.length === 0 && Room.hasRoom(step, home)) return send(step, call, home)
  TenantQueue.push(home.bound, call)
  state.waiting++
}

export const send = (step: Step, call: Call, slot: Slot): void => {
  const { now, out, state } = step
  const { offer } = call
  const { deadline = Number.POSITIVE_INFINITY, session, tool, trace } = offer
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
  call.attempt++
  call.stage = "Sent"
  call.slot = slot.slot
  call.sentAt = now
  call.limitAt = Math.min(now + attemptMillis, deadline)
  call.replaceAt = now + (call.hardLimitMillis ?? call.callTimeoutMillis + state.limits.cancelGrace)
  call.cost = Pace.costOf(state.pace, tool) / slot.concurrency
  call.alone = slot.calls.length === 0
  if (call.alone) slot.movedAt = now
  slot.work += call.cost
  Line.push(slot.calls, call)
  Room.refresh(step, slot)
  if (session !== undefined && !slot.draining) Sessions.bind(state.sessions, session, slot.slot)
  DeadlineWheel.set(state.wheel, call.timer, call.limitAt)
  const { attempt, delivered, granted, id } = call
  out.push({
    _tag: "Send",
    slot: slot.slot,
    id,
    attempt,
    tool,
    session,
    trace,
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
