/** What an application says about those who look at it: the section `telemetry` of its configuration. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { HistoryConfig } from "./history/HistoryConfig.ts"

export const TelemetryConfig = Schema.Struct({
  /**
   * Append every event, up to the stop of telemetry itself, to this file: one line of JSON each. The last lines that a worker wrote before its
   * end are in them. A new file is for this user alone (0600).
   */
  eventLog: Schema.optional(Schema.NonEmptyString),
  /** What supervision decides, kept for months: to ask what happened, to review limits, and to begin with the budgets that were left. */
  history: HistoryConfig
}).pipe(Schema.withDecodingDefault(Effect.succeed({})))

/** The section, decoded. */
export type TelemetryConfig = typeof TelemetryConfig.Type

/** What an application has that says nothing. */
export const defaults: TelemetryConfig = Schema.decodeUnknownSync(TelemetryConfig)({})
