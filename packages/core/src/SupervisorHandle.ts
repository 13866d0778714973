/**
 * What can be asked of a running supervisor.
 *
 * **Details**
 *
 * | call             | no such child   | down               | starting, running, restarting, stopping | may also fail with                   |
 * | ---------------- | --------------- | ------------------ | --------------------------------------- | ------------------------------------ |
 * | `startChild`     | starts it, last | `ChildPresent`     | `ChildPresent`                          | `ChildStartFailed`, `MaxChildren`, † |
 * | `restartChild`   | `ChildNotFound` | starts it          | `ChildPresent`                          | `ChildStartFailed`, †                |
 * | `terminateChild` | `ChildNotFound` | nothing            | stops it, returns when it is down       |                                      |
 * | `deleteChild`    | `ChildNotFound` | forgets it         | `ChildPresent`                          | †                                    |
 * | `failChild`      | `ChildNotFound` | nothing            | ends it if it is running                |                                      |
 * | `childSpec`      | `ChildNotFound` | its spec           | its spec                                |                                      |
 *
 * † `SupervisorStopping`, once the supervisor has begun to stop.
 *
 * `failChild` is OTP's `exit(Pid, Reason)`: it ends a child with a given abnormal reason, which then passes the restart table and counts
 * against the intensity. It returns at once; heartbeats and watchdogs use nothing else. The other calls are planned: they never count,
 * and a child that was terminated stays down until `restartChild`.
 *
 * Every call is answered while a child starts, stops or waits for its delay; only a start into a group that is being restarted waits until
 * that is whole again. (With `Semantics.otp` the calls that change something wait their turn, as in OTP; those that only look are answered
 * at once all the same.)
 *
 * **Gotchas**
 *
 * A call that is interrupted leaves what it asked for: a child that was being started is started.
 *
 * **Example** (A picture of the tree whenever it changes)
 *
 * ```ts
 * import { type SupervisorHandle, Tree } from "@snakepit/core"
 * import { Console, Stream } from "effect"
 *
 * declare const running: SupervisorHandle.SupervisorHandle
 *
 * const watch = Stream.runForEach(running.changes, (tree) => Console.log(Tree.render(tree)))
 * ```
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type * as Child from "./Child.ts"
import type { GiveUpAt } from "./GiveUpAt.ts"
import type { RestartType } from "./RestartType.ts"
import type { ChildNotFound, ChildPresent, ChildStartFailed, MaxChildren, SupervisorStopping } from "./SupervisorError.ts"
import type { Strategy } from "./SupervisorState.ts"
import type { SupervisorNode } from "./Tree.ts"
import type { Why } from "./Why.ts"

/** How many children there are. */
export interface ChildCount {
  /** All of them, down ones included. (OTP says 1 for a `simple_one_for_one`, where the spec is the template.) */
  readonly specs: number
  /** Those that are running now; neither those that start or stop, nor those that wait for a restart. */
  readonly active: number
  /** Those that are supervisors, running or not. */
  readonly supervisors: number
  /** Those that are not. */
  readonly workers: number
}

/** How a child is supervised, every default filled in. */
export interface ChildSpec {
  readonly id: string
  readonly kind: "worker" | "supervisor"
  readonly restart: RestartType
  /** Milliseconds, `"infinity"` or `"brutal"`. */
  readonly shutdown: number | "infinity" | "brutal"
  readonly significant: boolean
  /** Of a supervisor: how it restarts its own children. */
  readonly strategy: Strategy | "dynamic" | undefined
}

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
  readonly deleteChild: (id: string) => Effect.Effect<void, ChildNotFound | ChildPresent | SupervisorStopping>
  /** How many children there are, of which kind, and how many of them run. */
  readonly count: Effect.Effect<ChildCount>
  /** How the child is supervised. */
  readonly childSpec: (id: string) => Effect.Effect<ChildSpec, ChildNotFound>
  /** The subtree as it stands now. */
  readonly tree: Effect.Effect<SupervisorNode>
  /**
   * The supervisor at this path, its own or one below it, as an operator or a test that harms a whole tree needs it. Of the generation that
   * is up now: ask again after a restart.
   */
  readonly at: (path: string) => Effect.Effect<SupervisorHandle, ChildNotFound>
  /** Why what stands at this path, the supervisor's own or one below it, is not running; `undefined` when it is. */
  readonly why: (path: string) => Effect.Effect<Why | undefined, ChildNotFound>
  /** When the supervisor at this path gives up if every restart from now on fails at once. */
  readonly giveUpAt: (path: string) => Effect.Effect<GiveUpAt, ChildNotFound>
  /**
   * The subtree as it stands now, and again whenever something in it has changed, until the supervisor has ended. A reader that is slower
   * than the changes gets the latest state and none of those before; it never slows the supervisor.
   */
  readonly changes: Stream.Stream<SupervisorNode>
  /**
   * Stops the supervisor with all its children; returns when they are down. `why` stands in the event. It is a clean end: its own
   * supervisor, if it has one, starts it again when it is permanent.
   */
  readonly stop: (why: string) => Effect.Effect<void>
}

/** A running supervisor that can be given children: a dynamic one, or one that was made with `added`. */
export interface AddsChildren<in A extends Child.Any> {
  /**
   * Starts one more child, the last in start order: the template's for a key, or any child that fails and needs no more than the
   * template's do; the child's own id is its key. Returns its generation once it has acknowledged, -1 when it answered with
   * `Child.ignore`. A child that does not start is forgotten.
   */
  readonly startChild: (
    child: string | A
  ) => Effect.Effect<number, ChildPresent | MaxChildren | SupervisorStopping | ChildStartFailed>
}

/** The supervisor of the child that asks. */
export class CurrentSupervisor extends Context.Service<CurrentSupervisor, SupervisorHandle>()(
  "@snakepit/core/CurrentSupervisor"
) {}
