/**
 * The port that a pool needs to have workers: the children that make and hold an external process. `@snakepit/bridge` implements it for
 * Python over gRPC; `@snakepit/pool/testing` has one that follows a script.
 */
import type { Child, SupervisorError } from "@snakepit/core"
import type { PoolConfig } from "./PoolConfig.ts"
import type { WireSink } from "./Wire.ts"
import type {
  BootFailed,
  CallOverran,
  ChannelLost,
  ContainmentUnavailable,
  HandshakeFailed,
  HandshakeTimeout,
  HeartbeatLost,
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
  readonly config: PoolConfig
  /** Counts the processes that have filled this slot: the generation of the next one, from 0. */
  readonly fill: () => number
  /** The pool takes in here what the worker says. */
  readonly sink: WireSink
}

/** How values travel: the arguments, results and elements that a contract's schemas have encoded. */
export interface PayloadCodec {
  readonly encode: (value: unknown) => Uint8Array
  readonly decode: (payload: Uint8Array) => unknown
}

/** How others end a worker's process, through its supervisor. */
export type Imposed = HeartbeatLost | HandshakeTimeout | CallOverran

/** What a runtime provides. */
export interface WorkerRuntime {
  readonly codec: PayloadCodec
  /** What all workers of a pool belong to: when it ends, they end. */
  readonly reaper: (pool: string) => PortChild<"reaper", ReaperLost | ContainmentUnavailable, never, "control">
  /** The external process of one worker. Its channel and its monitors end it with {@link Imposed}. */
  readonly process: (
    seat: WorkerSeat
  ) => PortChild<"process", BootFailed, ProcessExited | Imposed, "execution">
  /** The connection to that process: attaches a wire to the seat's sink. */
  readonly channel: (seat: WorkerSeat) => PortChild<"channel", HandshakeFailed | ChannelLost, never, "execution">
}
