/** The events of the telemetry layer itself. */
import { Event, SupervisorEvent, Unit } from "@snakepit/core"
import * as Schema from "effect/Schema"

export const telemetry_supervisor = SupervisorEvent.of("telemetry_supervisor", "telemetry")

const handler = { handler: Schema.String, pattern: Schema.String }

export const event_handler_drop = Event.declare({
  name: "snakepit.event_handler.drop",
  layer: "telemetry",
  when:
    "a handler of events is so slow that its queue has dropped some: so many since it was attached. At most once in 10 s for each handler",
  path: "snakepit/telemetry",
  measurements: { dropped: Unit.count("event") },
  attributes: handler
})

export const event_handler_fail = Event.declare({
  name: "snakepit.event_handler.fail",
  layer: "telemetry",
  when:
    "a handler of events threw, failed or rejected, for the time that `failed` says since it was attached. At most once in 10 s for each handler",
  path: "snakepit/telemetry",
  measurements: { failed: Unit.count("event") },
  attributes: { ...handler, /** At which it failed. */ event: Schema.String, cause: Schema.String }
})

export const metrics_endpoint_start = Event.declare({
  name: "snakepit.metrics_endpoint.start",
  layer: "telemetry",
  when: "the metrics can be scraped at `address`, as `resource`",
  path: "snakepit/telemetry/metrics_endpoint",
  measurements: {},
  attributes: { address: Schema.String, /** The path of its URL. */ resource: Schema.String }
})

export const otlp_drop = Event.declare({
  name: "snakepit.otlp.drop",
  layer: "telemetry",
  when: "spans, log records or metric points did not reach the collector: it refused them (`status`), or more waited for it than is kept",
  path: "snakepit/telemetry",
  measurements: { items: Unit.count("item"), status: Unit.of(Schema.UndefinedOr(Schema.Int), "1") },
  attributes: { signal: Schema.Literals(["traces", "logs", "metrics"]), reason: Schema.Literals(["refused", "full"]) }
})

/** The file, or the database without its password. */
const store = { store: Schema.String }

export const history_open = Event.declare({
  name: "snakepit.history.open",
  layer: "telemetry",
  when: "the history can be written",
  path: "snakepit/telemetry/history",
  measurements: { tookMillis: Schema.Finite },
  attributes: store
})

export const history_set_aside = Event.declare({
  name: "snakepit.history.set_aside",
  layer: "telemetry",
  when: "the file of the history was damaged: it has another name now, and a new one is begun",
  path: "snakepit/telemetry/history",
  measurements: {},
  attributes: { ...store, aside: Schema.String }
})

export const history_gap = Event.declare({
  name: "snakepit.history.gap",
  layer: "telemetry",
  when: "the history can be written again, and so many events before this one were lost meanwhile",
  path: "snakepit/telemetry/history",
  measurements: { dropped: Unit.count("event") },
  attributes: {}
})

export const history_off = Event.declare({
  name: "snakepit.history.off",
  layer: "telemetry",
  when: "nothing is recorded, because there is no place for it",
  path: "snakepit/telemetry/history",
  measurements: {},
  attributes: { cause: Schema.String }
})

export const history_resume = Event.declare({
  name: "snakepit.history.resume",
  layer: "telemetry",
  when: "restart budgets begin with what was spent of them before this start",
  path: "snakepit/telemetry/history",
  measurements: { supervisors: Unit.count("supervisor"), restarts: Unit.count("restart"), deaths: Unit.count("death") },
  attributes: store
})

export const history_unread = Event.declare({
  name: "snakepit.history.unread",
  layer: "telemetry",
  when: "the history could not be read before the start, so restart budgets begin whole",
  path: "snakepit/telemetry/history",
  measurements: {},
  attributes: { ...store, cause: Schema.String }
})

/** Everything this package emits. */
export const declarations: ReadonlyArray<Event.Declaration> = [
  ...Object.values(telemetry_supervisor),
  event_handler_drop,
  event_handler_fail,
  metrics_endpoint_start,
  otlp_drop,
  history_open,
  history_set_aside,
  history_gap,
  history_off,
  history_resume,
  history_unread
]
