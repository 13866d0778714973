/** What an application says about those who look at it: the section `telemetry` of its configuration. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export const TelemetryConfig = Schema.Struct({
  /**
   * Append every event, up to the stop of telemetry itself, to this file: one line of JSON each. The last lines that a worker wrote before its
   * end are in them. A new file is for this user alone (0600).
   */
  eventLog: Schema.optional(Schema.NonEmptyString),
  /**
   * `"on"`: `snakepit watch` of the same user finds this application and draws it, over a socket in the run's own folder, which nobody else may enter. On by
   * default: it costs nothing while nobody looks.
   */
  feed: Schema.Literals(["on", "off"]).pipe(Schema.withDecodingDefault(Effect.succeed("on" as const)))
}).pipe(Schema.withDecodingDefault(Effect.succeed({})))

/** The section, decoded. */
export type TelemetryConfig = typeof TelemetryConfig.Type
