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
 * Calls wait first in, first out; a call that is tried again goes before the others. A free slot is one that is attached and has fewer
 * than `depth` calls; the one with the fewest gets the next call. An abandoned call keeps its place on the worker until the worker says
 * that it is over, because the worker is not free before.
 *
 * **Gotchas**
 *
 * The machine owns its state and updates it in place. `DispatchRepair.violations` says what is wrong with a state; a new Dispatcher has it mended first.
 */
import * as Duration from "effect/Duration"
import * as CallError from "../CallError.ts"
import type { Wire, WireFailure } from "../Wire.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import { asRunning, type Call, Command, type DispatchState, type Event, type Offer, type Slot } from "./Dispatch.ts"

/** Applies one event at `now` (milliseconds) and returns what to do, in order. Total. */
export const transition = (state: DispatchState, event: Event, now: number): ReadonlyArray<Command> => {
  const step: Step = { state, now, out: [] }
  switch (event._tag) {
    case "Offer":
      offer(step, event.offer)
      break
    case "Cancel":
      cancel(step, event.id)
      break
    case "Credit":
      credit(step, event.id, event.elements)
      break
    case "Attached":
      attached(step, event.slot, event.wire.tools)
      break
    case "Broken": {
      const slot = state.slots.get(event.slot)
      if (slot !== undefined) slot.open = false
      break
    }
    case "Resumed": {
      const slot = state.slots.get(event.slot)
      if (slot?.tools !== undefined) slot.open = true
      break
    }
    case "Detached":
      detached(step, event.slot, event.reason, event.ended)
      break
    case "Started":
      started(step, event.slot, event.id)
      break
    case "Item": {
      const call = onSlot(state, event.slot, event.id)
      if (call === undefined || call.stage._tag === "Abandoned") break
      call.delivered++
      step.out.push(Command.Deliver({ id: event.id, payload: event.payload }))
      break
    }
    case "Want": {
      const call = onSlot(state, event.slot, event.id)
      if (call === undefined || call.stage._tag === "Abandoned") break
      call.asked = true
      step.out.push(Command.Want({ id: event.id, elements: event.elements }))
      break
    }
    case "Input":
    case "InputEnd":
      input(step, event)
      break
    case "Done":
      done(step, event.slot, event.id, event.payload)
      break
    case "Failed":
      failed(step, event.slot, event.id, event.failure)
      break
    case "Tick":
      for (const id of DeadlineWheel.expired(state.wheel, now)) expire(step, id)
      break
    case "Close":
      close(step, event.because)
      break
  }
  if (event._tag !== "Item" && event._tag !== "Credit" && event._tag !== "Started") pump(step) // these free no slot and bring no call
  return step.out
}

/** One event's work on a state. */
export interface Step {
  readonly state: DispatchState
  readonly now: number
  readonly out: Array<Command>
}

const workerName = (state: DispatchState, slot: number): string => `${state.pool}/${slot}`

const about = (state: DispatchState, tool: string) => ({ pool: state.pool, tool })

export const onSlot = (state: DispatchState, slot: number, id: number): Call | undefined => {
  const call = state.calls.get(id)
  return call !== undefined && call.stage._tag !== "Queued" && call.stage.slot === slot ? call : undefined
}

// ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const offer = (step: Step, offer: Offer): void => {
  const { out, state } = step
  const refused = refusal(state, offer)
  if (refused !== undefined) {
    state.ledger.rejected++
    return void out.push(Command.Fail({ id: offer.id, error: refused }))
  }
  state.ledger.accepted++
  const { credit } = state.config
  const unsent = { attempt: 0, delivered: 0, granted: credit, sentAt: 0, replaceAt: Number.POSITIVE_INFINITY, asked: false }
  const facts = {
    idempotent: offer.idempotent ?? false,
    deterministic: offer.deterministic ?? false,
    callTimeoutMillis: offer.callTimeoutMillis ?? Duration.toMillis(state.config.callTimeout),
    blocking: offer.blocking ?? false
  }
  state.calls.set(offer.id, { ...offer, ...facts, ...unsent, stage: { _tag: "Queued" } })
  state.queue.add(offer.id)
  DeadlineWheel.set(state.wheel, offer.id, offer.at + Duration.toMillis(state.config.queue.timeout))
}

