/** The host was not started: it has died more often than the budget of its root allows. */
import * as Schema from "effect/Schema"

const time = (millis: number): string => new Date(millis).toISOString()

export class StartedTooOften extends Schema.TaggedError<StartedTooOften>()("StartedTooOften", {
  /** Whose deaths were counted. */
  host: Schema.String,
  /** Where they stand: the file, or the database without its password. */
  store: Schema.String,
  /** Ends that were not in order, and restarts of the root's children, in Unix milliseconds, oldest first. */
  deaths: Schema.Array(Schema.Finite),
  restarts: Schema.Array(Schema.Finite),
  maxRestarts: Schema.Int,
  withinMillis: Schema.Finite,
  /** When a start is allowed again, in Unix milliseconds. */
  allowedAt: Schema.Finite
}) {
  override get message(): string {
    const { allowedAt, deaths, host, maxRestarts, restarts, store, withinMillis } = this
    const ends = `${deaths.length} of its runs ended without order (killed, crashed, given up, or not come up: ${
      deaths.map(time).join(", ")
    })`
    const others = restarts.length === 0 ? "" : `, and its root restarted ${restarts.length} times`
    return `the host ${host} was not started: within ${
      withinMillis / 1000
    } s ${ends}${others}, and the budget of its root allows ${maxRestarts}. ` +
      `It may start again at ${
        time(allowedAt)
      }: let the service manager wait that long (RestartSec=). What happened is in the history, ${store}: ` +
      "`snakepit history runs`. To start at once, set telemetry.history.resumeBudgets to false"
  }
}
