/**
 * The dispatch machine of one pool: a total function of (state, event, now) to commands. Which call goes to which worker, what becomes of
 * it, and that every accepted call ends in exactly one outcome.
 *
 * ```text
 *             accepted                 sent                 began
 *  ─ offer ──▶ Queued ──a slot is free──▶ Sent ──Started──▶ Running ──Done · Failed──▶ settled
 *                ▲                          └─────┬────────────┘
 *                └── worker lost, idempotent ─────┤
 *                                                 ├─ worker lost, not idempotent ──▶ settled: OutcomeUnknown · WorkerCrashed
 *                                                 ├─ deadline · caller gone ──▶ Abandoned ──worker says it is over──▶ forgotten
 *                                                 │      (settled already)         └─ hard limit · cancelGrace over ──▶ the worker is failed
 *                                                 └─ hard limit ──▶ settled: CallTimeout · the worker is failed
 * ```
 *
 * **Details**
 *
 * A slot has room while it has fewer calls than its worker runs at once, and for as many more as are sent ahead (`Pace.ts`, or a number by
 * `prefetch`). Of the slots with room the one with the fewest calls gets the next call, or the one that serves the call's session, as `affinity`
 * says. What finds no room waits: tenants take turns, each first in, first out, and a call that is tried again goes before its tenant's others.
 * Calls whose session is bound to a worker wait in that worker's own queue, which takes turns with the common one. While calls wait in the common
 * queue no slot has room. An abandoned call keeps its place on the worker until the worker says that it is over, because the worker is not
 * free before.
 *
 * **Gotchas**
 *
 * The machine owns its state and updates it in place. `DispatchRepair.violations` says what is wrong with a state; a new Dispatcher has it mended first.
 */
import * as CallError from "../CallError.ts"
import type { ExitClass } from "../ExitClass.ts"
import type { Wire, WireFailure, WireTool } from "../Wire.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import { asRunning, type Because, type Call, type Command, type DispatchState, type Event, type Offer, type Slot } from "./Dispatch.ts"
import * as LeastBusy from "./LeastBusy.ts"
import * as Line from "./Line.ts"
import * as Pace from "./Pace.ts"
import * as Sessions from "./Sessions.ts"
import * as TenantQueue from "./TenantQueue.ts"

/** Takes commands in. */
export interface Out {
  readonly push: (command: Command) => unknown
}

/** Applies one event at `now` (milliseconds) and returns what to do, in order. Total. */
export const transition = (state: DispatchState, event: Event, now: number): ReadonlyArray<Command> => {
  const out: Array<Command> = []
  apply(state, event, now, out)
  return out
}

/** The same, with the commands put into `out`. */
export const apply = (state: DispatchState, event: Event, now: number, out: Out): void => {
  const step: Step = { state, now, out }
  switch (event._tag) {
    case "Offer":
      return offer(step, event.offer)
    case "Started":
      return started(step, event.slot, event.id)
    case "Done":
      return done(step, event.slot, event.id, event.payload, event.micros)
    case "Item": {
      const call = onSlot(state, event.slot, event.id)
      if (call === undefined || call.stage === "Abandoned") return
      call.delivered++
      return void out.push({ _tag: "Deliver", id: event.id, payload: event.payload })
    }
    case "Credit":
      return credit(step, event.id, event.elements)
    case "Failed":
      return failed(step, event.slot, event.id, event.failure)
    case "Cancel":
      return cancel(step, event.id)
    case "Want": {
      const call = onSlot(state, event.slot, event.id)
      if (call === undefined || call.stage === "Abandoned") return
      call.asked = true
      return void out.push({ _tag: "Want", id: event.id, elements: event.elements })
    }
    case "Input":
    case "InputEnd":
      return input(step, event)
    case "Attached":
      return attached(step, event.slot, event.wire)
    case "Broken": {
      const slot = state.slots[event.slot]
      if (slot === undefined) return
      slot.open = false
      return refresh(step, slot)
    }
    case "Resumed": {
      const slot = state.slots[event.slot]
      if (slot?.tools === undefined) return
      slot.open = true
      refresh(step, slot)
      return pump(step, slot)
    }
    case "Detached":
      detached(step, event.slot, event.reason, event.ended, event.exit)
      return pump(step)
    case "Tick":
      for (const id of DeadlineWheel.expired(state.wheel, now)) expire(step, id)
      return
    case "Close":
      return close(step, event.because)
  }
}

