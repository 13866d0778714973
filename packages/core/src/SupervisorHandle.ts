/**
 * What can be asked of a running supervisor.
 *
 * **Details**
 *
 * `failChild` is OTP's `exit(Pid, Reason)`: it ends a child with a given abnormal reason, which then passes the restart table and counts
 * against the intensity. It returns at once; heartbeats and watchdogs use nothing else. `terminateChild` is a planned stop: it never
 * counts, and the child stays down until `restartChild`. Every call is answered while a child starts, stops or waits for its delay.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { GiveUpAt } from "./GiveUpAt.ts"
import type { ChildNotFound, ChildPresent, ChildStartFailed, MaxChildren, SupervisorStopping } from "./SupervisorError.ts"
import type { SupervisorNode } from "./Tree.ts"
import type { Why } from "./Why.ts"

/** A running supervisor, seen by its children and by its operator. */
export interface SupervisorHandle {
  readonly path: string
  /** Ends the child with `error` as its abnormal reason. Does nothing when the child is not running. */
  readonly failChild: (id: string, error: unknown) => Effect.Effect<void, ChildNotFound>
  /** Stops the child; returns when it is down. It stays down, except that a temporary child is forgotten. */
  readonly terminateChild: (id: string) => Effect.Effect<void, ChildNotFound>
  /** Starts a child that is down; returns its generation, -1 when it answered with `Child.ignore`. Never counts. */
  readonly restartChild: (
    id: string
  ) => Effect.Effect<number, ChildNotFound | ChildPresent | SupervisorStopping | ChildStartFailed>
  /** Forgets a child that is down. */
  readonly deleteChild: (id: string) => Effect.Effect<void, ChildNotFound | ChildPresent>
  /** The subtree as it stands now. */
  readonly tree: Effect.Effect<SupervisorNode>
  /** Why what stands at this path, the supervisor's own or one below it, is not running; `undefined` when it is. */
  readonly why: (path: string) => Effect.Effect<Why | undefined, ChildNotFound>
  /** When the supervisor at this path gives up if every restart from now on fails at once. */
  readonly giveUpAt: (path: string) => Effect.Effect<GiveUpAt, ChildNotFound>
}

/** A running dynamic supervisor. */
export interface DynamicSupervisorHandle extends SupervisorHandle {
  /** Starts the template's child for `key`; returns its generation once it has acknowledged, -1 when it answered with `Child.ignore`. */
  readonly startChild: (
    key: string
  ) => Effect.Effect<number, ChildPresent | MaxChildren | SupervisorStopping | ChildStartFailed>
}

/** The supervisor of the child that asks. */
export class CurrentSupervisor extends Context.Service<CurrentSupervisor, DynamicSupervisorHandle>()(
  "@snakepit/core/CurrentSupervisor"
) {}
