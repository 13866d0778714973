/**
 * Why a child is no longer running: a closed union, the counterpart of an Erlang exit reason.
 *
 * **Details**
 *
 * | reason     | class    | OTP                    | when                                                            |
 * | ---------- | -------- | ---------------------- | --------------------------------------------------------------- |
 * | `Normal`   | clean    | `normal`               | its life ended by itself, without a failure                     |
 * | `Shutdown` | clean    | `shutdown`             | its supervisor stopped it, or it was interrupted                |
 * | `Killed`   | abnormal | `killed`               | it did not stop within its grace and was abandoned              |
 * | `Failed`   | abnormal | any other term         | its start or its life failed with its own typed error           |
 * | `Defect`   | abnormal | an exception with stack | it died of something that it does not declare                  |
 *
 * @see {@link ./RestartType.ts} for what a supervisor does with each.
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"

/** Why a child is no longer running; `E` is the child's own typed error. */
export type ExitReason<E = unknown> =
  | { readonly _tag: "Normal" }
  | { readonly _tag: "Shutdown"; readonly why: string }
  | { readonly _tag: "Killed"; readonly graceMillis: number }
  /** `foreign` when the error is not the child's own: a monitor gave it (`failChild`). */
  | { readonly _tag: "Failed"; readonly error: E; readonly foreign?: true }
  | { readonly _tag: "Defect"; readonly defect: unknown }

interface ExitReasonDefinition extends Data.TaggedEnum.WithGenerics<1> {
  readonly taggedEnum: ExitReason<this["A"]>
}

/** Constructors and matchers: `ExitReason.Failed({ error })`, `ExitReason.$match(reason, {...})`. */
export const ExitReason = Data.taggedEnum<ExitReasonDefinition>()

/** OTP's class of the reason: abnormal reasons restart a transient child, clean ones do not. */
export const isAbnormal = (reason: ExitReason): boolean => reason._tag !== "Normal" && reason._tag !== "Shutdown"

/** Reads the exit of a fiber. A failure wins over a defect, a defect over an interruption. */
export const fromExit = <E>(exit: Exit.Exit<unknown, E>): ExitReason<E> => {
  if (Exit.isSuccess(exit)) return { _tag: "Normal" }
  const error = Cause.findErrorOption(exit.cause)
  if (Option.isSome(error)) return { _tag: "Failed", error: error.value }
  if (Cause.hasInterruptsOnly(exit.cause)) return { _tag: "Shutdown", why: "interrupted" }
  return { _tag: "Defect", defect: Cause.squash(exit.cause) }
}

const messageOf = (error: unknown): string => {
  if (typeof error !== "object" || error === null) return String(error)
  const tag = "_tag" in error && typeof error._tag === "string" ? error._tag : error.constructor.name
  const message = "message" in error && typeof error.message === "string" ? error.message : ""
  return message === "" || message === tag ? tag : `${tag}: ${message}`
}

/** One line for people: `"killed: did not stop within 5000 ms"`. */
export const describe = (reason: ExitReason): string => {
  switch (reason._tag) {
    case "Normal":
      return "ended by itself"
    case "Shutdown":
      return `shut down: ${reason.why}`
    case "Killed":
      return `killed: did not stop within ${reason.graceMillis} ms`
    case "Failed":
      return messageOf(reason.error)
    case "Defect":
      return `defect: ${messageOf(reason.defect)}`
  }
}