/** One event's work on a state. */
export interface Step {
  readonly state: DispatchState
  readonly now: number
  readonly out: Out
}

const workerName = (state: DispatchState, slot: number): string => `${state.pool}/${slot}`

const about = (state: DispatchState, tool: string) => ({ pool: state.pool, tool })

/** A call that the slot has. */
export const onSlot = (state: DispatchState, slot: number, id: number): Call | undefined => {
  const call = state.calls.get(id)
  return call?.slot === slot ? call : undefined
}

// ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const offer = (step: Step, offer: Offer): void => {
  const { out, state } = step
  let error = refusal(step, offer)
  let { queue } = state
  let slot: Slot | undefined
  const binding = error === undefined ? bindingOf(state, offer) : undefined
  if (binding === undefined) {
    if (queue.length === 0) slot = choose(step, offer.session)
  } else {
    const home = state.slots[binding.slot]!
    queue = home.bound
    error = sessionError(step, offer, binding)
    if (error === undefined && queue.length === 0 && hasRoom(step, home)) slot = home
  }
  if (error === undefined && slot === undefined) error = full(state, queue, offer)
  if (error !== undefined) {
    state.ledger.rejected++
    return void out.push({ _tag: "Fail", id: offer.id, error })
  }
  state.ledger.accepted++
  const call = accept(state, offer)
  if (slot !== undefined) return send(step, call, slot)
  TenantQueue.push(queue, call)
  wait(step, call, offer.at)
}

const refusal = ({ now, state }: Step, offer: Offer): CallError.CallError | undefined => {
  const { bytes, deadline, tool } = offer
  const { closed, config, pool, tools } = state
  if (closed !== undefined) return new CallError.PoolDown({ pool, tool, executed: "no", because: closed })
  if (tools !== undefined && !tools.has(tool) && !isFunction(tool)) return notFound(state, tool, tools)
  const wrong = mismatch(offer, tools?.get(tool))
  if (wrong !== undefined) return wrong
  if (bytes > config.maxPayload) {
    return new CallError.PayloadTooLarge({ pool, tool, executed: "no", bytes, limit: config.maxPayload })
  }
  if (deadline !== undefined && deadline <= now) return late(state, offer, "no")
  return undefined
}

const mismatch = ({ agreement }: Offer, fact: WireTool | undefined): CallError.ContractMismatch | undefined =>
  fact === undefined ? undefined : agreement?.mismatch(fact)

/** `module:function`: in no catalogue, and the worker says whether it may be called. */
const isFunction = (tool: string): boolean => tool.includes(":")

const notFound = (state: DispatchState, tool: string, tools: Wire["tools"] | undefined): CallError.ToolNotFound =>
  new CallError.ToolNotFound({ ...about(state, tool), executed: "no", available: [...(tools?.keys() ?? [])].toSorted() })

const late = (state: DispatchState, { at, deadline, tool }: Offer, executed: "no" | "unknown", worker?: string): CallError.CallError =>
  new CallError.DeadlineExceeded({
    ...about(state, tool),
    executed,
    deadlineMillis: deadline! - at,
    ...worker === undefined ? {} : { worker }
  })

const full = (
  { config, pool, waiting }: DispatchState,
  queue: TenantQueue.TenantQueue<Call>,
  { tenant, tool }: Offer
): CallError.CallError | undefined => {
  const { capacity, perTenant } = config.queue
  if (waiting >= capacity) return new CallError.QueueFull({ pool, tool, executed: "no", capacity })
  if (perTenant === undefined || TenantQueue.lengthOf(queue, tenant) < perTenant) return undefined
  return new CallError.QueueFull({ pool, tool, executed: "no", capacity: perTenant, tenant })
}

