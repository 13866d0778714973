/**
 * The typed errors with which each child's end can escalate, by its path in the contracts. The compiler holds the table to the types of the
 * tree: a path or an error too many, or one that is missing, does not compile.
 */
import type { Supervisor, SupervisorError } from "@snakepit/core"
import type { PoolSupervisor } from "@snakepit/pool"
import type { Snakepit } from "snakepit"

type From<T> = T extends SupervisorError.GaveUp<string, infer F, unknown> ? F : never

/** The path as the contracts write it: `<key>` for the key of a dynamic child. */
type Written<P> = P extends `pool/fleet/${infer Rest}`
  ? Rest extends `${string}/${infer Below}` ? `snakepit/pools/<key>/fleet/<key>/${Below}` : "snakepit/pools/<key>/fleet/<key>"
  : P extends `pool/${infer Rest}` ? `snakepit/pools/<key>/${Rest}`
  : P

/** What can make a pool give up, and what can make the root. */
type Origins = From<Supervisor.Escalation<PoolSupervisor.PoolSupervisor<"pool", never>>> | From<Snakepit.Escalation>
type PathOf<O> = O extends SupervisorError.Origin<infer P, unknown> ? Written<P> : never
type ErrorAt<Path, O = Origins> = O extends SupervisorError.Origin<infer P, infer E>
  ? Written<P> extends Path ? E extends { readonly _tag: infer Tag extends string } ? Tag : never : never
  : never

export const escalations = {
  "snakepit/foundation": ["Defect"],
  "snakepit/foundation/config_server": ["ConfigInvalid", "Defect", "Ended"],
  "snakepit/foundation/process_registry": ["RunFolderFailed", "SocketPathTooLong", "DataFolderFailed", "Defect", "Ended"],
  "snakepit/foundation/session_store": ["Defect", "Ended"],
  "snakepit/pools/<key>/roster": ["Defect", "Ended"],
  "snakepit/pools/<key>/reaper": ["ReaperLost", "ContainmentUnavailable", "Defect", "Ended"],
  "snakepit/pools/<key>/fleet": ["Defect"],
  "snakepit/pools/<key>/fleet/<key>": ["Defect"],
  "snakepit/pools/<key>/fleet/<key>/process": [
    "BootFailed",
    "ProcessExited",
    "WorkerStopped",
    "WorkerHung",
    "WorkerUnreachable",
    "HandshakeTimeout",
    "CallOverran",
    "Defect",
    "Ended"
  ],
  "snakepit/pools/<key>/fleet/<key>/channel": ["HandshakeFailed", "ChannelLost", "Defect", "Ended"],
  "snakepit/pools/<key>/fleet/<key>/heartbeat": ["Defect", "Ended"],
  "snakepit/pools/<key>/fleet/<key>/watchdog": ["Defect", "Ended"],
  "snakepit/pools/<key>/fleet/<key>/telemetry_tap": ["Defect", "Ended"],
  "snakepit/pools/<key>/control": ["Defect"],
  "snakepit/pools/<key>/control/dispatcher": ["Defect", "Ended"],
  "snakepit/pools/<key>/control/lifecycle": ["Defect", "Ended"],
  "snakepit/pools/<key>/control/spares": ["Defect", "Ended"],
  "snakepit/pools/<key>/control/sampler": ["Defect", "Ended"],
  "snakepit/pools/<key>/control/launcher/forkserver": ["BootFailed"],
  "snakepit/pools/<key>/control/launcher/worker_starter": ["BootFailed", "HandshakeFailed", "ChannelLost", "FleetLost"]
} as const satisfies { readonly [Path in PathOf<Origins>]: ReadonlyArray<ErrorAt<Path>> }

type Missing = {
  readonly [Path in keyof typeof escalations]: Exclude<ErrorAt<Path>, typeof escalations[Path][number]>
}[keyof typeof escalations]

/** Does not compile when an error is missing above: the message names it. */
export const missing: [Missing] extends [never] ? readonly [] : readonly [Missing] = []
