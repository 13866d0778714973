/**
 * Holds the configuration that everything else starts from: checked against its Schema before anything starts, registered under a name.
 */
import { Child, RegisteredName } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** The configuration does not fit its Schema. */
export class ConfigInvalid extends Schema.TaggedError<ConfigInvalid>()("ConfigInvalid", { issue: Schema.String }) {
  override get message(): string {
    return `the configuration is not valid, and nothing was started. ${this.issue}`
  }
}

/** What {@link child} takes. */
export interface Options<S extends Schema.Codec<unknown, unknown>> {
  readonly schema: S
  /** The configuration as the user wrote it. */
  readonly input: unknown
  readonly name: RegisteredName.RegisteredName<S["Type"]>
}

/** The configuration, checked. Unknown fields are mistakes. */
export const decode = <S extends Schema.Codec<unknown, unknown>>(schema: S, input: unknown): Effect.Effect<S["Type"], ConfigInvalid> =>
  Effect.mapError(
    Schema.decodeUnknownEffect(schema)(input, { onExcessProperty: "error", errors: "all" }),
    (error) => new ConfigInvalid({ issue: error.message })
  )

export const child = <S extends Schema.Codec<unknown, unknown>>({ input, name, schema }: Options<S>) =>
  Child.make("config_server", {
    start: decode(schema, input).pipe(
      Effect.flatMap((config) => RegisteredName.register(name, config)),
      Effect.as(Effect.never)
    )
  })
