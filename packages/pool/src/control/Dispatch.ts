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
 *                                                 └─ deadline · caller gone ──▶ Abandoned ──worker says it is over──▶ forgotten
 *                                                        (settled already)         └─ not within cancelGrace ──▶ the worker is failed
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
 * The machine owns its state and updates it in place. {@link violations} says what is wrong with a state; a new Dispatcher asks it first.
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as CallError from "../CallError.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import type { Wire, WireFailure } from "../Wire.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"

/** A call as its caller offers it. */
export interface Offer {
  readonly id: number
  readonly tool: string
  readonly bytes: number
  readonly idempotent: boolean
  readonly deterministic: boolean
  readonly callTimeoutMillis: number
  /** When it was offered, in milliseconds: its wait counts from then, also when there was no Dispatcher to take it. */
  readonly at: number
}

type Stage =
  | { readonly _tag: "Queued" }
  | { readonly _tag: "Sent"; readonly slot: number }
  | { readonly _tag: "Running"; readonly slot: number }
  /** Settled already, but the worker still has it. */
  | { readonly _tag: "Abandoned"; readonly slot: number }

interface Call extends Offer {
  attempt: number
  /** Elements that the caller has. */
  delivered: number
  /** Elements that the caller has made room for, those it has included. */
  granted: number
  stage: Stage
}

interface Slot {
  readonly slot: number
  /** `undefined` while no worker is attached. */
  tools: ReadonlySet<string> | undefined
  /** Attached, and not yet known to be broken. */
  open: boolean
  readonly calls: Set<number>
}

/** What the pool has done since it came up. Every accepted call is in exactly one of completed, failed, cancelled or still open. */
export interface Ledger {
  accepted: number
  completed: number
  /** Ended with a typed error. */
  failed: number
  /** The caller went away first. */
  cancelled: number
  /** Attempts beyond the first. */
  retried: number
  /** Not accepted. */
  rejected: number
  /** Starts beyond the first, while it is open, of a call that is not idempotent: law 3 says never. */
  twice: number
}

export interface DispatchState {
  readonly pool: string
  readonly config: PoolConfig
  readonly calls: Map<number, Call>
  /** Ids in order; `again` goes first. */
  readonly again: Set<number>
  readonly queue: Set<number>
  readonly slots: Map<number, Slot>
  readonly wheel: DeadlineWheel.DeadlineWheel
  readonly ledger: Ledger
  /** Ids of calls that began once and are not idempotent. */
  readonly began: Set<number>
  /** The tools that workers have announced; `undefined` before the first worker. */
  tools: ReadonlySet<string> | undefined
  /** Why nothing is accepted any more. */
  closed: string | undefined
}

export type Event = Data.TaggedEnum<{
  Offer: { readonly offer: Offer }
  /** The caller is gone. */
  Cancel: { readonly id: number }
  /** The caller has taken elements of a stream: as many more may come. */
  Credit: { readonly id: number; readonly elements: number }
  Attached: { readonly slot: number; readonly wire: Wire }
  Broken: { readonly slot: number }
  /** `ended`: its process was seen to end. */
  Detached: { readonly slot: number; readonly reason: string; readonly ended: boolean }
  Started: { readonly slot: number; readonly id: number }
  Item: { readonly slot: number; readonly id: number; readonly payload: Uint8Array }
  Done: { readonly slot: number; readonly id: number; readonly payload: Uint8Array }
  Failed: { readonly slot: number; readonly id: number; readonly failure: WireFailure }
  Tick: {}
  /** The pool goes down: everything ends. */
  Close: { readonly because: string }
}>
export const Event = Data.taggedEnum<Event>()

export type Command = Data.TaggedEnum<{
  Send: {
    readonly slot: number
    readonly id: number
    readonly attempt: number
    readonly deadlineMillis: number
    readonly credit: number
    readonly skip: number
  }
  CancelOnWire: { readonly slot: number; readonly id: number; readonly attempt: number }
  CreditOnWire: { readonly slot: number; readonly id: number; readonly attempt: number; readonly elements: number }
  Deliver: { readonly id: number; readonly payload: Uint8Array }
  Complete: { readonly id: number; readonly payload: Uint8Array }
  Fail: { readonly id: number; readonly error: CallError.CallError }
  /** End the worker: its tool does not stop. */
  FailWorker: { readonly slot: number; readonly tool: string }
  Retried: { readonly id: number; readonly tool: string; readonly attempt: number; readonly slot: number; readonly reason: string }
  WorkerUp: { readonly slot: number; readonly tools: number }
  WorkerDown: { readonly slot: number; readonly calls: number; readonly reason: string }
}>
export const Command = Data.taggedEnum<Command>()