const accept = ({ calls, config, limits }: DispatchState, offer: Offer): Call => {
  const call: Call = {
    id: offer.id,
    tenant: offer.tenant,
    offer,
    timer: DeadlineWheel.timer(offer.id),
    stage: "Queued",
    slot: -1,
    idempotent: offer.idempotent ?? false,
    deterministic: offer.deterministic ?? false,
    callTimeoutMillis: offer.callTimeoutMillis ?? limits.callTimeout,
    hardLimitMillis: offer.hardLimitMillis,
    blocking: offer.blocking ?? false,
    attempt: 0,
    sentAt: 0,
    limitAt: 0,
    replaceAt: Number.POSITIVE_INFINITY,
    began: false,
    alone: false,
    cost: 0,
    delivered: 0,
    granted: config.credit,
    asked: false,
    because: undefined,
    abandonedAt: 0,
    line: undefined,
    before: undefined,
    after: undefined
  }
  calls.set(call.id, call)
  return call
}

/** Counts a call that was put into a queue, and bounds its wait. */
const wait = ({ state }: Step, call: Call, from: number): void => {
  const { deadline = Number.POSITIVE_INFINITY, queueTimeoutMillis = state.limits.queueTimeout } = call.offer
  state.waiting++
  DeadlineWheel.set(state.wheel, call.timer, Math.min(from + queueTimeoutMillis, deadline))
}

/** A call that comes back from a worker goes before the others of its tenant. */
const waitAgain = (step: Step, call: Call): void => {
  const { state } = step
  const binding = bindingOf(state, call.offer)
  call.stage = "Queued"
  call.slot = -1
  TenantQueue.unshift(binding === undefined ? state.queue : state.slots[binding.slot]!.bound, call)
  wait(step, call, step.now)
}

// ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Where the session of a call is bound to, when the call may not go elsewhere. */
export const bindingOf = ({ config, sessions }: DispatchState, { session }: Offer): Sessions.Binding | undefined =>
  session === undefined || config.affinity === "hint" ? undefined : Sessions.get(sessions, session)

/** Why a call of a bound session can neither be sent nor wait. A loss is told once: the session's next call begins it anew. */
const sessionError = ({ state }: Step, { session, tool }: Offer, binding: Sessions.Binding): CallError.CallError | undefined => {
  const { lost, slot } = binding
  const here = { ...about(state, tool), executed: "no" as const, session: session!, worker: workerName(state, slot) }
  if (lost !== undefined) {
    Sessions.forget(state.sessions, session!)
    return new CallError.SessionLost({ ...here, reason: lost })
  }
  const { calls, concurrency, open } = state.slots[slot]!
  if (state.config.affinity === "strict_queue" || (open && calls.length < concurrency)) return undefined
  return new CallError.SessionBusy(here)
}

// ── to the workers ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const hasRoom = ({ now, state }: Step, slot: Slot): boolean => {
  const { calls, concurrency, movedAt, open, work } = slot
  if (!open) return false
  const ahead = calls.length - concurrency
  if (ahead < 0) return true
  const { prefetch } = state.config
  if (prefetch !== "auto") return ahead < prefetch
  return ahead < Pace.mostAhead && now - movedAt <= Pace.longestMillis && work <= Pace.budget(state.pace)
}

/** Notes whether the slot has room, after it was changed. */
export const refresh = (step: Step, slot: Slot): void =>
  LeastBusy.set(step.state.busy, slot.slot, hasRoom(step, slot) ? slot.calls.length : -1)

const freest = (step: Step): Slot | undefined => {
  const { busy, slots } = step.state
  for (let index = LeastBusy.first(busy); index >= 0; index = LeastBusy.first(busy)) {
    const slot = slots[index]!
    if (hasRoom(step, slot)) return slot
    LeastBusy.set(busy, index, -1) // its worker has not moved for too long; when it does, it is looked at again
  }
  return undefined
}

