/** What an application says about those who look at it: the section `telemetry` of its configuration. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { OtlpConfig } from "./export/OtlpConfig.ts"
import { PrometheusConfig } from "./export/PrometheusConfig.ts"
import { HistoryConfig } from "./history/HistoryConfig.ts"

export const TelemetryConfig = Schema.Struct({
  /**
   * Append every event that is news, up to the stop of telemetry itself, to this file: one line of JSON each. Samples are none. The last lines that a worker wrote before its
   * end are in them. A new file is for this user alone (0600).
   */
  eventLog: Schema.optional(Schema.NonEmptyString),
  /**
   * `"off"`: `snakepit watch` cannot look at this application. It does so over a socket in the run's own folder, which no other user may enter. When left out it is on:
   * it costs nothing while nobody looks.
   */
  feed: Schema.optional(Schema.Literals(["on", "off"])),
  /** Serves the metrics to Prometheus, at `/metrics`. When left out nothing listens. */
  prometheus: Schema.optional(PrometheusConfig),
  /** Sends traces, logs and metrics to a collector, over OTLP/HTTP. When left out nothing is sent; `{}` leaves everything to the environment. */
  otlp: Schema.optional(OtlpConfig),
  /** What supervision decides, kept for months: to ask what happened, to review limits, and to begin with the budgets that were left. */
  history: HistoryConfig
}).pipe(Schema.withDecodingDefault(Effect.succeed({})))

/** The section, decoded. */
export type TelemetryConfig = typeof TelemetryConfig.Type

/** With everything that there may be: what a contract without a configuration shows. */
export const everything: TelemetryConfig = Schema.decodeUnknownSync(TelemetryConfig)({ prometheus: {}, otlp: {} })
