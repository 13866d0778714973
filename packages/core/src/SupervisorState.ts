/**
 * What a supervisor knows, what can happen to it, and what it can be told to do: the vocabulary of the machine in `SupervisorMachine.ts`,
 * which draws and explains it.
 *
 * **Gotchas**
 *
 * The machine owns its state and updates it in place; {@link snapshot} copies it.
 */
import * as Data from "effect/Data"
import type { ExitReason } from "./ExitReason.ts"
import * as Intensity from "./Intensity.ts"
import * as ChildOrder from "./internal/ChildOrder.ts"
import * as Mailbox from "./internal/Mailbox.ts"
import type * as RestartType from "./RestartType.ts"
import type { Semantics } from "./Semantics.ts"

/** Which children an exit takes along: itself, all, or itself and those started after it. */
export type Strategy = "one_for_one" | "one_for_all" | "rest_for_one"

/** Whether the supervisor ends when a significant child ended for good: never, at the first, at the last. */
export type AutoShutdown = "never" | "any" | "all"

/** What the machine needs to know of a child. It keeps the value that it was given, which may hold more: the interpreter's whole spec. */
export interface ChildFacts {
  readonly id: string
  readonly restart: RestartType.RestartType
  readonly significant: boolean
}

/** Why a child is down. */
export type DownReason =
  | "not started"
  /** It ended by itself and its restart type calls for no other. */
  | "finished"
  /** It answered its start with `Child.ignore`. */
  | "ignored"
  /** The operator stopped it. */
  | "terminated"
  /** A start that the operator asked for failed. */
  | "start failed"
  /** A sibling's restart took it down, failed, and was called off: only without `heal`. */
  | "stranded"
  | "supervisor stopping"

/** What becomes of a child once it has stopped. */
export type Then =
  | { readonly _tag: "Recover" }
  | { readonly _tag: "Leave"; readonly reason: ExitReason }
  | { readonly _tag: "StayDown" }

/** Where a child stands. */
export type Status =
  | { readonly _tag: "Down"; readonly why: DownReason }
  | { readonly _tag: "Starting"; readonly askedBy: number | undefined; readonly added: boolean }
  | { readonly _tag: "Running" }
  | { readonly _tag: "Waiting"; readonly reason: ExitReason; readonly incident: string }
  | { readonly _tag: "Stopping"; readonly then: Then }

/** One child. `generation` counts its starts from 0 (-1: never started), `restarts` those that its own exits called for. */
export interface ChildState {
  readonly id: string
  facts: ChildFacts
  generation: number
  restarts: number
  status: Status
  /** It has ended, and the news waits in the mailbox. */
  ended: boolean
  /** Its latest start was acknowledged. */
  acknowledged: boolean
  /** Tokens of the calls to answer when it is down. */
  waiters: Array<number>
  /** Its own exit, while it is gathered or its release goes on. */
  exit: { readonly reason: ExitReason; readonly incident: string } | undefined
  /** Its own recovery under `one_for_one`. */
  recovery: Recovery | undefined
  /** Its place in start order, and its neighbours there. */
  position: number
  before: ChildState | undefined
  after: ChildState | undefined
}

/** Bringing back what one exit took down. */
export interface Recovery {
  /** Whose delays it shares: the child's id under `one_for_one`, `""` for the group. */
  readonly key: string
  readonly incident: string
  readonly decidedAt: number
  readonly origin: ChildState
  /** The first victim in start order; under `one_for_all` every child is one, whatever stands here. */
  from: ChildState
  /** The newest question about a delay; answers to older ones move nothing. */
  readonly ask: number
  stage: "stopping" | "delaying" | "starting"
  due: number | undefined
  /** The child that is stopped or started next. */
  cursor: ChildState | undefined
}