/** The slot for a call that may go anywhere: its session's, if that has no more than one call more than the freest. */
const choose = (step: Step, session: string | undefined): Slot | undefined => {
  const { sessions, slots } = step.state
  const free = freest(step)
  if (session === undefined || free === undefined) return free
  const binding = Sessions.get(sessions, session)
  if (binding === undefined) return free
  const last = slots[binding.slot]!
  return last.calls.length <= free.calls.length + 1 && hasRoom(step, last) ? last : free
}

/** Sends what waits, as far as there is room: `slot` is the one that may have got some. */
export const pump = (step: Step, slot?: Slot): void => {
  const { state } = step
  if (state.waiting === 0) return
  if (slot !== undefined) { while (slot.bound.length > 0 && hasRoom(step, slot)) serve(step, slot) }
  while (state.queue.length > 0) {
    const free = freest(step)
    if (free === undefined) return
    serve(step, free)
  }
}

/** Takes one call for a slot with room: from its own queue and from the common one by turns. */
const serve = (step: Step, slot: Slot): void => {
  const { state } = step
  const { bound, boundIsNext } = slot
  const isBound = bound.length > 0 && (boundIsNext || state.queue.length === 0)
  slot.boundIsNext = !isBound
  const call = TenantQueue.take(isBound ? bound : state.queue)!
  state.waiting--
  const binding = isBound ? undefined : bindingOf(state, call.offer)
  if (binding === undefined || (binding.slot === slot.slot && binding.lost === undefined)) return send(step, call, slot)
  // another call of its session was sent while it waited
  const home = state.slots[binding.slot]!
  const error = sessionError(step, call.offer, binding)
  if (error !== undefined) {
    fail(step, call, unsent(step, call) ?? error)
    return forget(step, call)
  }
  if (home.bound.length === 0 && hasRoom(step, home)) return send(step, call, home)
  TenantQueue.push(home.bound, call)
  state.waiting++
}