export const make = (pool: string, config: PoolConfig): DispatchState => ({
  pool,
  config,
  calls: new Map(),
  again: new Set(),
  queue: new Set(),
  slots: new Map(Array.from({ length: config.size }, (_, slot) => [slot, { slot, tools: undefined, open: false, calls: new Set() }])),
  wheel: DeadlineWheel.make(),
  ledger: { accepted: 0, completed: 0, failed: 0, cancelled: 0, retried: 0, rejected: 0, twice: 0 },
  began: new Set(),
  tools: undefined,
  closed: undefined
})

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
      else abandon(step, call, stage.slot)
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
const limitOf = ({ config }: DispatchState, { callTimeoutMillis, stage }: Call): number => {
  switch (stage._tag) {
    case "Queued":
      return Duration.toMillis(config.queue.timeout)
    case "Sent":
    case "Running":
      return callTimeoutMillis
    case "Abandoned":
      return Duration.toMillis(config.cancelGrace)
  }
}

const open = (state: DispatchState): number => {
  let count = 0
  for (const { stage } of state.calls.values()) if (stage._tag !== "Abandoned") count++
  return count
}

interface Step {
  readonly state: DispatchState
  readonly now: number
  readonly out: Array<Command>
}

const workerName = (state: DispatchState, slot: number): string => `${state.pool}/${slot}`

const about = (state: DispatchState, tool: string) => ({ pool: state.pool, tool })

const onSlot = (state: DispatchState, slot: number, id: number): Call | undefined => {
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
  state.calls.set(offer.id, { ...offer, attempt: 0, delivered: 0, granted: credit, stage: { _tag: "Queued" } })
  state.queue.add(offer.id)
  DeadlineWheel.set(state.wheel, offer.id, offer.at + Duration.toMillis(state.config.queue.timeout))
}

const refusal = (state: DispatchState, { bytes, tool }: Offer): CallError.CallError | undefined => {
  const { closed, config, pool, queue, tools } = state
  if (closed !== undefined) return new CallError.PoolDown({ pool, tool, executed: "no", because: closed })
  if (tools !== undefined && !tools.has(tool)) {
    return new CallError.ToolNotFound({ pool, tool, executed: "no", available: [...tools].toSorted() })
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

const pump = (step: Step): void => {
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
    const available = [...(slot.tools ?? [])].toSorted()
    fail(step, call, unsent(step, call) ?? new CallError.ToolNotFound({ ...about(state, call.tool), executed: "no", available }))
    return forget(step, call)
  }
  call.attempt++
  call.stage = { _tag: "Sent", slot: slot.slot }
  slot.calls.add(call.id)
  DeadlineWheel.set(state.wheel, call.id, now + call.callTimeoutMillis)
  const { attempt, callTimeoutMillis: deadlineMillis, delivered, granted, id } = call
  out.push(Command.Send({ slot: slot.slot, id, attempt, deadlineMillis, credit: granted - delivered, skip: delivered }))
}

const credit = ({ out, state }: Step, id: number, elements: number): void => {
  const call = state.calls.get(id)
  if (call === undefined) return
  call.granted += elements
  const { attempt, stage } = call
  if (stage._tag !== "Sent" && stage._tag !== "Running") return
  out.push(Command.CreditOnWire({ slot: stage.slot, id, attempt, elements }))
}

// ── from the workers ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const attached = (step: Step, index: number, tools: ReadonlySet<string>): void => {
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
  call.idempotent && call.attempt < state.config.attempts && (call.delivered === 0 || call.deterministic)

const crashed = (state: DispatchState, call: Call, slot: number, reason: string): CallError.CallError =>
  new CallError.WorkerCrashed({
    ...about(state, call.tool),
    executed: "unknown",
    worker: workerName(state, slot),
    reason,
    delivered: call.delivered,
    attempts: call.attempt
  })

const unknown = ({ state }: Step, call: Call, slot: number, reason: string, ended = false): CallError.CallError =>
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
      fail(step, call, timeout(state, call, stage.slot))
      return abandon(step, call, stage.slot)
    case "Abandoned": // said again until the worker is gone: its watchdog may be between two generations
      DeadlineWheel.set(state.wheel, id, now + Duration.toMillis(state.config.cancelGrace))
      return void step.out.push(Command.FailWorker({ slot: stage.slot, tool: call.tool }))
  }
}

const timeout = (state: DispatchState, call: Call, slot: number): CallError.CallError =>
  new CallError.CallTimeout({
    ...about(state, call.tool),
    executed: "unknown",
    worker: workerName(state, slot),
    timeoutMillis: call.callTimeoutMillis,
    began: call.stage._tag === "Running"
  })

const cancel = (step: Step, id: number): void => {
  const call = step.state.calls.get(id)
  if (call === undefined || call.stage._tag === "Abandoned") return
  step.state.ledger.cancelled++
  if (call.stage._tag === "Queued") forget(step, call)
  else abandon(step, call, call.stage.slot)
}

const abandon = (step: Step, call: Call, slot: number): void => {
  const { now, out, state } = step
  call.stage = { _tag: "Abandoned", slot }
  DeadlineWheel.set(state.wheel, call.id, now + Duration.toMillis(state.config.cancelGrace))
  out.push(Command.CancelOnWire({ slot, id: call.id, attempt: call.attempt }))
}

const fail = (step: Step, call: Call, error: CallError.CallError): void => {
  step.state.ledger.failed++
  step.out.push(Command.Fail({ id: call.id, error }))
}

const forget = ({ state }: Step, call: Call): void => {
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