const refusal = (state: DispatchState, { bytes, tool }: Offer): CallError.CallError | undefined => {
  const { closed, config, pool, queue, tools } = state
  if (closed !== undefined) return new CallError.PoolDown({ pool, tool, executed: "no", because: closed })
  if (tools !== undefined && !tools.has(tool)) {
    return new CallError.ToolNotFound({ pool, tool, executed: "no", available: [...tools.keys()].toSorted() })
  }
  if (bytes > config.maxPayload) {
    return new CallError.PayloadTooLarge({ pool, tool, executed: "no", bytes, limit: config.maxPayload })
  }
  if (queue.size >= config.queue.capacity && freest(state) === undefined) {
    return new CallError.QueueFull({ pool, tool, executed: "no", capacity: config.queue.capacity })
  }
  return undefined
}

// ── to the workers ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const pump = (step: Step): void => {
  const { state } = step
  while (state.again.size + state.queue.size > 0) {
    const slot = freest(state)
    if (slot === undefined) return
    const from = state.again.size > 0 ? state.again : state.queue
    const [id] = from
    from.delete(id!)
    send(step, state.calls.get(id!)!, slot)
  }
}

const freest = (state: DispatchState): Slot | undefined => {
  let best: Slot | undefined
  for (const slot of state.slots.values()) {
    if (slot.open && slot.calls.size < state.config.depth && (best === undefined || slot.calls.size < best.calls.size)) best = slot
  }
  return best
}

const send = (step: Step, call: Call, slot: Slot): void => {
  const { now, out, state } = step
  if (slot.tools?.has(call.tool) !== true) { // it was accepted before any worker had announced its tools
    const available = [...(slot.tools?.keys() ?? [])].toSorted()
    fail(step, call, unsent(step, call) ?? new CallError.ToolNotFound({ ...about(state, call.tool), executed: "no", available }))
    return forget(step, call)
  }
  call.attempt++
  call.stage = { _tag: "Sent", slot: slot.slot }
  call.sentAt = now
  call.replaceAt = now + (call.hardLimitMillis ?? call.callTimeoutMillis + Duration.toMillis(state.config.cancelGrace))
  slot.calls.add(call.id)
  const deadlineMillis = timeoutOf(call)
  DeadlineWheel.set(state.wheel, call.id, now + deadlineMillis)
  const { attempt, delivered, granted, id } = call
  out.push(Command.Send({ slot: slot.slot, id, attempt, deadlineMillis, credit: granted - delivered, skip: delivered }))
}

/** What its caller waits for one attempt. */
const timeoutOf = ({ callTimeoutMillis, hardLimitMillis = Number.POSITIVE_INFINITY }: Call): number =>
  Math.min(callTimeoutMillis, hardLimitMillis)

const credit = ({ out, state }: Step, id: number, elements: number): void => {
  const call = state.calls.get(id)
  if (call === undefined) return
  call.granted += elements
  const { attempt, stage } = call
  if (stage._tag !== "Sent" && stage._tag !== "Running") return
  out.push(Command.CreditOnWire({ slot: stage.slot, id, attempt, elements }))
}

const input = ({ out, state }: Step, event: Extract<Event, { readonly _tag: "Input" | "InputEnd" }>): void => {
  const call = state.calls.get(event.id)
  if (call === undefined || call.stage._tag === "Queued" || call.stage._tag === "Abandoned") return
  const at = { slot: call.stage.slot, id: call.id, attempt: call.attempt }
  out.push(
    event._tag === "Input"
      ? Command.InputOnWire({ ...at, payload: event.payload })
      : Command.InputEndOnWire({ ...at, failure: event.failure })
  )
}

// ── from the workers ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const attached = (step: Step, index: number, tools: Wire["tools"]): void => {
  const slot = step.state.slots.get(index)
  if (slot === undefined || step.state.closed !== undefined) return
  if (slot.calls.size > 0) detached(step, index, "another connection took its place", false)
  slot.tools = tools
  slot.open = true
  step.state.tools = tools
  step.out.push(Command.WorkerUp({ slot: index, tools: tools.size }))
}

const started = (step: Step, slot: number, id: number): void => {
  const { state } = step
  const call = onSlot(state, slot, id)
  if (call === undefined) return
  if (!call.idempotent) {
    if (state.began.has(id)) state.ledger.twice++
    state.began.add(id)
  }
  if (call.stage._tag === "Sent") call.stage = { _tag: "Running", slot }
}

