/**
 * The port that a pool needs to have workers: the children that make and hold an external process. `@snakepit/bridge` implements it for
 * Python over gRPC; `@snakepit/pool/testing` has one that follows a script.
 */
import type { Child, SupervisorError } from "@snakepit/core"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Payload } from "./Payload.ts"
import type { PoolConfig } from "./PoolConfig.ts"
import type { PoolVersion } from "./PoolVersion.ts"
import type { WireSink } from "./Wire.ts"
import type { TelemetryPort } from "./WireTelemetry.ts"
import type {
  BootFailed,
  ChannelLost,
  ContainmentUnavailable,
  ForkserverLost,
  HandshakeFailed,
  HandshakeTimeout,
  Judged,
  ProcessExited,
  ReaperLost
} from "./WorkerError.ts"

type Always = SupervisorError.Defect | SupervisorError.Ended

/** A child of the port: `S` is how its start can fail, `L` how its life can. */
export type PortChild<Id extends string, S, L, P extends "control" | "execution"> = Child.Child<
  Id,
  SupervisorError.Origin<Id, S>,
  SupervisorError.Origin<Id, S | L | Always>,
  never,
  P,
  false
>

/** One slot of a pool, as its worker's children see it. */
export interface WorkerSeat {
  readonly pool: string
  readonly slot: number
  /** `default/3`. */
  readonly name: string
  /**
   * To be read at each use: what applies live is as the configuration says now, the rest as {@link version} says, so that all that belongs to
   * one process is of one version.
   */
  readonly config: PoolConfig
  /** Of the process that fills the slot, from its {@link fill} on; before the first, of the one that is to. */
  readonly version: () => PoolVersion
  /**
   * Said by the child `process` when it starts. Counts the processes that have filled this slot: the generation of this one, from 0; a new Roster
   * counts from 0 again.
   */
  readonly fill: (process: Child.CurrentChild["Service"]) => number
  /** Of the present process; -1 before the first. */
  readonly generation: () => number
  /** The incident that the end of the present process belongs to. To be asked when that end is certain; `undefined`: it is planned. */
  readonly incident: () => string | undefined
  /** The present process is not to be waited for: said by whoever ends it through its supervisor, right before. Until the next {@link fill}. */
  readonly condemn: (verdict: Imposed) => void
  /** Why the present process is not to be waited for: it gets neither a drain nor a grace. */
  readonly verdict: () => Imposed | undefined
  /** The pool takes in here what the worker says. */
  readonly sink: WireSink
  /**
   * Launches a process within `launch.concurrency` of the pool's settings: waits for one of its permits, and gives it back when `launch` has
   * succeeded, or when it has failed or was interrupted and what it acquired in its scope is released: a process that is being ended counts.
   * For what costs processor time and memory; a spare is taken without it.
   */
  readonly governed: <A, E, R>(launch: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | Scope.Scope>
}

/** A warm process that waits to be taken. */
export interface Spare {
  readonly pid: number
  /** Returns when it waits no more: a worker has taken it, or it has died. */
  readonly gone: Effect.Effect<"taken" | "died">
}

/** What the kernel says of a process. */
export interface Evidence {
  readonly pid: number
  /**
   * What its first thread does, where tools run. `running`: it runs, or would if it were its turn. `disk`: it waits in the kernel and takes no
   * signal. `traced`: a debugger holds it.
   */
  readonly state: "running" | "sleeping" | "disk" | "stopped" | "traced" | "zombie" | "other"
  /** User and system time of all its threads since its start, in milliseconds. */
  readonly cpuMillis: number
  /** The same of each thread that it has now, by the thread's id. */
  readonly threads: ReadonlyMap<number, number>
  /** Page faults that waited for a disk since its start: a process that reads into its memory works, although it uses no CPU. */
  readonly majorFaults: number
}

/** What a process uses, without its descendants. */
export interface Usage {
  /** Resident. */
  readonly memoryBytes: number
  /** User and system time of all its threads since its start. */
  readonly cpuSeconds: number
  readonly fileDescriptors: number
  readonly threads: number
}

/** How values travel: the arguments, results and elements that a contract's schemas have encoded. */
export interface PayloadCodec {
  readonly encode: (value: unknown) => Payload
  readonly decode: (payload: Uint8Array) => unknown
}

/** How others end a worker's process, through its supervisor. */
export type Imposed = Judged | HandshakeTimeout

/** What a runtime provides. */
export interface WorkerRuntime {
  readonly codec: PayloadCodec
  /** Tells arguments apart that crashed workers: the first 16 bytes of their SHA-256, in hex. Pure; copies nothing. */
  readonly digest: (payload: Payload) => string
  /** What all workers of a pool belong to: when it ends, they end. */
  readonly reaper: (pool: string) => PortChild<"reaper", ReaperLost | ContainmentUnavailable, never, "control">
  /**
   * What new processes of a pool come from while it is up, if they are of the `version` that it was started with. When it ends, living ones go on
   * and new ones start without it.
   */
  readonly forkserver: (pool: string, version: () => PoolVersion) => PortChild<"forkserver", BootFailed, ForkserverLost, "control">
  /**
   * Starts a process that is ready and connected, and puts it where the next {@link process} of the pool and the version takes it. It ends with the
   * scope, unless it was taken. Its caller asks the launch governor; the runtime does not.
   */
  readonly spare: (pool: string, version: PoolVersion) => Effect.Effect<Spare, BootFailed, Scope.Scope>
  /**
   * The external process of one worker: takes a spare of its version if one waits, else launches under `seat.governed`. Its channel and its monitors end it with
   * {@link Imposed}.
   */
  readonly process: (
    seat: WorkerSeat
  ) => PortChild<"process", BootFailed, ProcessExited | Imposed, "execution">
  /** The connection to that process: attaches a wire to the seat's sink. */
  readonly channel: (seat: WorkerSeat) => PortChild<"channel", HandshakeFailed | ChannelLost, never, "execution">
  /** Takes in what workers tell of themselves and their tools. */
  readonly telemetry: TelemetryPort
  /** What the kernel says of the slot's process now; `undefined` where it says nothing, or there is no process. Synchronous; never throws. */
  readonly evidence: (seat: WorkerSeat) => Evidence | undefined
  /** What a process uses now; `undefined` where that is not known, or there is no such process. Synchronous; never throws. For who looks once a second. */
  readonly usage: (pid: number) => Usage | undefined
  /**
   * Bytes of memory that a process and its descendants hold: resident (`rss`), or with what is shared divided by those who share it (`pss`);
   * `undefined` where that is not known, or there is no such process.
   */
  readonly memory: (pid: number, kind: "rss" | "pss") => Effect.Effect<number | undefined>
}
