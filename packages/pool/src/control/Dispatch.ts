/**
 * What the dispatch machine of a pool knows, what can happen to it, and what it can order: the vocabulary of `DispatchMachine.ts`, which draws
 * and explains it.
 */
import * as Data from "effect/Data"
import type * as CallError from "../CallError.ts"
import type { RunningCall } from "../execution/Verdict.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import type { Wire, WireFailure } from "../Wire.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"

/** A call as its caller offers it. */
export interface Offer {
  readonly id: number
  readonly tool: string
  readonly bytes: number
  /** This and the following four: `undefined` where the contract says nothing, so that what the worker announces of the tool holds. */
  readonly idempotent: boolean | undefined
  readonly deterministic: boolean | undefined
  readonly callTimeoutMillis: number | undefined
  /** How long after it was sent its worker is replaced; by default `cancelGrace` after the call timeout. */
  readonly hardLimitMillis: number | undefined
  /** Its tool may hold the interpreter without working. */
  readonly blocking: boolean | undefined
  /** Calls of a session go to one worker, as far as `affinity` says. */
  readonly session: string | undefined
  /** Tenants with waiting calls take turns. */
  readonly tenant: string
  /** When its caller gives up, on the Roster's clock: queue, attempts and Python share what is left. */
  readonly deadline: number | undefined
  /** By default `queue.timeout`. */
  readonly queueTimeoutMillis: number | undefined
  /** W3C trace context in binary, when the call is sampled. */
  readonly trace: Uint8Array | undefined
  /** When it was offered, in milliseconds: its wait counts from then, also when there was no Dispatcher to take it. */
  readonly at: number
}

/** Where a call stands. */
export type Stage =
  | { readonly _tag: "Queued" }
  | { readonly _tag: "Sent"; readonly slot: number }
  | { readonly _tag: "Running"; readonly slot: number }
  /** Settled already, but the worker still has it. */
  | { readonly _tag: "Abandoned"; readonly slot: number }

/** A call that was accepted. Where its contract says nothing, the pool's word holds until it is sent, then the worker's. */
export interface Call extends Offer {
  idempotent: boolean
  deterministic: boolean
  callTimeoutMillis: number
  hardLimitMillis: number | undefined
  blocking: boolean
  /** Its worker has asked for inputs: it is not tried again. */
  asked: boolean
  attempt: number
  /** Elements that the caller has. */
  delivered: number
  /** Elements that the caller has made room for, those it has included. */
  granted: number
  /** When the present attempt was sent. */
  sentAt: number
  /** When its worker is replaced, if it runs still. */
  replaceAt: number
  stage: Stage
}

/** One place for a worker. */
export interface Slot {
  readonly slot: number
  /** `undefined` while no worker is attached. */
  tools: Wire["tools"] | undefined
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
  tools: Wire["tools"] | undefined
  /** Why nothing is accepted any more. */
  closed: string | undefined
}

export type Event = Data.TaggedEnum<{
  Offer: { readonly offer: Offer }
  /** The caller is gone. */
  Cancel: { readonly id: number }
  /** The caller has taken elements of a stream: as many more may come. */
  Credit: { readonly id: number; readonly elements: number }
  /** One element of the caller's stream of inputs. */
  Input: { readonly id: number; readonly payload: Uint8Array }
  InputEnd: { readonly id: number; readonly failure: string | undefined }
  Attached: { readonly slot: number; readonly wire: Wire }
  Broken: { readonly slot: number }
  /** Its stream is whole again: what is in flight goes on. */
  Resumed: { readonly slot: number }
  /** `ended`: its process was seen to end. */
  Detached: { readonly slot: number; readonly reason: string; readonly ended: boolean }
  Started: { readonly slot: number; readonly id: number }
  Item: { readonly slot: number; readonly id: number; readonly payload: Uint8Array }
  /** The worker has room for so many more inputs of the call. */
  Want: { readonly slot: number; readonly id: number; readonly elements: number }
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
  InputOnWire: { readonly slot: number; readonly id: number; readonly attempt: number; readonly payload: Uint8Array }
  InputEndOnWire: { readonly slot: number; readonly id: number; readonly attempt: number; readonly failure: string | undefined }
  /** The caller may give so many more inputs. */
  Want: { readonly id: number; readonly elements: number }
  Deliver: { readonly id: number; readonly payload: Uint8Array }
  Complete: { readonly id: number; readonly payload: Uint8Array }
  Fail: { readonly id: number; readonly error: CallError.CallError }
  /** End the worker: it runs a call beyond its limit. */
  FailWorker: { readonly slot: number; readonly call: RunningCall }
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

/** A call as a watchdog sees it. */
export const asRunning = ({ blocking, replaceAt, sentAt, stage, tool }: Call): RunningCall => ({
  tool,
  since: sentAt,
  blocking,
  hardLimitMillis: replaceAt - sentAt,
  cancelled: stage._tag === "Abandoned"
})

/**
 * What the worker in a slot runs: of its calls the one that may run longest. Those it has begun; when it has said of none that it began,
 * those it was sent, because a tool that holds the interpreter keeps that word back.
 */
export const runningOn = ({ calls, slots }: DispatchState, slot: number): RunningCall | undefined => {
  const sent = [...slots.get(slot)?.calls ?? []].flatMap((id) => calls.get(id) ?? [])
  const begun = sent.filter(({ stage }) => stage._tag !== "Sent")
  const may = begun.length > 0 ? begun : sent
  const longest = may.reduce<Call | undefined>((a, b) => a === undefined || b.replaceAt > a.replaceAt ? b : a, undefined)
  return longest === undefined ? undefined : { ...asRunning(longest), blocking: may.some(({ blocking }) => blocking) }
}