const done = (step: Step, slot: number, id: number, payload: Uint8Array): void => {
  const call = onSlot(step.state, slot, id)
  if (call === undefined) return
  if (call.stage._tag !== "Abandoned") {
    step.state.ledger.completed++
    step.out.push(Command.Complete({ id, payload }))
  }
  forget(step, call)
}

const failed = (step: Step, slot: number, id: number, failure: WireFailure): void => {
  const { state } = step
  const call = onSlot(state, slot, id)
  if (call === undefined) return
  if (failure._tag === "Declined" && call.stage._tag !== "Abandoned") return declined(step, call, slot)
  if (call.stage._tag !== "Abandoned") fail(step, call, errorOf(state, call, slot, failure))
  forget(step, call)
}

/** The worker is draining and gave the call back unbegun: it goes to another one, whatever it is, and this one gets no more. */
const declined = ({ now, state }: Step, call: Call, index: number): void => {
  const slot = state.slots.get(index)!
  slot.open = false
  slot.calls.delete(call.id)
  call.attempt--
  call.stage = { _tag: "Queued" }
  state.again.add(call.id)
  DeadlineWheel.set(state.wheel, call.id, now + Duration.toMillis(state.config.queue.timeout))
}

const errorOf = (state: DispatchState, call: Call, slot: number, failure: WireFailure): CallError.CallError => {
  const worker = workerName(state, slot)
  switch (failure._tag) {
    case "Exception":
      return new CallError.PythonError({ ...about(state, call.tool), executed: "failed", worker, exception: failure.exception })
    case "TooLarge":
      return new CallError.ResultTooLarge({
        ...about(state, call.tool),
        executed: "failed",
        bytes: failure.bytes,
        limit: state.config.maxPayload
      })
    case "Invalid":
      return new CallError.InvalidPayload({ ...about(state, call.tool), executed: "no", issue: failure.issue })
    case "Unknown": {
      const available = [...(state.tools?.keys() ?? [])].toSorted()
      return new CallError.ToolNotFound({ ...about(state, call.tool), executed: "no", available })
    }
    case "Cancelled": // its deadline came first on the worker's clock
    case "Declined":
      return timeout(state, call, slot)
  }
}

const detached = (step: Step, index: number, reason: string, ended: boolean): void => {
  const { out, state } = step
  const slot = state.slots.get(index)
  if (slot?.tools === undefined) return
  slot.tools = undefined
  slot.open = false
  out.push(Command.WorkerDown({ slot: index, calls: slot.calls.size, reason }))
  const lost = [...slot.calls].map((id) => state.calls.get(id)!)
  for (const call of lost) {
    if (call.stage._tag === "Abandoned") {
      forget(step, call)
    } else if (mayRunAgain(state, call)) {
      slot.calls.delete(call.id)
      call.stage = { _tag: "Queued" }
      state.again.add(call.id)
      state.ledger.retried++
      DeadlineWheel.set(state.wheel, call.id, step.now + Duration.toMillis(state.config.queue.timeout))
      out.push(Command.Retried({ id: call.id, tool: call.tool, attempt: call.attempt + 1, slot: index, reason }))
    } else {
      fail(
        step,
        call,
        ended && call.stage._tag === "Running" ? crashed(state, call, index, reason) : unknown(step, call, index, reason, ended)
      )
      forget(step, call)
    }
  }
}

const mayRunAgain = (state: DispatchState, call: Call): boolean =>
  call.idempotent && !call.asked && call.attempt < state.config.attempts && (call.delivered === 0 || call.deterministic)

const crashed = (state: DispatchState, call: Call, slot: number, reason: string): CallError.CallError =>
  new CallError.WorkerCrashed({
    ...about(state, call.tool),
    executed: "unknown",
    worker: workerName(state, slot),
    reason,
    delivered: call.delivered,
    attempts: call.attempt
  })

export const unknown = ({ state }: Step, call: Call, slot: number, reason: string, ended = false): CallError.CallError =>
  new CallError.OutcomeUnknown({
    ...about(state, call.tool),
    executed: "unknown",
    worker: workerName(state, slot),
    began: call.stage._tag === "Running",
    ended,
    reason
  })