const send = (step: Step, call: Call, slot: Slot): void => {
  const { now, out, state } = step
  const { offer } = call
  const { deadline = Number.POSITIVE_INFINITY, session, tool, trace } = offer
  const fact = slot.tools?.get(tool)
  // it was accepted before any worker had announced its tools, or by what workers announced before their adapter was changed
  const wrong = fact === undefined && !isFunction(tool) ? notFound(state, tool, slot.tools) : mismatch(offer, fact)
  if (wrong !== undefined) {
    fail(step, call, unsent(step, call) ?? wrong)
    return forget(step, call)
  }
  if (deadline <= now) {
    fail(step, call, late(state, offer, call.attempt === 0 ? "no" : "unknown"))
    return forget(step, call)
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
  refresh(step, slot)
  if (session !== undefined) Sessions.bind(state.sessions, session, slot.slot)
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

const credit = ({ out, state }: Step, id: number, elements: number): void => {
  const call = state.calls.get(id)
  if (call === undefined) return
  call.granted += elements
  const { attempt, slot, stage } = call
  if (stage === "Sent" || stage === "Running") out.push({ _tag: "CreditOnWire", slot, id, attempt, elements })
}

const input = ({ out, state }: Step, event: Extract<Event, { readonly _tag: "Input" | "InputEnd" }>): void => {
  const call = state.calls.get(event.id)
  if (call === undefined || call.stage === "Queued" || call.stage === "Abandoned") return
  const { attempt, id, slot } = call
  out.push(
    event._tag === "Input"
      ? { _tag: "InputOnWire", slot, id, attempt, payload: event.payload }
      : { _tag: "InputEndOnWire", slot, id, attempt, failure: event.failure }
  )
}

// ── from the workers ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const attached = (step: Step, index: number, { concurrency, tools }: Wire): void => {
  const slot = step.state.slots[index]
  if (slot === undefined || step.state.closed !== undefined) return
  detached(step, index, "another connection took its place", false)
  slot.tools = tools
  slot.open = true
  slot.concurrency = Math.max(1, concurrency)
  slot.condemned = false
  step.state.tools = tools
  refresh(step, slot)
  step.out.push({ _tag: "WorkerUp", slot: index, tools: tools.size })
  pump(step, slot)
}

const started = ({ state }: Step, slot: number, id: number): void => {
  const call = onSlot(state, slot, id)
  if (call === undefined) return
  if (call.began && !call.idempotent) state.ledger.twice++
  call.began = true
  if (call.stage === "Sent") call.stage = "Running"
}

const done = (step: Step, index: number, id: number, payload: Uint8Array, micros: number): void => {
  const { out, state } = step
  const call = onSlot(state, index, id)
  if (call === undefined) return
  if (call.stage === "Abandoned") cancelled(step, call, "finished")
  else {
    state.ledger.completed++
    out.push({ _tag: "Complete", id, payload })
  }
  if (micros > 0) learn(step, call, micros / 1000)
  forget(step, call)
  pump(step, state.slots[index])
}

/** How long the call ran, and what is left of its time for the way when its worker had no other. */
const learn = ({ now, state }: Step, { alone, offer, sentAt, slot }: Call, millis: number): void => {
  Pace.ran(state.pace, offer.tool, millis)
  if (alone && state.slots[slot]!.calls.length === 1) Pace.travelled(state.pace, now - sentAt - millis)
}

const failed = (step: Step, index: number, id: number, failure: WireFailure): void => {
  const { state } = step
  const call = onSlot(state, index, id)
  if (call === undefined) return
  const slot = state.slots[index]!
  if (call.stage === "Abandoned") cancelled(step, call, howOf(failure))
  else if (failure._tag === "Declined") {
    // its worker is draining and gave it back unbegun: it goes to another one, whatever it is, and this one gets no more
    slot.open = false
    leaveSlot(step, call)
    call.attempt--
    waitAgain(step, call)
    return pump(step)
  } else fail(step, call, errorOf(step, call, failure))
  forget(step, call)
  pump(step, slot)
}

const howOf = (failure: WireFailure): string => {
  switch (failure._tag) {
    case "Cancelled":
      return failure.how
    case "Declined":
    case "Invalid":
    case "Unknown":
      return "queued"
    case "Exception":
    case "TooLarge":
      return "finished"
  }
}

const errorOf = (step: Step, call: Call, failure: Exclude<WireFailure, { readonly _tag: "Declined" }>): CallError.CallError => {
  const { now, state } = step
  const here = about(state, call.offer.tool)
  const worker = workerName(state, call.slot)
  switch (failure._tag) {
    case "Exception":
      return new CallError.PythonError({ ...here, executed: "failed", worker, exception: failure.exception })
    case "TooLarge":
      return new CallError.ResultTooLarge({ ...here, executed: "failed", bytes: failure.bytes, limit: state.config.maxPayload })
    case "Invalid":
      return new CallError.InvalidPayload({ ...here, executed: "no", issue: failure.issue })
    case "Unknown":
      return notFound(state, call.offer.tool, state.tools)
    case "Cancelled": {
      const executed = failure.how === "queued" && call.attempt === 1 ? "no" : "unknown"
      if (now < call.limitAt - DeadlineWheel.tickMillis) return new CallError.Cancelled({ ...here, executed, worker, how: failure.how })
      return overLimit(step, call, false, executed) // the worker's clock was first
    }
  }
}

const detached = (step: Step, index: number, reason: string, ended: boolean, exit?: ExitClass): void => {
  const { out, state } = step
  const slot = state.slots[index]
  if (slot?.tools === undefined) return
  slot.tools = undefined
  slot.open = false
  out.push({ _tag: "WorkerDown", slot: index, calls: slot.calls.length, reason })
  const sessions = Sessions.lose(state.sessions, index, reason, state.config.affinity !== "hint")
  if (sessions > 0) out.push({ _tag: "SessionsLost", slot: index, sessions, reason })
  const lost = [...Line.members(slot.calls)].toReversed() // each goes before the others: the one that was sent first ends up first
  for (const call of lost) {
    if (call.stage === "Abandoned") {
      cancelled(step, call, slot.condemned ? "recycled" : "lost")
      forget(step, call)
    } else if (mayRunAgain(state, call)) {
      leaveSlot(step, call)
      waitAgain(step, call)
      state.ledger.retried++
      out.push({ _tag: "Retried", id: call.id, tool: call.offer.tool, attempt: call.attempt + 1, slot: index, reason })
    } else {
      const isCrash = ended && call.stage === "Running"
      fail(step, call, isCrash ? crashed(state, call, reason, exit) : unknown(step, call, reason, ended))
      forget(step, call)
    }
  }
  for (const call of [...TenantQueue.members(slot.bound)]) {
    const { session, tool } = call.offer
    const here = { ...about(state, tool), executed: "no" as const, session: session!, worker: workerName(state, index) }
    fail(step, call, unsent(step, call) ?? new CallError.SessionLost({ ...here, reason }))
    forget(step, call)
    Sessions.forget(state.sessions, session!)
  }
  refresh(step, slot)
}

const mayRunAgain = (state: DispatchState, call: Call): boolean =>
  call.idempotent && !call.asked && call.attempt < state.config.attempts && (call.delivered === 0 || call.deterministic) &&
  bindingOf(state, call.offer) === undefined // what its worker knew of the session is gone

const crashed = (state: DispatchState, call: Call, reason: string, exit: ExitClass | undefined): CallError.CallError =>
  new CallError.WorkerCrashed({
    ...about(state, call.offer.tool),
    executed: "unknown",
    worker: workerName(state, call.slot),
    reason,
    ...(exit !== undefined && { exit }),
    delivered: call.delivered,
    attempts: call.attempt
  })

export const unknown = ({ state }: Step, call: Call, reason: string, ended = false): CallError.CallError =>
  new CallError.OutcomeUnknown({
    ...about(state, call.offer.tool),
    executed: "unknown",
    worker: workerName(state, call.slot),
    began: call.stage === "Running",
    ended,
    reason
  })

/** The error of a call that waits to be tried again and will not be: an earlier attempt may have run. */
const notRetried = (state: DispatchState, { tool }: Offer, attempts: number): CallError.CallError =>
  new CallError.OutcomeUnknown({
    ...about(state, tool),
    executed: "unknown",
    worker: state.pool,
    began: false,
    ended: false,
    reason: `attempt ${attempts} was lost with its worker, and no worker was free for another`
  })

const unsent = ({ state }: Step, { attempt, offer }: Call): CallError.CallError | undefined =>
  attempt === 0 ? undefined : notRetried(state, offer, attempt)

// ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const expire = (step: Step, id: number): void => {
  const { now, out, state } = step
  const call = state.calls.get(id)
  if (call === undefined) return
  const { offer, slot, stage } = call
  switch (stage) {
    case "Queued":
      fail(step, call, waitedTooLong(state, offer, now, call.attempt))
      return forget(step, call)
    case "Sent":
    case "Running":
      return overdue(step, call)
    case "Abandoned": // said again until the worker is gone: its watchdog may be between two generations
      DeadlineWheel.set(state.wheel, call.timer, now + state.limits.cancelGrace)
      state.slots[slot]!.condemned = true
      return void out.push({ _tag: "FailWorker", slot, call: asRunning(call) })
  }
}

