/**
 * A name under which a child makes itself known to others, as with OTP's `register/2` and `whereis/1`.
 *
 * **When to use**
 *
 * When a child's service is used by others that outlive it: they look the name up at each use and so always meet the current
 * generation, or learn that there is none at the moment.
 *
 * **Gotchas**
 *
 * Do not keep what `whereis` returned across a wait: it may be of a generation that is gone by then.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A name, and who is registered under it now. `current` is for synchronous readers on a hot path. */
export interface RegisteredName<A> {
  readonly name: string
  current: A | undefined
  /** Who was registered last, kept while the name is free: for plain data, such as a configuration, that outlives whoever serves it. */
  latest: A | undefined
}

/** Nobody is registered under the name: its child is being restarted, or was never started. */
export class NotRegistered extends Data.TaggedError("NotRegistered")<{ readonly name: string }> {
  override get message(): string {
    return `nobody is registered as "${this.name}": its child is being restarted, or its supervisor is down. Ask again after the restart`
  }
}

/** A name that nobody is registered under yet. */
export const make = <A>(name: string): RegisteredName<A> => ({ name, current: undefined, latest: undefined })

/** Registers `value` until the scope closes. A later registration under the same name wins. */
export const register = <A>(name: RegisteredName<A>, value: NoInfer<A>): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      name.current = value
      name.latest = value
    }),
    () =>
      Effect.sync(() => {
        if (name.current === value) name.current = undefined
      })
  )

/** Who is registered under the name at this moment. */
export const whereis = <A>(name: RegisteredName<A>): Effect.Effect<A, NotRegistered> =>
  Effect.suspend(() => name.current === undefined ? Effect.fail(new NotRegistered({ name: name.name })) : Effect.succeed(name.current))