/** How a supervisor ended. */
export type Outcome =
  | { readonly _tag: "Shutdown"; readonly why: string }
  | { readonly _tag: "AutoShutdown"; readonly child: string }
  | { readonly _tag: "StartFailed"; readonly child: string; readonly reason: ExitReason }
  /** It died of a dynamic child that had ignored its restart (`Semantics.ignoredInstance`). */
  | { readonly _tag: "Crashed"; readonly child: string }
  | {
    readonly _tag: "GaveUp"
    readonly child: string
    readonly generation: number
    readonly stage: Stage
    readonly reason: ExitReason
    /** The error of the delay schedule; `undefined` when the intensity was exceeded. */
    readonly refusal: { readonly error: unknown } | undefined
    readonly incident: string
  }

/** The supervisor's own phase. */
export type Phase =
  | { readonly _tag: "Booting" }
  | { readonly _tag: "Running" }
  | { readonly _tag: "Stopping"; readonly outcome: Outcome }
  | { readonly _tag: "Ended"; readonly outcome: Outcome }

/** A question about a delay: what is told once it is answered. */
export interface Ask {
  readonly recovery: Recovery
  readonly decision: Omit<Data.TaggedEnum.Value<Decision, "Restart">, "_tag" | "delayMillis">
  told: boolean
}

/** The whole state of one supervisor. */
export interface SupervisorState {
  readonly semantics: Semantics
  strategy: Strategy
  autoShutdown: AutoShutdown
  /** Children are independent, started and stopped all at once, and forgotten when they are down. */
  readonly dynamic: boolean
  maxChildren: number
  readonly window: Intensity.Window
  readonly children: Map<string, ChildState>
  readonly order: ChildOrder.ChildOrder
  /** Who stands otherwise than whoever empties it knows; absent when nobody does. */
  moved: Set<ChildState> | undefined
  /** The recovery of the group, under a group strategy. */
  recovery: Recovery | undefined
  /** The dynamic child that ignored its restart and was kept, with `ignoredInstance: "keep"`: one at most, as in OTP. */
  ghost: ChildState | undefined
  readonly asks: Map<number, Ask>
  /** Exits that are pending together, before they are decided as one. */
  readonly gathering: Set<ChildState>
  /** What waits for its turn: exits during the boot, retries, and everything while a child starts or stops if that is the semantics. */
  readonly mailbox: Mailbox.Mailbox
  /** Starts that wait until the group is whole again. */
  readonly afterRecovery: Array<Event>
  phase: Phase
  /** The child that the boot or the stop has come to. */
  cursor: ChildState | undefined
  /** Children that start or stop just now. */
  busy: number
  recoveries: number
  /** Significant children that are not down, and whether one of them ended by itself. */
  significantLeft: number
  significantEnded: boolean
  lastAsk: number
}

/** What happened. `generation` lets a late report about an earlier generation be recognised and dropped. */
export type Event = Data.TaggedEnum<{
  Boot: {}
  ChildStarted: { readonly id: string; readonly generation: number }
  /** Its start acquired nothing and wants no life. */
  ChildIgnored: { readonly id: string; readonly generation: number }
  /** With `abandonedAfterMillis`, here and below, its release did not end within that time and is left behind. */
  ChildStartFailed: {
    readonly id: string
    readonly generation: number
    readonly reason: ExitReason
    readonly incident: string
    readonly abandonedAfterMillis?: number | undefined
  }
  ChildExited: {
    readonly id: string
    readonly generation: number
    readonly reason: ExitReason
    readonly incident: string
    readonly abandonedAfterMillis?: number | undefined
  }
  ChildStopped: { readonly id: string; readonly generation: number; readonly abandonedAfterMillis?: number | undefined }
  DelayKnown: { readonly ask: number; readonly delayMillis: number }
  DelayRefused: { readonly ask: number; readonly error: unknown }
  Due: { readonly ask: number }
  /** The exits that were pending when `Settle` was commanded have all been reported. */
  Settled: {}
  /** Another attempt at a restart that failed. Sent by the machine to itself. */
  Retry: { readonly id: string }
  /** Without a generation it means the present one. */
  FailChild: {
    readonly id: string
    readonly generation?: number | undefined
    readonly reason: ExitReason
    readonly incident: string
  }
  StartChild: { readonly child: ChildFacts; readonly token: number }
  RestartChild: { readonly id: string; readonly token: number }
  TerminateChild: { readonly id: string; readonly token: number }
  DeleteChild: { readonly id: string; readonly token: number }
  /** New flags and specs, checked already. */
  Change: { readonly change: Change; readonly token: number }
  Shutdown: { readonly why: string }
  /** Its parent's patience is over: it ends at once. */
  Kill: {}
}>
export const Event = Data.taggedEnum<Event>()