/** The error of a call that waits, when its deadline or its patience is over. */
export const waitedTooLong = (state: DispatchState, offer: Offer, now: number, attempts = 0): CallError.CallError => {
  const { at, deadline, tool } = offer
  if (deadline !== undefined && deadline <= now) return late(state, offer, attempts === 0 ? "no" : "unknown")
  if (attempts > 0) return notRetried(state, offer, attempts)
  return new CallError.QueueTimeout({ ...about(state, tool), executed: "no", waitedMillis: now - at })
}

const overdue = (step: Step, call: Call): void => {
  const { now, out, state } = step
  const afterGrace = now + state.limits.cancelGrace
  const isHard = call.hardLimitMillis !== undefined && now >= call.replaceAt
  const replaces = isHard && !isBehindAnother(state, call)
  fail(step, call, overLimit(step, call, replaces, "unknown"))
  if (replaces) {
    state.slots[call.slot]!.condemned = true
    out.push({ _tag: "FailWorker", slot: call.slot, call: asRunning(call) })
  } else if (isHard || call.hardLimitMillis === undefined) call.replaceAt = afterGrace
  else if (isLate(call, now)) call.replaceAt = Math.min(call.replaceAt, afterGrace)
  abandon(step, call, replaces ? afterGrace : call.replaceAt, isLate(call, now) ? "deadline" : "timeout")
}

