/**
 * When a change of a key takes effect: an annotation of the key in its Schema.
 *
 * | class     | a change of the key                                                                                  |
 * | --------- | ---------------------------------------------------------------------------------------------------- |
 * | `live`    | is used from then on: by workers that run, and for calls that are made from then on                  |
 * | `scale`   | adds or takes away workers or spares; those that stay are not touched                                |
 * | `roll`    | is for new processes: the workers of the pool are replaced one by one, without losing a call         |
 * | `restart` | is for the next start of the program                                                                 |
 *
 * **Details**
 *
 * A section's class is that of the keys in it, but for those that have their own. Every key has one: a test sees to it.
 *
 * **Example** (A section whose keys apply live, but for one)
 *
 * ```ts
 * import { ReloadClass } from "@snakepit/pool"
 * import { Schema } from "effect"
 *
 * const Launch = Schema.Struct({
 *   launch: ReloadClass.live(Schema.Struct({ concurrency: Schema.Int, spares: ReloadClass.scale(Schema.Int) }))
 * })
 * ```
 */
import type * as Schema from "effect/Schema"

export type ReloadClass = "live" | "scale" | "roll" | "restart"

/** What a key's annotations say. */
export interface Reload {
  readonly class?: ReloadClass
  /** Why it takes a restart. */
  readonly because?: string
  /** Its value is shown to nobody. */
  readonly secret?: boolean
}

/** Where it stands among a key's annotations. */
export const annotation = "~snakepit/pool/Reload"

const is = (reload: Reload) => <S extends Schema.Top>(self: S): S["Rebuild"] => self.annotateKey({ [annotation]: reload })

/** A change is used from then on. */
export const live = is({ class: "live" })
/** A change adds or takes away workers or spares. */
export const scale = is({ class: "scale" })
/** A change replaces the workers of the pool. */
export const roll = is({ class: "roll" })
/** A change is for the next start of the program, and why. */
export const restart = (because: string) => is({ class: "restart", because })
/** The value is shown to nobody: in no message, event or plan. */
export const secret = is({ secret: true })
