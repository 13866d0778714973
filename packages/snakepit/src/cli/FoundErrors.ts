/** How a command ends that has printed what is wrong. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"

/** What is wrong has been printed: the program only ends with 1. */
export class FoundErrors extends Error {
  readonly _tag = "FoundErrors"
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = false
}

/** Prints what it fails with, and ends with 1 then. */
export const orTell = <A, R>(effect: Effect.Effect<A, { readonly message: string }, R>): Effect.Effect<A, FoundErrors, R> =>
  Effect.catch(effect, ({ message }) => Effect.andThen(Console.error(message), Effect.fail(new FoundErrors())))
