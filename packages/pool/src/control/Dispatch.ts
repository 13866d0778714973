/**
 * What the dispatch machine of a pool knows, what can happen to it, and what it can order: the vocabulary of `DispatchMachine.ts`, which draws
 * and explains it.
 */
import type * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import type { Agreement } from "../Agreement.ts"
import type * as CallError from "../CallError.ts"
import type { RunningCall } from "../execution/Verdict.ts"
import type { ExitClass } from "../ExitClass.ts"
import type { Payload } from "../Payload.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import type { Wire, WireFailure } from "../Wire.ts"
import { ById } from "./ById.ts"
import { CallCounts } from "./CallCounts.ts"
import * as CrashBarrier from "./CrashBarrier.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import * as LeastBusy from "./LeastBusy.ts"
import * as Line from "./Line.ts"
import * as Pace from "./Pace.ts"
import type * as Quarantine from "./Quarantine.ts"
import type * as SessionLife from "./SessionLife.ts"
import * as Sessions from "./Sessions.ts"
import * as TenantQueue from "./TenantQueue.ts"

/** A call as its caller offers it. */
export interface Offer {
  readonly id: number
  readonly tool: string
  /** Whether its contract agrees with what workers announce of the tool. */
  readonly agreement: Agreement | undefined
  readonly payload: Payload
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
  /** Only for the worker in this slot, whatever keeps others from it: a probe. */
  readonly slot?: number | undefined
  /** Of a call that a host tool has made: which of all these it is, in the order in which they were made. It is never sent ahead. */
  readonly nested?: number | undefined
  /** When it was offered, in milliseconds: its wait counts from then, also when there was no Dispatcher to take it. */
  readonly at: number
}

/** `module:function`: in no catalogue, and the worker says whether it may be called. */
export const isFunction = (tool: string): boolean => tool.includes(":")

/**
 * Where a call stands. Resting: its worker crashed, and it waits a while before it is queued again. Abandoned: its caller has its outcome
 * already, but the worker still has it.
 */
export type Stage = "Queued" | "Sent" | "Running" | "Resting" | "Abandoned"

/** Why a call is not waited for any more. */
export type Because = "caller" | "timeout" | "deadline"

/** A call that was accepted. It stands in one line: of a queue, of those that rest, or of the slot that has it. */
export interface Call extends Line.Linked<Call> {
  readonly id: number
  readonly tenant: string
  readonly offer: Offer
  readonly timer: DeadlineWheel.Timer
  /** The session that it is a call of. */
  readonly session: Sessions.Session | undefined
  stage: Stage
  /** -1 while it waits. */
  slot: number
  /** The contract's word; where it has none, the worker's, once it was sent to one. */
  idempotent: boolean
  deterministic: boolean
  callTimeoutMillis: number
  hardLimitMillis: number | undefined
  blocking: boolean
  attempt: number
  /** Since when it waits, or waited last. */
  queuedAt: number
  /** When the present attempt was sent. */
  sentAt: number
  /** When the present attempt is over by its limits. */
  limitAt: number
  /** When its worker is replaced, if it runs still. */
  replaceAt: number
  /** Its tool began in this attempt or in an earlier one. */
  began: boolean
  /** When its worker said so of the present attempt; Infinity: it has not. */
  startedAt: number
  /** Its worker was idle when it was sent. */
  alone: boolean
  /** What it was taken to cost its worker: see `Pace.ts`. */
  cost: number
  /** Elements that the caller has. */
  delivered: number
  /** Elements that the caller has made room for, those it has included. */
  granted: number
  /** Its worker has asked for inputs: it is not tried again. */
  asked: boolean
  /** Slots whose workers crashed while they had it; `undefined`: none. */
  crashed: ReadonlyArray<number> | undefined
  /** Crashes that it may have caused, as others may, and when it had been sent; `undefined`: none. */
  unproven: ReadonlyArray<{ readonly crash: Quarantine.Crash; readonly sentAt: number }> | undefined
  /** When it is queued again; Infinity while that is not known. */
  restUntil: number
  /** Of its arguments, once it was needed. */
  digest: string | undefined
  because: Because | undefined
  abandonedAt: number
}

