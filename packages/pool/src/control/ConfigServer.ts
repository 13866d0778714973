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

export const child = <S extends Schema.Codec<unknown, unknown>>({ input, name, schema }: Options<S>) =>
  Child.make("config_server", {
    start: Schema.decodeUnknownEffect(schema)(input, { onExcessProperty: "error", errors: "all" }).pipe(
      Effect.mapError((error) => new ConfigInvalid({ issue: error.message })),
      Effect.flatMap((config) => RegisteredName.register(name, config)),
      Effect.as(Effect.never)
    )
  })
