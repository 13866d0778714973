/**
 * What the lifecycle machine of a pool knows, what can happen to it, and what it can order: the vocabulary of `LifecycleMachine.ts`, which
 * draws and explains it.
 */
import type { Event as CoreEvent } from "@snakepit/core"
import type * as Data from "effect/Data"
import type { PoolConfig } from "../PoolConfig.ts"
import type * as PoolVersion from "../PoolVersion.ts"
import * as Autoscale from "./Autoscale.ts"
import * as Places from "./Places.ts"
import type { Because } from "./Recycle.ts"
import type { RolloutFailed, RolloutSuperseded } from "./RolloutError.ts"

/** A new version on its way. `rest`: it has proved itself, and the workers of the version before are replaced. */
export interface Rollout {
  readonly version: PoolVersion.PoolVersion
  stage: "waiting" | "boot" | "probe" | "hold" | "rest"
  /** The place in which it is tried. */
  canary: number | undefined
  /** The generation that came up there. */
  generation: number
  /** Since when it is held. */
  since: number
}

/** What has become of a version. */
export type RolloutResult = "done" | RolloutFailed | RolloutSuperseded

/** Plain data, in the Roster. */
export interface LifecycleState {
  readonly pool: string
  readonly versions: PoolVersion.Versions
  /** How many workers are to serve. */
  size: number
  /** The `size` of the settings that it was taken from. */
  configured: number
  readonly places: Array<Places.Place>
  /** Workers in a row that were to come and did not. */
  failures: number
  /** When the next is tried. */
  retryAt: number
  paused: boolean
  draining: "no" | "draining" | "drained"
  autoscale: Autoscale.AutoscaleState
  rollout: Rollout | undefined
  /** Of the latest version that was to be rolled out. */
  tried: number
  /** The last that failed. */
  failed: RolloutFailed | undefined
  /** What has become of the last versions, by their roll, for those who wait. */
  readonly results: Map<number, RolloutResult>
  /** Whether the forkserver is of a version that the pool does not run any more. */
  stale: "no" | "yes" | "renewing"
  /** Times in a row that it was to be replaced and was not, and when it is tried again. */
  renewFailures: number
  renewAt: number
  /** Workers in a row that were beyond the memory limit when they were first measured, and when the next of them is replaced. */
  oversized: number
  oversizedAt: number
  /** Measurements in a row that gave nothing of any worker. */
  unmeasured: number
  /** Workers that were stopped as planned, by why. */
  readonly stops: Record<Because, number>
}

export const make = (pool: string, versions: PoolVersion.Versions, { autoscale, size: configured }: PoolConfig): LifecycleState => {
  const size = Autoscale.within(configured, autoscale)
  return {
    pool,
    versions,
    size,
    configured,
    places: Places.initial(size),
    failures: 0,
    retryAt: 0,
    paused: false,
    draining: "no",
    autoscale: Autoscale.initial,
    rollout: undefined,
    tried: versions.proven.roll,
    failed: undefined,
    results: new Map(),
    stale: "no",
    renewFailures: 0,
    renewAt: 0,
    oversized: 0,
    oversizedAt: 0,
    unmeasured: 0,
    stops: { calls: 0, age: 0, memory: 0, version: 0, operator: 0, size: 0 }
  }
}

/** What an operator asks for. */
export type Order = Data.TaggedEnum<{
  Pause: {}
  Resume: {}
  /** New calls are refused; those that were accepted come to their end. */
  Drain: {}
  Undrain: {}
  /** Its worker gets no new calls. */
  Cordon: { readonly slot: number }
  Uncordon: { readonly slot: number }
  /** Its worker is to be replaced. */
  Recycle: { readonly slot: number }
  Scale: { readonly size: number }
}>

export type Event =
  | Order
  | Data.TaggedEnum<{
    /** A Lifecycle begins: whatever another one had under way must be ordered again. */
    Begin: {}
    /** A process fills the place. `draw`: from 0 to 1, at random. */
    Filled: { readonly slot: number; readonly generation: number; readonly served: number; readonly draw: number }
    StartFailed: { readonly slot: number; readonly attempt: number; readonly stage: "boot" | "catalogue"; readonly cause: string }
    Stopped: { readonly slot: number }
    /** `failure`: why the canary did not pass. */
    Probed: { readonly slot: number; readonly failure: string | undefined }
    /** The forkserver is new; or why it is not. */
    Renewed: { readonly failure: string | undefined }
    /** Bytes of memory; `undefined`: not to be had. */
    Measured: { readonly memory: ReadonlyArray<{ readonly slot: number; readonly bytes: number | undefined }> }
    /** How everything stands now. `open`: accepted calls that are not over. */
    Look: { readonly seen: ReadonlyArray<Places.Seen>; readonly delayMillis: number; readonly busy: number; readonly open: number }
  }>

export type Command = Data.TaggedEnum<{
  /** Gives the place to the fleet. */
  Start: { readonly slot: number; readonly attempt: number }
  /** Has the fleet stop the worker, and forget the place. */
  Stop: { readonly slot: number }
  Probe: { readonly slot: number }
  /** The version has proved itself: new workers, and what new processes come from, are to be of it. */
  Prove: { readonly version: PoolVersion.PoolVersion }
  /** Replaces the forkserver. */
  Renew: {}
  /** For the dispatch machine. */
  Dispatch: {
    readonly event:
      | { readonly _tag: "Cordon" | "Uncordon" | "Drain" | "Promote"; readonly slot: number }
      | { readonly _tag: "Vacate"; readonly slot: number; readonly reason: string }
      | { readonly _tag: "Pause" | "Resume" | "Refuse" | "Accept" }
  }
  Tell: {
    readonly event: CoreEvent.Declaration
    readonly measurements: Readonly<Record<string, number | undefined>>
    readonly attributes: Readonly<Record<string, CoreEvent.Value>>
  }
}>

/** One event's work on a state. */
export interface Step {
  readonly state: LifecycleState
  readonly now: number
  readonly out: Array<Command>
}

/** Tells of a decision. */
export const tell = <M extends CoreEvent.Fields, A extends CoreEvent.Fields>(
  { out, state }: Step,
  event: CoreEvent.Declaration<M, A>,
  measurements: { readonly [K in keyof M]: M[K]["Type"] },
  attributes: { readonly [K in keyof Omit<A, "pool">]: A[K]["Type"] }
): void =>
  void out.push({
    _tag: "Tell",
    event,
    measurements: measurements as Readonly<Record<string, number | undefined>>,
    attributes: { pool: state.pool, ...attributes as Readonly<Record<string, CoreEvent.Value>> }
  })

/** Tells the dispatch machine. */
export const dispatch = ({ out }: Step, event: Extract<Command, { readonly _tag: "Dispatch" }>["event"]): void =>
  void out.push({ _tag: "Dispatch", event })