/** What to do. The interpreter carries out each at once and never waits. */
export type Command = Data.TaggedEnum<{
  Start: { readonly id: string; readonly generation: number }
  Stop: { readonly id: string; readonly generation: number }
  /** Let go of it at once and report nothing. */
  Kill: { readonly id: string; readonly generation: number }
  /** Send `Settled` once the exits that are on their way now have been reported. */
  Settle: {}
  /** Ask the delay schedule; answer with `DelayKnown` or `DelayRefused`. */
  AskDelay: { readonly ask: number; readonly key: string; readonly id: string; readonly reason: ExitReason }
  /** Send `Due` at `at` (milliseconds). */
  StartAt: { readonly ask: number; readonly key: string; readonly at: number }
  /** The `Due` of that key is wanted no more. */
  CancelStart: { readonly key: string }
  Reply: { readonly token: number; readonly reply: Reply }
  /** The child's spec is no longer needed. */
  Forget: { readonly id: string }
  Tell: { readonly decision: Decision }
  Booted: {}
  End: { readonly outcome: Outcome }
}>
export const Command = Data.taggedEnum<Command>()

/** The answer to an administration call. */
export type Reply = Data.TaggedEnum<{
  Done: { readonly generation: number }
  Ignored: {}
  NotFound: {}
  Present: { readonly status: Status["_tag"] }
  MaxChildren: { readonly maxChildren: number }
  /** It is significant, but could never end its supervisor. */
  Invalid: {}
  Stopping: {}
  StartFailed: { readonly reason: ExitReason }
}>
export const Reply = Data.taggedEnum<Reply>()

/** What a filling of a child was doing when it ended: its start was not acknowledged yet, or it was up. */
export type Stage = "starting" | "running"

/** A decision, told exactly once. */
export type Decision = Data.TaggedEnum<{
  Start: { readonly children: number }
  Restart: {
    readonly child: string
    /** The generation that ended. */
    readonly generation: number
    readonly stage: Stage
    readonly reason: ExitReason
    readonly delayMillis: number
    readonly budgetLeft: number
    /** Siblings that go down with it. */
    readonly victims: ReadonlyArray<string>
    readonly incident: string
  }
  Recover: {
    readonly child: string
    readonly generation: number
    readonly tookMillis: number
    readonly incident: string
  }
  Leave: { readonly child: string; readonly generation: number; readonly reason: ExitReason }
  Abandon: { readonly child: string; readonly generation: number; readonly reason: ExitReason }
  TerminateChild: { readonly child: string; readonly generation: number }
  Terminate: { readonly why: string }
  GiveUp: {
    readonly child: string
    readonly generation: number
    readonly stage: Stage
    readonly reason: ExitReason
    /** What allows no restart: the budget is spent, or the delay schedule refuses. */
    readonly refusedBy: "intensity" | "delay"
    readonly incident: string
  }
}>
export const Decision = Data.taggedEnum<Decision>()

/**
 * New flags and specs for a supervisor that runs. `children` are those of a static one; in a dynamic one, `template` holds for all but the
 * children that are listed.
 */
export interface Change {
  readonly strategy: Strategy
  readonly autoShutdown: AutoShutdown
  readonly maxChildren: number
  readonly limit: Intensity.Limit | "unlimited"
  readonly children: ReadonlyArray<ChildFacts>
  readonly template: ((id: string) => ChildFacts) | undefined
}