/** The error of a call that waits to be tried again and will not be: an earlier attempt may have run. */
const unsent = ({ state }: Step, call: Call): CallError.CallError | undefined =>
  call.attempt === 0 ? undefined : new CallError.OutcomeUnknown({
    ...about(state, call.tool),
    executed: "unknown",
    worker: state.pool,
    began: false,
    ended: false,
    reason: `attempt ${call.attempt} was lost with its worker, and no worker was free for another`
  })

// ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const expire = (step: Step, id: number): void => {
  const { now, state } = step
  const call = state.calls.get(id)
  if (call === undefined) return
  const { stage } = call
  switch (stage._tag) {
    case "Queued":
      fail(
        step,
        call,
        unsent(step, call) ?? new CallError.QueueTimeout({
          ...about(state, call.tool),
          executed: "no",
          waitedMillis: now - call.at
        })
      )
      return forget(step, call)
    case "Sent":
    case "Running":
      return overdue(step, call, stage.slot)
    case "Abandoned": // said again until the worker is gone: its watchdog may be between two generations
      DeadlineWheel.set(state.wheel, id, now + Duration.toMillis(state.config.cancelGrace))
      return void step.out.push(Command.FailWorker({ slot: stage.slot, call: asRunning(call) }))
  }
}

const overdue = (step: Step, call: Call, slot: number): void => {
  const { now, out, state } = step
  const afterGrace = now + Duration.toMillis(state.config.cancelGrace)
  const isHard = call.hardLimitMillis !== undefined && now >= call.replaceAt
  const replaces = isHard && !isBehindAnother(state, call, slot)
  fail(step, call, timeout(state, call, slot, replaces))
  if (replaces) out.push(Command.FailWorker({ slot, call: asRunning(call) }))
  else if (isHard || call.hardLimitMillis === undefined) call.replaceAt = afterGrace
  abandon(step, call, slot, replaces ? afterGrace : call.replaceAt)
}

/** It was sent and has not begun, while another call of its worker has. */
const isBehindAnother = (state: DispatchState, call: Call, slot: number): boolean =>
  call.stage._tag === "Sent" && [...state.slots.get(slot)!.calls].some((id) => state.calls.get(id)!.stage._tag !== "Sent")

const timeout = (state: DispatchState, call: Call, slot: number, replaced = false): CallError.CallError =>
  new CallError.CallTimeout({
    ...about(state, call.tool),
    executed: "unknown",
    worker: workerName(state, slot),
    timeoutMillis: timeoutOf(call),
    began: call.stage._tag === "Running",
    replaced
  })

const cancel = (step: Step, id: number): void => {
  const call = step.state.calls.get(id)
  if (call === undefined || call.stage._tag === "Abandoned") return
  step.state.ledger.cancelled++
  if (call.stage._tag === "Queued") return forget(step, call)
  call.replaceAt = Math.min(call.replaceAt, step.now + Duration.toMillis(step.state.config.cancelGrace))
  abandon(step, call, call.stage.slot, call.replaceAt)
}

/** Its caller has its outcome; the worker has until `limit` to stop. */
export const abandon = (step: Step, call: Call, slot: number, limit: number): void => {
  const { out, state } = step
  call.stage = { _tag: "Abandoned", slot }
  DeadlineWheel.set(state.wheel, call.id, limit)
  out.push(Command.CancelOnWire({ slot, id: call.id, attempt: call.attempt }))
}

export const fail = (step: Step, call: Call, error: CallError.CallError): void => {
  step.state.ledger.failed++
  step.out.push(Command.Fail({ id: call.id, error }))
}

export const forget = ({ state }: Step, call: Call): void => {
  state.calls.delete(call.id)
  state.queue.delete(call.id)
  state.again.delete(call.id)
  state.began.delete(call.id)
  DeadlineWheel.clear(state.wheel, call.id)
  if (call.stage._tag !== "Queued") state.slots.get(call.stage.slot)?.calls.delete(call.id)
}

const close = (step: Step, because: string): void => {
  const { state } = step
  state.closed = because
  for (const call of [...state.calls.values()]) {
    if (call.stage._tag === "Queued") {
      fail(step, call, unsent(step, call) ?? new CallError.PoolDown({ ...about(state, call.tool), executed: "no", because }))
    } else if (call.stage._tag !== "Abandoned") fail(step, call, unknown(step, call, call.stage.slot, because))
    forget(step, call)
  }
  for (const slot of state.slots.values()) {
    slot.tools = undefined
    slot.open = false
  }
}