/** One place for a worker. */
export interface Slot {
  readonly slot: number
  /** `undefined` while no worker is attached. */
  tools: Wire["tools"] | undefined
  /** Attached, and not yet known to be broken. */
  open: boolean
  /** Calls that its worker runs at once. */
  concurrency: number
  /** In the order in which they were sent. */
  readonly calls: Line.Line<Call>
  /** What they cost: see `Pace.ts`. */
  work: number
  /** Those of them whose workers crashed before. */
  retries: number
  /** When the last of its calls was over, or when the first was sent to an idle worker. */
  movedAt: number
  /** Calls of sessions that wait for this worker, and those of them that host tools have made. */
  readonly bound: TenantQueue.TenantQueue<Call>
  readonly boundNested: TenantQueue.TenantQueue<Call>
  /** Whether these, or the common queue, are next. */
  boundIsNext: boolean
  /** Its worker is of a version that has not proved itself. */
  trial: boolean
  /** It was ordered to be replaced. */
  condemned: boolean
  /** It gets no calls but those that belong to its worker. */
  cordoned: boolean
  /** Cordoned, and its worker is to go when its calls are over. */
  draining: boolean
  /** Calls that have left it since the pool came up, whatever became of them. */
  served: number
  /** Until when it gets no calls while others are clean, because its worker crashed; 0: it is not tainted. This and the following: `Avoidance.ts`. */
  taintedUntil: number
  /** The same, because its worker fails where others succeed; 0: it is not ejected. */
  ejectedUntil: number
  /** How often in a row, for how long the last time, and when that was over. */
  ejections: number
  ejectedFor: number
  readmittedAt: number
  /** It is tainted or ejected. */
  avoided: boolean
  /** It is open, and neither avoided nor cordoned. */
  clean: boolean
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

/**
 * `calls`, and of each slot `tools`, `taintedUntil` and `ejectedUntil`, are the truth; queues, lines, `waiting`, `busy`, the wheel and what the barrier
 * counts follow from them.
 */
export interface DispatchState {
  readonly pool: string
  /** This and `limits` change with `Configured`: to be read at each use. */
  config: PoolConfig
  /** Of the config, in milliseconds. */
  limits: {
    readonly queueTimeout: number
    readonly callTimeout: number
    readonly cancelGrace: number
    readonly sessionTtl: number
    readonly sessionEnd: number
  }
  readonly calls: ById<Call>
  /** Calls that any worker may take. */
  readonly queue: TenantQueue.TenantQueue<Call>
  /** The same, made by host tools: they go before the others, because a call that has begun waits for them. */
  readonly nested: TenantQueue.TenantQueue<Call>
  readonly resting: Line.Line<Call>
  /** Calls in all queues. */
  waiting: number
  /** It was told that the queue is full, and it has not been half empty since. */
  saturated: boolean
  /** Grows with the places that the lifecycle fills: see {@link slotAt}. */
  readonly slots: Array<Slot>
  readonly busy: LeastBusy.LeastBusy
  readonly wheel: DeadlineWheel.DeadlineWheel
  readonly ledger: Ledger
  readonly counts: CallCounts
  readonly pace: Pace.Pace
  /** They outlive this state. */
  readonly sessions: Sessions.Sessions
  readonly barrier: CrashBarrier.CrashBarrier
  /** Of arguments: see `WorkerRuntime`. */
  readonly digest: (payload: Payload) => string
  /** The tools that workers have announced; `undefined` before the first worker. */
  tools: Wire["tools"] | undefined
  /** Why nothing is accepted any more. */
  closed: string | undefined
  /** Calls are accepted, and none is sent but those of host tools. */
  paused: boolean
  /** No call is accepted; those that were go on. */
  draining: boolean
}

export type Event = Data.TaggedEnum<{
  Offer: { readonly offer: Offer }
  /** The caller is gone. */
  Cancel: { readonly id: number }
  /** The caller has taken elements of a stream: as many more may come. */
  Credit: { readonly id: number; readonly elements: number }
  /** One element of the caller's stream of inputs. */
  Input: { readonly id: number; readonly payload: Payload }
  InputEnd: { readonly id: number; readonly failure: string | undefined }
  /** `isTrial`: of a version that has not proved itself, so what it announces is not what the pool serves. */
  Attached: { readonly slot: number; readonly wire: Wire; readonly isTrial?: boolean }
  Broken: { readonly slot: number }
  /** Its stream is whole again: what is in flight goes on. */
  Resumed: { readonly slot: number }
  /** `ended`: its process was seen to end. */
  Detached: {
    readonly slot: number
    readonly reason: string
    readonly ended: boolean
    readonly exit?: ExitClass | undefined
    readonly incident?: string | undefined
  }
  Started: { readonly slot: number; readonly id: number }
  Item: { readonly slot: number; readonly id: number; readonly payload: Uint8Array }
  /** The worker has room for so many more inputs of the call. */
  Want: { readonly slot: number; readonly id: number; readonly elements: number }
  /** `micros`: how long the tool's code ran; 0: not told. */
  Done: { readonly slot: number; readonly id: number; readonly payload: Uint8Array; readonly micros: number }
  Failed: { readonly slot: number; readonly id: number; readonly failure: WireFailure }
  /** The slot gets no calls but those that belong to its worker. */
  Cordon: { readonly slot: number }
  /** Cordons it for its worker to go: the calls that it has go on, and so do those of its strict sessions that were accepted. */
  Drain: { readonly slot: number }
  /** The slot gets calls as others do. */
  Uncordon: { readonly slot: number }
  /** The worker in the slot has proved itself: what it announces is what the pool serves. */
  Promote: { readonly slot: number }
  /** Calls wait. */
  Pause: {}
  Resume: {}
  /** New calls are refused. */
  Refuse: {}
  Accept: {}
  /** The answer to `AskDelay`; `undefined`: the call is not tried again. */
  DelayKnown: { readonly asked: AskDelay; readonly delayMillis: number | undefined }
  /** An operator takes calls out of quarantine. */
  Release: { readonly tool: string; readonly digest: string }
  /** The settings have changed: they hold for what comes, and for what waits where it is next looked at. */
  Configured: { readonly config: PoolConfig }
  Tick: {}
  /** A queued call waits for itself. */
  Cycle: { readonly id: number; readonly cycle: ReadonlyArray<CallError.CycleStep> }
  /** Somebody begins a session that stays until it is ended; `told` hears why it cannot. */
  OpenSession: {
    readonly session: Pick<Sessions.Begin, "id" | "data" | "ttlMillis">
    readonly told: (outcome: Sessions.Session | SessionLife.Refused) => void
  }
  /** `told` hears when nothing of it is left. */
  EndSession: { readonly session: Sessions.Session; readonly told: () => void }
  /** Ends sessions that nobody uses. */
  SweepSessions: {}
  /** The worker in the slot is about to be drained: its sessions are served there no more. */
  Vacate: { readonly slot: number; readonly reason: string }
  /** The worker has ended a session, by the number that it was told. */
  SessionEnded: { readonly slot: number; readonly number: number; readonly failure: string; readonly overran: boolean }
  /** The pool goes down: everything ends. */
  Close: { readonly because: string }
}>

export type Command = Data.TaggedEnum<{
  Send: {
    readonly slot: number
    readonly id: number
    readonly attempt: number
    readonly tool: string
    readonly session: string | undefined
    readonly deadlineMillis: number
    readonly credit: number
    readonly skip: number
  }
  CancelOnWire: { readonly slot: number; readonly id: number; readonly attempt: number }
  CreditOnWire: { readonly slot: number; readonly id: number; readonly attempt: number; readonly elements: number }
  InputOnWire: { readonly slot: number; readonly id: number; readonly attempt: number; readonly payload: Payload }
  InputEndOnWire: { readonly slot: number; readonly id: number; readonly attempt: number; readonly failure: string | undefined }
  /** The caller may give so many more inputs. */
  Want: { readonly id: number; readonly elements: number }
  Deliver: { readonly id: number; readonly payload: Uint8Array }
  Complete: { readonly id: number; readonly payload: Uint8Array }
  Fail: { readonly id: number; readonly error: CallError.CallError; readonly incident?: string | undefined }
  /** End the worker: it runs a call beyond its limit. */
  FailWorker: { readonly slot: number; readonly call: RunningCall }
  AskDelay: Omit<AskDelay, "_tag">
  /** The attempt is over and the call is not: its worker is lost, or has given it back unbegun. */
  Returned: { readonly id: number; readonly error: CallError.CallError | undefined }
  Retried: {
    readonly id: number
    readonly tool: string
    readonly attempt: number
    readonly delayMillis: number
    readonly slot: number
    readonly reason: string
    readonly incident: string | undefined
  }
  /** A call that was retried has completed; `durationMillis` since it was offered. */
  Recovered: {
    readonly id: number
    readonly tool: string
    readonly slot: number
    readonly attempts: number
    readonly durationMillis: number
  }
  Tainted: LostWith & { readonly exitClass: string; readonly forMillis: number }
  Untainted: { readonly slot: number }
  Ejected: {
    readonly slot: number
    readonly tool: string
    readonly failures: number
    readonly ejections: number
    readonly forMillis: number
  }
  Readmitted: { readonly slot: number; readonly how: "expired" | "replaced" }
  Quarantined: {
    readonly tool: string
    readonly digest: string
    readonly crashes: number
    readonly workers: ReadonlyArray<string>
    readonly exits: ReadonlyArray<string>
    readonly until: number
  }
  Released: { readonly tool: string; readonly digest: string; readonly how: "expired" | "released" | "pushed out" }
  /** A call that nobody waits for is over; `slot` is `undefined` when none had it. */
  Cancelled: {
    readonly id: number
    readonly tool: string
    readonly slot: number | undefined
    readonly how: string
    readonly because: Because
    readonly afterMillis: number
    readonly incident: string | undefined
  }
  /** What the session begins with, before its first call there. */
  StartSessionOnWire: { readonly slot: number; readonly session: string; readonly data: Uint8Array }
  EndSessionOnWire: { readonly slot: number; readonly number: number; readonly session: string }
  SessionStarted: { readonly slot: number; readonly session: string; readonly why: "new" | "moved" | "again" }
  SessionEnded: { readonly session: string; readonly reason: SessionEnd; readonly starts: number; readonly livedMillis: number }
  SessionEndFailed: { readonly slot: number; readonly session: string; readonly reason: string }
  SessionsMany: { readonly sessions: number; readonly limit: number }
  /** `then`: what becomes of their next calls. */
  SessionsLost: LostWith & { readonly sessions: number; readonly then: "told" | "replayed" | "elsewhere" }
  /** The first call since the queue was half empty that found it full. */
  Saturated: { readonly queued: number; readonly capacity: number }
  /** Somebody waits for this. */
  Tell: { readonly told: () => void }
  WorkerUp: { readonly slot: number; readonly tools: number }
  WorkerDown: LostWith & { readonly calls: number }
}>

/** How long is a call to wait before its next attempt? `error` is what the last one ended with. Answered by `DelayKnown`. */
export interface AskDelay extends LostWith {
  readonly _tag: "AskDelay"
  readonly id: number
  readonly error: CallError.CallError
}

/** The worker that something was lost with: its slot, why it is gone, and in which incident of its supervisors. */
export interface LostWith {
  readonly slot: number
  readonly reason: string
  readonly incident: string | undefined
}

/** Why a session has ended. `lost`, `pool_down`: its worker is gone, or all of the pool, and its next call is told so. */
export type SessionEnd = "explicit" | "ttl" | "lost" | "pool_down"

/** Takes commands in. */
interface Out {
  readonly push: (command: Command) => unknown
}

/** One event's work on a state. */
export interface Step {
  readonly state: DispatchState
  readonly now: number
  readonly out: Out
}

const makeSlot = (slot: number): Slot => ({
  slot,
  tools: undefined,
  open: false,
  concurrency: 1,
  calls: Line.make(),
  work: 0,
  retries: 0,
  movedAt: 0,
  bound: TenantQueue.make(),
  boundNested: TenantQueue.make(),
  boundIsNext: false,
  trial: false,
  condemned: false,
  cordoned: false,
  draining: false,
  served: 0,
  taintedUntil: 0,
  ejectedUntil: 0,
  ejections: 0,
  ejectedFor: 0,
  readmittedAt: 0,
  avoided: false,
  clean: false
})

/** The slot of that number, made with those before it when there is none yet. */
export const slotAt = ({ busy, slots }: DispatchState, index: number): Slot => {
  if (index >= slots.length) {
    LeastBusy.grow(busy, index + 1)
    while (slots.length <= index) slots.push(makeSlot(slots.length))
  }
  return slots[index]!
}

/** Where a call waits: `home` is the slot that alone may serve it. */
export const queueOf = ({ nested, queue }: DispatchState, offer: Offer, home?: Slot): TenantQueue.TenantQueue<Call> =>
  offer.nested === undefined ? home?.bound ?? queue : home?.boundNested ?? nested

/** Calls that a slot has, and those that wait for it alone. */
export const callsOf = ({ bound, boundNested, calls }: Slot): number => calls.length + bound.length + boundNested.length

/** All queues. */
export const queues = ({ nested, queue, slots }: DispatchState): ReadonlyArray<TenantQueue.TenantQueue<Call>> => [
  nested,
  queue,
  ...slots.flatMap(({ bound, boundNested }) => [boundNested, bound])
]

export const limitsOf = ({ callTimeout, cancelGrace, queue, sessions }: PoolConfig): DispatchState["limits"] => ({
  queueTimeout: Duration.toMillis(queue.timeout),
  callTimeout: Duration.toMillis(callTimeout),
  cancelGrace: Duration.toMillis(cancelGrace),
  sessionTtl: Duration.toMillis(sessions.ttl),
  sessionEnd: Duration.toMillis(sessions.endTimeout)
})

/** `sessions`, `quarantine`: those of the state before. */
export const make = (
  pool: string,
  config: PoolConfig,
  digest: DispatchState["digest"],
  sessions = Sessions.make(),
  quarantine?: Quarantine.Quarantine
): DispatchState => ({
  pool,
  config,
  digest,
  limits: limitsOf(config),
  calls: new ById(),
  queue: TenantQueue.make(),
  nested: TenantQueue.make(),
  resting: Line.make(),
  waiting: 0,
  saturated: false,
  slots: Array.from({ length: config.size }, (_, slot) => makeSlot(slot)),
  busy: LeastBusy.make(config.size),
  wheel: DeadlineWheel.make(),
  ledger: { accepted: 0, completed: 0, failed: 0, cancelled: 0, retried: 0, rejected: 0, twice: 0 },
  counts: new CallCounts(),
  pace: Pace.make(),
  sessions,
  barrier: CrashBarrier.make(quarantine),
  tools: undefined,
  closed: undefined,
  paused: false,
  draining: false
})

/** A call as a watchdog sees it. */
export const asRunning = ({ blocking, id, offer, replaceAt, sentAt, stage }: Call): RunningCall => ({
  id,
  tool: offer.tool,
  since: sentAt,
  blocking,
  hardLimitMillis: replaceAt - sentAt,
  cancelled: stage === "Abandoned"
})

/**
 * What the worker in a slot runs: of its calls the one that may run longest. Those it has begun; when it has said of none that it began,
 * those it was sent, because a tool that holds the interpreter keeps that word back.
 */
export const runningOn = ({ slots }: DispatchState, slot: number): RunningCall | undefined => {
  const sent = [...Line.members(slots[slot]?.calls ?? Line.make<Call>())]
  const begun = sent.filter(({ stage }) => stage !== "Sent")
  const may = begun.length > 0 ? begun : sent
  const longest = may.reduce<Call | undefined>((a, b) => a === undefined || b.replaceAt > a.replaceAt ? b : a, undefined)
  return longest === undefined ? undefined : { ...asRunning(longest), blocking: may.some(({ blocking }) => blocking) }
}