/** What {@link make} takes. */
export interface Options {
  readonly semantics: Semantics
  readonly strategy: Strategy
  readonly autoShutdown: AutoShutdown
  readonly dynamic: boolean
  readonly maxChildren: number
  readonly limit: Intensity.Limit | "unlimited"
  /** Restarts that count already, from before it was made. */
  readonly spent?: ReadonlyArray<number> | undefined
  readonly children: ReadonlyArray<ChildFacts>
}

/** A supervisor before its first event, which must be `Boot`. */
export const make = (options: Options): SupervisorState => {
  const children = new Map(options.children.map((facts) => [facts.id, makeChild(facts)]))
  return {
    semantics: options.semantics,
    strategy: options.strategy,
    autoShutdown: options.autoShutdown,
    dynamic: options.dynamic,
    maxChildren: options.maxChildren,
    window: Intensity.make(options.limit, options.semantics.window, options.spent),
    children,
    order: ChildOrder.make(children.values()),
    moved: undefined,
    recovery: undefined,
    ghost: undefined,
    asks: new Map(),
    gathering: new Set(),
    mailbox: Mailbox.make(),
    afterRecovery: [],
    phase: { _tag: "Booting" },
    cursor: undefined,
    busy: 0,
    recoveries: 0,
    significantLeft: 0,
    significantEnded: false,
    lastAsk: 0
  }
}

const notStarted: Status = { _tag: "Down", why: "not started" }

export const makeChild = (facts: ChildFacts): ChildState => ({
  id: facts.id,
  facts,
  generation: -1,
  restarts: 0,
  status: notStarted,
  ended: false,
  acknowledged: false,
  exit: undefined,
  waiters: [],
  recovery: undefined,
  position: 0,
  before: undefined,
  after: undefined
})

/** A copy that later events do not touch. */
export const snapshot = (state: SupervisorState): SupervisorState => {
  const children = new Map<ChildState, ChildState>()
  const recoveries = new Map<Recovery, Recovery>()
  const copyOf = (child: ChildState): ChildState => {
    const known = children.get(child)
    if (known !== undefined) return known
    const copied: ChildState = { ...child, waiters: [...child.waiters], recovery: undefined, before: undefined, after: undefined }
    children.set(child, copied)
    if (child.recovery !== undefined) copied.recovery = copyRecovery(child.recovery)
    return copied
  }
  const copyRecovery = (recovery: Recovery): Recovery => {
    const known = recoveries.get(recovery)
    if (known !== undefined) return known
    const copied: Recovery = {
      ...recovery,
      origin: copyOf(recovery.origin),
      from: copyOf(recovery.from),
      cursor: recovery.cursor && copyOf(recovery.cursor)
    }
    recoveries.set(recovery, copied)
    return copied
  }
  const order = ChildOrder.make([])
  for (let child = state.order.first; child !== undefined; child = child.after) {
    const { position } = child
    ChildOrder.append(order, copyOf(child))
    order.last!.position = position
  }
  const copied: SupervisorState = {
    ...state,
    window: Intensity.snapshot(state.window),
    children: new Map([...state.children].map(([id, child]) => [id, copyOf(child)])),
    order,
    moved: undefined,
    recovery: state.recovery && copyRecovery(state.recovery),
    ghost: state.ghost && copyOf(state.ghost),
    asks: new Map([...state.asks].map(([ask, asked]) => [ask, { ...asked, recovery: copyRecovery(asked.recovery) }])),
    gathering: new Set([...state.gathering].map(copyOf)),
    mailbox: Mailbox.make(Mailbox.waiting(state.mailbox).map(({ about, event }) => ({ event, about: about && copyOf(about) }))),
    afterRecovery: [...state.afterRecovery],
    cursor: state.cursor && copyOf(state.cursor)
  }
  for (const [child, copy] of children) {
    if (state.children.get(child.id) === child) continue
    copy.before = child.before && copyOf(child.before) // one that was forgotten, on which a recovery still stands
    copy.after = child.after && copyOf(child.after)
  }
  return copied
}
