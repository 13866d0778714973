/** The events of the telemetry layer itself. */
import { Event, SupervisorEvent } from "@snakepit/core"
import * as Schema from "effect/Schema"

export const telemetry_supervisor = SupervisorEvent.of("telemetry_supervisor", "telemetry")

/** The file, or the database without its password. */
const store = { store: Schema.String }

export const history_open = Event.declare({
  name: "snakepit.history.open",
  layer: "telemetry",
  when: "the history can be written",
  measurements: { tookMillis: Schema.Finite },
  attributes: store
})

export const history_set_aside = Event.declare({
  name: "snakepit.history.set_aside",
  layer: "telemetry",
  when: "the file of the history was damaged: it has another name now, and a new one is begun",
  measurements: {},
  attributes: { ...store, aside: Schema.String }
})

export const history_gap = Event.declare({
  name: "snakepit.history.gap",
  layer: "telemetry",
  when: "the history can be written again, and so many events before this one were lost meanwhile",
  measurements: { dropped: Schema.Int },
  attributes: {}
})

export const history_off = Event.declare({
  name: "snakepit.history.off",
  layer: "telemetry",
  when: "nothing is recorded, because there is no place for it",
  measurements: {},
  attributes: { cause: Schema.String }
})

export const history_resume = Event.declare({
  name: "snakepit.history.resume",
  layer: "telemetry",
  when: "restart budgets begin with what was spent of them before this start",
  measurements: { supervisors: Schema.Int, restarts: Schema.Int, deaths: Schema.Int },
  attributes: store
})

export const history_unread = Event.declare({
  name: "snakepit.history.unread",
  layer: "telemetry",
  when: "the history could not be read before the start, so restart budgets begin whole",
  measurements: {},
  attributes: { ...store, cause: Schema.String }
})

/** Everything this package emits. */
export const declarations: ReadonlyArray<Event.Declaration> = [
  ...Object.values(telemetry_supervisor),
  history_open,
  history_set_aside,
  history_gap,
  history_off,
  history_resume,
  history_unread
]
