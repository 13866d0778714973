/** What is measured of supervisors, declared. `SupervisorFold.ts` counts it from events, `TreeReading.ts` reads it from the tree. */
import { type ExitReason, Instrument } from "@snakepit/core"

/** Kinds of supervisors, each the subject of its events: `worker` is `snakepit.worker_supervisor.*`. `own`: of the application's own, below a worker. */
export const kinds = [
  "root",
  "foundation",
  "telemetry",
  "bridge",
  "pools",
  "pool",
  "control",
  "launcher",
  "fleet",
  "worker",
  "own"
] as const

export type Kind = typeof kinds[number]

/** The kinds of which each pool has its own. */
export const kindsOfPools: ReadonlyArray<Kind> = ["pool", "control", "launcher", "fleet", "worker", "own"]

/** The supervisors of one kind in one pool; above the pools that is empty. */
export const keyOf = (supervisor: Kind, pool: string): string => `${supervisor} ${pool}`

/** The tags of exits. */
export const reasons: ReadonlyArray<ExitReason.ExitReason["_tag"]> = ["Normal", "Shutdown", "Killed", "Failed", "Defect"]

export const childStates = ["starting", "running", "waiting", "stopping", "down"] as const

const supervisor = { labels: ["supervisor", "pool"], values: { supervisor: kinds } } as const

/** The kinds have layers of their own; the metric is of who tells of them all. */
const layer = "telemetry"

export const restarts = Instrument.declare({
  layer,
  name: "snakepit.supervisor.restarts",
  kind: "counter",
  unit: "{restart}",
  description:
    "restarts that an exit of a child called for, by the supervisor's kind and how the child ended; `pool` is empty above the pools",
  labels: ["supervisor", "pool", "reason"],
  values: { supervisor: kinds, reason: reasons }
})

export const giveUps = Instrument.declare({
  ...supervisor,
  layer,
  name: "snakepit.supervisor.give_ups",
  kind: "counter",
  unit: "{give_up}",
  description: "times that a supervisor's limit was reached, and the failure went to its parent"
})

export const budgetLeft = Instrument.declare({
  ...supervisor,
  layer,
  name: "snakepit.supervisor.budget.left",
  kind: "gauge",
  unit: "1",
  description:
    "restarts that are left before the supervisor gives up, by those it may need: the least within the last minute, of all of a kind in a pool. " +
    "1 where there is no limit, and where none is up: the next begins with all of it"
})

export const children = Instrument.declare({
  layer,
  name: "snakepit.supervisor.children",
  kind: "gauge",
  unit: "{child}",
  description: "children of the supervisors of one kind, in all pools, by how they stand",
  labels: ["supervisor", "state"],
  values: { supervisor: kinds, state: childStates }
})

export const declarations: ReadonlyArray<Instrument.Declaration> = [restarts, giveUps, budgetLeft, children]
