/**
 * How failures cross a supervisor: as typed errors that say where they came from.
 *
 * **Details**
 *
 * `StartFailed<Origin<path, E0>>` is how starting a tree fails; `GaveUp<path, Origin<path, E>>` is how a running one escalates. Both
 * are inferred from the children, so a program that handles them knows every origin there can be. A temporary child, or a supervisor
 * with unlimited intensity, contributes `never` to `GaveUp`.
 *
 * `never` means: by itself it never ends. Two things from outside can end a supervisor without a limit, and the types leave both out, as no
 * child can cause them: `failChild` on it through the handle of the supervisor above, and a defect of the engine. Either counts there as any
 * failure does; when it spends that budget, `because` is a `Defect` at the path of the supervisor without a limit.
 *
 * A restart runs the child's start again, so an exhausted budget may also carry the child's *start* error: it stands in `GaveUp` too.
 * The same holds for a supervisor that is a child: once it can be restarted — because it can give up, because it shuts itself down though
 * permanent, or because a sibling takes it along under a group strategy — the start errors of everything below it (temporary children
 * too), its own `Defect`, and in the second case its own `Ended`, stand in the `GaveUp` of the supervisor above.
 */
import * as Data from "effect/Data"
import { describe, type ExitReason } from "./ExitReason.ts"
import type { DelayEnded, IntensityExceeded } from "./RestartPolicy.ts"
import type { Status } from "./SupervisorState.ts"

/** An error and the path of the child that it ended, from the root down. */
export interface Origin<out Path extends string, out E> {
  readonly path: Path
  readonly error: E
}

/** The child died of something that it does not declare. */
export class Defect extends Data.TaggedError("Defect")<{ readonly defect: unknown }> {
  override get message(): string {
    return describe({ _tag: "Defect", defect: this.defect })
  }
}

/** A permanent child ended by itself, without an error, and its budget of restarts is spent. */
export class Ended extends Data.TaggedError("Ended")<{ readonly cause: string }> {
  override get message(): string {
    return `ended although it is permanent (${this.cause}); if that end is as planned, make it transient or temporary`
  }
}

/** Drops the JavaScript stack of an error that is made far from its cause: it would lead people into the machinery and away from the path. */
export const withoutStack = <E extends Error>(error: E): E => {
  error.stack = `${error.name}: ${error.message}`
  return error
}

interface StartFailedFacts {
  readonly at: Origin<string, unknown>
}

/** A child did not start, so its supervisor did not either; what had started was stopped again, in reverse order. */
export class StartFailed<out From extends Origin<string, unknown>> extends Data.TaggedError("StartFailed")<StartFailedFacts> {
  declare readonly at: From
  override get message(): string {
    return `${this.at.path} did not start: ${describe({ _tag: "Failed", error: this.at.error })}`
  }
}

interface GaveUpFacts {
  readonly path: string
  readonly because: Origin<string, unknown>
  readonly limit: unknown
  readonly escalated: ReadonlyArray<string>
  readonly incident: string
}

const sentenceOf = (limit: unknown): string =>
  limit instanceof Error ? limit.message : `the delay schedule refused: ${describe({ _tag: "Failed", error: limit })}`

/**
 * A supervisor gave up: the child at `because.path` needed a restart that the policy refused with `limit`. `Limit` is how the policy can
 * refuse: with its budget, with the end of its delay schedule, and with the errors that this schedule declares.
 */
export class GaveUp<out Path extends string, out From, out Limit = IntensityExceeded | DelayEnded>
  extends Data.TaggedError("GaveUp")<GaveUpFacts>
{
  declare readonly path: Path
  /** The error that set the incident off, where it happened. */
  declare readonly because: From & Origin<string, unknown>
  /** Why there was no further restart: `IntensityExceeded`, `DelayEnded` or the delay's own error. */
  declare readonly limit: Limit
  /** The supervisors below that gave up first, nearest to the origin first. */
  declare readonly escalated: ReadonlyArray<string>
  declare readonly incident: string
  override get message(): string {
    const via = this.escalated.length === 0 ? "" : ` (escalated through ${this.escalated.join(", ")})`
    return `supervisor ${this.path} gave up: ${sentenceOf(this.limit)}. ` +
      `Last reason, at ${this.because.path}${via}: ${describe({ _tag: "Failed", error: this.because.error })}`
  }
}

/** No child of that id. */
export class ChildNotFound extends Data.TaggedError("ChildNotFound")<{
  readonly supervisor: string
  readonly child: string
}> {
  override get message(): string {
    return `${this.supervisor} has no child "${this.child}". Either it never had one of that id, or the child was forgotten: temporary and ` +
      "dynamic children are when they end or are terminated. The ids that it has are in its tree"
  }
}

/** The child is there already, or not in a state that allows the call. */
export class ChildPresent extends Data.TaggedError("ChildPresent")<{
  readonly supervisor: string
  readonly child: string
  readonly status: Status["_tag"]
}> {
  override get message(): string {
    const [status, next] = whilePresent[this.status]
    return `${this.supervisor} has a child "${this.child}" already, and it is ${status}. ${next}`
  }
}

const whilePresent: Record<Status["_tag"], readonly [status: string, next: string]> = {
  Down: ["down", "Bring it back with restartChild, or free its id with deleteChild"],
  Starting: ["starting", "Wait until it is up, or call the start off with terminateChild"],
  Running: ["running", "To start it anew, terminateChild comes first"],
  Waiting: ["waiting for its restart", "Its supervisor brings it back by itself; terminateChild calls that off"],
  Stopping: ["stopping", "terminateChild returns when it is down"]
}

/** The dynamic supervisor holds as many children as it may. */
export class MaxChildren extends Data.TaggedError("MaxChildren")<{
  readonly supervisor: string
  readonly maxChildren: number
}> {
  override get message(): string {
    return `${this.supervisor} holds ${this.maxChildren} children, its maxChildren; those that restart or stop count too. ` +
      "Terminate one, or change the supervisor to one that may hold more"
  }
}

/** The supervisor is stopping, or has ended. */
export class SupervisorStopping extends Data.TaggedError("SupervisorStopping")<{ readonly supervisor: string }> {
  override get message(): string {
    return `${this.supervisor} is stopping or has ended, and takes no more orders. ` +
      "If the supervisor above starts it again, ask the handle of the new one"
  }
}

/** A child that was asked for did not start. */
export class ChildStartFailed extends Data.TaggedError("ChildStartFailed")<{
  readonly supervisor: string
  readonly child: string
  readonly reason: ExitReason
}> {
  override get message(): string {
    return `${this.supervisor}/${this.child} did not start, which no restart was counted for; ask again once the cause is cured. ` +
      `It said: ${describe(this.reason)}`
  }
}

/** The supervisor cannot go over to the new flags and specs while it runs; it goes on with those it has. */
export class ChangeRefused extends Data.TaggedError("ChangeRefused")<{
  readonly supervisor: string
  readonly why: string
}> {
  override get message(): string {
    return `${this.supervisor} was not changed: ${this.why}. It goes on as it was; for such a change stop it and start the new one`
  }
}