/** Its caller's deadline has passed, which comes to the same as a caller that went away. */
const isLate = ({ limitAt, offer }: Call, now: number): boolean => offer.deadline === limitAt && limitAt <= now

/** It was sent and has not begun, while another call of its worker has. */
const isBehindAnother = (state: DispatchState, call: Call): boolean => {
  if (call.stage !== "Sent") return false
  for (const other of Line.members(state.slots[call.slot]!.calls)) if (other.stage !== "Sent") return true
  return false
}

const overLimit = ({ state }: Step, call: Call, replaced: boolean, executed: "no" | "unknown"): CallError.CallError => {
  const { limitAt, offer, sentAt, slot, stage } = call
  const worker = workerName(state, slot)
  if (offer.deadline === limitAt) return late(state, offer, executed, worker)
  return new CallError.CallTimeout({
    ...about(state, offer.tool),
    executed: "unknown",
    worker,
    timeoutMillis: limitAt - sentAt,
    began: stage === "Running",
    replaced
  })
}

const cancel = (step: Step, id: number): void => {
  const { now, state } = step
  const call = state.calls.get(id)
  if (call === undefined || call.stage === "Abandoned") return
  state.ledger.cancelled++
  if (call.stage === "Queued") {
    call.because = "caller"
    call.abandonedAt = now
    cancelled(step, call, "queued")
    return forget(step, call)
  }
  call.replaceAt = Math.min(call.replaceAt, now + state.limits.cancelGrace)
  abandon(step, call, call.replaceAt, "caller")
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
const cancelled = ({ now, out }: Step, { abandonedAt, because, id, offer, slot }: Call, how: string): void =>
  void out.push({
    _tag: "Cancelled",
    id,
    tool: offer.tool,
    slot: slot < 0 ? undefined : slot,
    how,
    because: because!,
    afterMillis: now - abandonedAt
  })

export const fail = ({ out, state }: Step, call: Call, error: CallError.CallError): void => {
  state.ledger.failed++
  out.push({ _tag: "Fail", id: call.id, error })
}

export const forget = (step: Step, call: Call): void => {
  const { state } = step
  state.calls.delete(call.id)
  DeadlineWheel.clear(state.wheel, call.timer)
  if (call.slot >= 0) leaveSlot(step, call)
  else if (call.line !== undefined) {
    TenantQueue.leave(call)
    state.waiting--
  }
}

const leaveSlot = (step: Step, call: Call): void => {
  const slot = step.state.slots[call.slot]!
  Line.leave(call)
  slot.work = slot.calls.length === 0 ? 0 : slot.work - call.cost
  slot.movedAt = step.now
  refresh(step, slot)
}

const close = (step: Step, because: string): void => {
  const { state } = step
  state.closed = because
  for (const slot of state.slots) {
    slot.tools = undefined
    slot.open = false
  }
  for (const call of [...state.calls.values()]) {
    if (call.stage === "Queued") {
      fail(step, call, unsent(step, call) ?? new CallError.PoolDown({ ...about(state, call.offer.tool), executed: "no", because }))
    } else if (call.stage === "Abandoned") cancelled(step, call, "lost")
    else fail(step, call, unknown(step, call, because))
    forget(step, call)
  }
  for (const slot of state.slots) refresh(step, slot)
}
