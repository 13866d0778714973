/** The events of processes and of what holds them. */
import { Event } from "@snakepit/core"
import * as Schema from "effect/Schema"

const worker = { pool: Schema.String, slot: Schema.Int, generation: Schema.Int, pid: Schema.Int }

export const reaper_start = Event.declare({
  name: "snakepit.reaper.start",
  layer: "control",
  when: "a pool's Reaper is up; `subreaper` says whether it keeps orphans",
  measurements: {},
  attributes: { pool: Schema.String, pid: Schema.Int, subreaper: Schema.Boolean }
})

export const process_start = Event.declare({
  name: "snakepit.process.start",
  layer: "execution",
  when: "a worker's process has imported its adapter and listens",
  measurements: { tookMillis: Schema.Finite },
  attributes: worker
})

export const process_exit = Event.declare({
  name: "snakepit.process.exit",
  layer: "execution",
  when: "a worker's process ended, asked for (`planned`) or not",
  measurements: {},
  attributes: {
    ...worker,
    planned: Schema.Boolean,
    code: Schema.UndefinedOr(Schema.Int),
    signal: Schema.UndefinedOr(Schema.String)
  }
})

export const process_leak = Event.declare({
  name: "snakepit.process.leak",
  layer: "execution",
  when: "a worker's process is still there after SIGKILL and a wait; it is likely stuck in the kernel",
  measurements: {},
  attributes: worker
})

/** Everything this package emits. */
export const declarations: ReadonlyArray<Event.Declaration> = [reaper_start, process_start, process_exit, process_leak]
