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
import type * as RestartType from "./RestartType.ts"

/** Which children an exit takes along: itself, all, or itself and those started after it. */
export type Strategy = "one_for_one" | "one_for_all" | "rest_for_one"

/** Whether the supervisor ends when a significant child ended for good: never, at the first, at the last. */
export type AutoShutdown = "never" | "any" | "all"

/** What the machine needs to know of a child. */
export interface ChildFacts {
  readonly id: string
  readonly restart: RestartType.RestartType
  readonly significant: boolean
}

/** What becomes of a child once it has stopped. */
export type Then =
  | { readonly _tag: "Recover" }
  | { readonly _tag: "Fail"; readonly reason: ExitReason; readonly incident: string }
  | { readonly _tag: "StayDown" }

/** Where a child stands. */
export type Status =
  | { readonly _tag: "Down"; readonly why: "not started" | "finished" | "terminated" | "start failed" | "supervisor stopping" }
  | { readonly _tag: "Starting"; readonly askedBy: number | undefined; readonly added: boolean }
  | { readonly _tag: "Running" }
  | { readonly _tag: "Waiting"; readonly reason: ExitReason; readonly incident: string }
  | { readonly _tag: "Stopping"; readonly then: Then }

/** One child. `generation` counts its starts from 0 (-1: never started), `restarts` those that its own exits called for. */
export interface ChildState extends ChildFacts {
  generation: number
  restarts: number
  status: Status
  /** Tokens of the calls to answer when it is down. */
  waiters: Array<number>
}

/** Bringing back what one exit took down. */
export interface Recovery {
  readonly key: string
  readonly incident: string
  readonly decidedAt: number
  readonly origin: ChildState
  /** The first victim in start order; the next one takes its place when it is deleted. */
  first: ChildState
  /** The newest question about a delay; answers to older ones move nothing. */
  readonly ask: number
  stage: "stopping" | "starting"
  due: number | undefined
}

/** How a supervisor ended. */
export type Outcome =
  | { readonly _tag: "Shutdown"; readonly why: string }
  | { readonly _tag: "AutoShutdown"; readonly child: string }
  | { readonly _tag: "StartFailed"; readonly child: string; readonly reason: ExitReason }
  | {
    readonly _tag: "GaveUp"
    readonly child: string
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

/** The whole state of one supervisor. */
export interface SupervisorState {
  readonly strategy: Strategy
  readonly autoShutdown: AutoShutdown
  /** Children are independent: started and stopped all at once instead of one after the other. */
  readonly parallel: boolean
  readonly maxChildren: number
  readonly window: Intensity.Window
  /** In start order. */
  readonly children: Map<string, ChildState>
  readonly recoveries: Map<string, Recovery>
  /** Decisions whose delay is being asked for. */
  readonly asked: Map<number, Omit<Data.TaggedEnum.Value<Decision, "Restart">, "_tag" | "delayMillis"> & { readonly key: string }>
  /** Children that ended while the supervisor booted. */
  readonly held: Set<ChildState>
  phase: Phase
  asks: number
}

/** What happened. `generation` lets a late report about an earlier generation be recognised and dropped. */
export type Event = Data.TaggedEnum<{
  Boot: {}
  ChildStarted: { readonly id: string; readonly generation: number }
  ChildStartFailed: { readonly id: string; readonly generation: number; readonly reason: ExitReason; readonly incident: string }
  ChildExited: { readonly id: string; readonly generation: number; readonly reason: ExitReason; readonly incident: string }
  /** With `abandonedAfterMillis` it did not stop within that time and is left behind. */
  ChildStopped: { readonly id: string; readonly generation: number; readonly abandonedAfterMillis?: number | undefined }
  DelayKnown: { readonly ask: number; readonly delayMillis: number }
  DelayRefused: { readonly ask: number; readonly error: unknown }
  Due: { readonly ask: number }
  FailChild: { readonly id: string; readonly reason: ExitReason; readonly incident: string }
  StartChild: { readonly child: ChildFacts; readonly token: number }
  RestartChild: { readonly id: string; readonly token: number }
  TerminateChild: { readonly id: string; readonly token: number }
  DeleteChild: { readonly id: string; readonly token: number }
  Shutdown: { readonly why: string }
}>
export const Event = Data.taggedEnum<Event>()

/** What to do. The interpreter carries out each at once and never waits. */
export type Command = Data.TaggedEnum<{
  Start: { readonly id: string; readonly generation: number }
  Stop: { readonly id: string; readonly generation: number }
  /** Ask the delay schedule; answer with `DelayKnown` or `DelayRefused`. */
  AskDelay: { readonly ask: number; readonly key: string; readonly id: string; readonly reason: ExitReason }
  /** Send `Due` at `at` (milliseconds). */
  StartAt: { readonly ask: number; readonly key: string; readonly at: number }
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
  NotFound: {}
  Present: { readonly status: Status["_tag"] }
  MaxChildren: { readonly maxChildren: number }
  Stopping: {}
  StartFailed: { readonly reason: ExitReason }
}>
export const Reply = Data.taggedEnum<Reply>()

/** A decision, told exactly once. */
export type Decision = Data.TaggedEnum<{
  Start: { readonly children: number }
  Restart: {
    readonly child: string
    /** The generation that ended. */
    readonly generation: number
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
    readonly reason: ExitReason
    readonly incident: string
  }
}>
export const Decision = Data.taggedEnum<Decision>()

/** What {@link make} takes. */
export interface Options {
  readonly strategy: Strategy
  readonly autoShutdown: AutoShutdown
  readonly parallel: boolean
  readonly maxChildren: number
  readonly limit: Intensity.Limit | "unlimited"
  readonly children: ReadonlyArray<ChildFacts>
}

/** A supervisor before its first event, which must be `Boot`. */
export const make = (options: Options): SupervisorState => ({
  strategy: options.strategy,
  autoShutdown: options.autoShutdown,
  parallel: options.parallel,
  maxChildren: options.maxChildren,
  window: Intensity.make(options.limit),
  children: new Map(options.children.map((facts) => [facts.id, makeChild(facts)])),
  recoveries: new Map(),
  asked: new Map(),
  held: new Set(),
  phase: { _tag: "Booting" },
  asks: 0
})

export const makeChild = (facts: ChildFacts): ChildState => ({
  id: facts.id,
  restart: facts.restart,
  significant: facts.significant,
  generation: -1,
  restarts: 0,
  status: { _tag: "Down", why: "not started" },
  waiters: []
})

/** A copy that later events do not touch. */
export const snapshot = (state: SupervisorState): SupervisorState => {
  const children = new Map([...state.children].map(([id, child]) => [id, { ...child, waiters: [...child.waiters] }]))
  const copied = (child: ChildState) => children.get(child.id) ?? { ...child, waiters: [...child.waiters] }
  return {
    ...state,
    window: Intensity.snapshot(state.window),
    children,
    recoveries: new Map(
      [...state.recoveries].map(([key, r]) => [key, { ...r, origin: copied(r.origin), first: copied(r.first) }])
    ),
    asked: new Map(state.asked),
    held: new Set([...state.held].map(copied))
  }
}
