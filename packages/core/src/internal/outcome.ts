/** How the end of a supervisor looks to whoever started it: the typed error that crosses to the supervisor above. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { describe, type ExitReason } from "../ExitReason.ts"
import * as RestartPolicy from "../RestartPolicy.ts"
import * as SupervisorError from "../SupervisorError.ts"
import type { Outcome } from "../SupervisorState.ts"

export type Failure = SupervisorError.StartFailed<any> | SupervisorError.GaveUp<any, any>

export const failureOf = (outcome: Outcome, path: string, policy: RestartPolicy.Any): Effect.Effect<void, Failure> => {
  switch (outcome._tag) {
    case "Shutdown":
    case "AutoShutdown":
      return Effect.void
    case "StartFailed":
      return startFailed(outcome, path)
    case "Crashed":
      return Effect.die(new Error(`${path} crashed: its child "${outcome.child}" ignored a restart and could not be stopped`))
    case "GaveUp":
      return Effect.fail(gaveUp(outcome, path, policy))
  }
}

const startFailed = ({ child, reason }: Extract<Outcome, { _tag: "StartFailed" }>, path: string): Effect.Effect<void, Failure> => {
  if (reason._tag === "Defect") return Effect.die(reason.defect)
  if (reason._tag !== "Failed") return Effect.die(new Error(`${path}/${child} did not start: ${describe(reason)}`))
  const { error } = reason
  if (error instanceof SupervisorError.StartFailed && isBelow(error.at.path, `${path}/${child}`)) return Effect.fail(error)
  return Effect.fail(SupervisorError.withoutStack(new SupervisorError.StartFailed({ at: { path: `${path}/${child}`, error } })))
}

const gaveUp = (outcome: Extract<Outcome, { _tag: "GaveUp" }>, path: string, policy: RestartPolicy.Any): Failure => {
  const { child, incident, reason, refusal } = outcome
  const at = `${path}/${child}`
  const inner = reason._tag === "Failed" ? reason.error : undefined
  const escalation = inner instanceof SupervisorError.GaveUp && inner.path === at ? inner : undefined
  const because = escalation !== undefined
    ? escalation.because
    : inner instanceof SupervisorError.StartFailed && isBelow(inner.at.path, at)
    ? inner.at
    : { path: at, error: errorOf(reason) }
  const escalated = escalation === undefined ? [] : [...escalation.escalated, escalation.path]
  const limit = refusal === undefined ? RestartPolicy.intensityExceeded(policy) : refusal.error as { message: string }
  return SupervisorError.withoutStack(new SupervisorError.GaveUp({ path, because, limit, escalated, incident }))
}

/** A supervisor that a plain child runs for itself is not part of this tree: its errors are that child's own. */
const isBelow = (path: string, above: string): boolean => path.startsWith(`${above}/`)

/** An escalation keeps the incident of the exit that set it off. */
export const incidentOf = (exit: Exit.Exit<unknown, unknown>): string | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const reason = exit.cause.reasons.find(Cause.isFailReason)
  return reason?.error instanceof SupervisorError.GaveUp ? reason.error.incident : undefined
}

export const errorOf = (reason: ExitReason): unknown => {
  switch (reason._tag) {
    case "Failed": // what a monitor said is not among the errors that the child declares
      return reason.foreign === true ? new SupervisorError.Defect({ defect: reason.error }) : reason.error
    case "Defect":
      return new SupervisorError.Defect({ defect: reason.defect })
    default:
      return new SupervisorError.Ended({ cause: describe(reason) })
  }
}
