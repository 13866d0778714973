/**
 * The events of a supervisor: one for each kind of decision, under the supervisor's own subject.
 *
 * **Details**
 *
 * `SupervisorEvent.of("worker_supervisor", "execution")` declares `snakepit.worker_supervisor.start`, `.restart`, `.recover`, `.leave`,
 * `.abandon`, `.terminate`, `.give_up`. One decision emits exactly one event. `incident` is the same on every event of one chain of exits,
 * restarts and escalations. `budgetLeft` is absent where there is no limit.
 *
 * Beside the decisions, {@link Standing} tells a sink that `watches` where each child stands: whoever hears it from the beginning knows the
 * tree as `Tree.SupervisorNode` has it. What one step of a supervisor changes of a child is told as one.
 */
import * as Schema from "effect/Schema"
import * as Event from "./Event.ts"
import * as Unit from "./Unit.ts"

const place = {
  /** The child, or the supervisor itself, from the root down: `snakepit/pools/default/fleet/3/process`. */
  path: Schema.String,
  pool: Schema.UndefinedOr(Schema.String),
  slot: Schema.UndefinedOr(Schema.Int)
}
const about = {
  ...place,
  /** What the supervisor has heard since its decision before, as JSON: see `Heard`. With it a replay decides again. Told to a sink that `watches`. */
  heard: Schema.UndefinedOr(Schema.String)
}
/** That the supervisor is part of as a child of the one above; `undefined`: of none. */
const incident = Schema.UndefinedOr(Schema.String)
const ofAChild = { child: Schema.String, generation: Schema.Int }
const aboutAChild = { ...about, ...ofAChild }
const budgetLeft = Unit.of(Schema.UndefinedOr(Schema.Finite), "{restart}")
const exit = { /** The tag of the exit reason. */ reason: Schema.String, /** For people. */ cause: Schema.String }
/** What the child was doing when it ended. */
const stage = Schema.Literals(["starting", "running"])

/** What {@link of} returns. */
export type SupervisorEvents = ReturnType<typeof of>

/** How a child stands, as it is told: as in `Tree`, or it is no child of its supervisor any more. */
export const Standing = Schema.Literals(["starting", "running", "waiting", "stopping", "down", "gone"])
export type Standing = typeof Standing.Type

/** The verbs of what is told to a sink that `watches`, and is no decision. */
export const observations: ReadonlySet<string> = new Set(["begin", "stand"])

/** Whether an event, by its name, only tells how a tree stands. */
export const isObservation = (name: string): boolean =>
  name.includes("_supervisor.") && observations.has(name.slice(name.lastIndexOf(".") + 1))

/** Declares the events of one kind of supervisor. */
export const of = <const Subject extends string>(subject: Subject, layer: Event.Layer) => ({
  begin: Event.declare({
    name: `snakepit.${subject}.begin`,
    layer,
    when: "a supervisor that is watched begins to start its children, or goes over to another strategy or limit while it runs",
    path: "{path}",
    measurements: {
      maxRestarts: Unit.of(Schema.UndefinedOr(Schema.Int), "{restart}"),
      withinMillis: Schema.UndefinedOr(Schema.Finite),
      budgetLeft
    },
    attributes: { ...place, strategy: Schema.Literals(["one_for_one", "one_for_all", "rest_for_one", "dynamic"]) }
  }),
  stand: Event.declare({
    name: `snakepit.${subject}.stand`,
    layer,
    when: "a child of a supervisor that is watched stands otherwise than before; at first, each in the order of its start",
    path: "{path}",
    measurements: {},
    attributes: { ...place, ...ofAChild, status: Standing, because: Schema.UndefinedOr(Schema.String) }
  }),
  start: Event.declare({
    name: `snakepit.${subject}.start`,
    layer,
    when: "all children are up",
    path: "{path}",
    measurements: { children: Unit.count("child") },
    attributes: { ...about, incident }
  }),
  restart: Event.declare({
    name: `snakepit.${subject}.restart`,
    layer,
    when: "a child ended and will be started again after the delay; its victims with it",
    path: "{path}",
    measurements: { delayMillis: Schema.Finite, budgetLeft, victims: Unit.count("child") },
    attributes: { ...aboutAChild, ...exit, stage, incident: Schema.String }
  }),
  recover: Event.declare({
    name: `snakepit.${subject}.recover`,
    layer,
    when: "a restarted child and all its victims are up again",
    path: "{path}",
    measurements: { tookMillis: Schema.Finite },
    attributes: { ...aboutAChild, incident: Schema.String }
  }),
  leave: Event.declare({
    name: `snakepit.${subject}.leave`,
    layer,
    when: "a child ended and its restart type calls for no other",
    path: "{path}",
    measurements: {},
    attributes: { ...aboutAChild, ...exit }
  }),
  abandon: Event.declare({
    name: `snakepit.${subject}.abandon`,
    layer,
    when: "a child did not stop within its time and is left behind; its finalizers go on",
    path: "{path}",
    measurements: {},
    attributes: { ...aboutAChild, ...exit }
  }),
  terminate: Event.declare({
    name: `snakepit.${subject}.terminate`,
    layer,
    when: "the supervisor begins to stop, or stops one child on request; planned, so it spends no budget",
    path: "{path}",
    measurements: {},
    attributes: { ...about, child: Schema.UndefinedOr(Schema.String), cause: Schema.String, incident }
  }),
  give_up: Event.declare({
    name: `snakepit.${subject}.give_up`,
    layer,
    when: "a child needs another restart and the policy refuses it; the failure goes to the parent",
    path: "{path}",
    measurements: { budgetLeft },
    attributes: { ...aboutAChild, ...exit, stage, refusedBy: Schema.Literals(["intensity", "delay"]), incident: Schema.String }
  })
})
