/**
 * A supervision tree, and a script for it, as plain data: what is generated, shrunk, printed and kept in a log.
 *
 * **When to use**
 *
 * To write a tree down without its children's code: {@link make} gives a tree for `Simulation`, in which stand-ins take the children's
 * places anyway. Plans survive JSON.
 *
 * **Details**
 *
 * Everything that a supervisor decides by is in the plan. The children of a dynamic supervisor are all planned alike: `template`, under
 * the keys in `initial` and under those that a script starts. A {@link Line} is a line of `Simulation`, but a child that it adds is a plan.
 *
 * **Gotchas**
 *
 * The children start nothing: a planned tree is for simulation.
 *
 * **Example** (A tree in a few lines)
 *
 * ```ts
 * import { Simulation } from "@snakepit/core"
 * import { TreePlan } from "@snakepit/core/testing"
 *
 * const child = { restart: "permanent", significant: false, shutdown: 5000, startMillis: 0, stopMillis: 0 } as const
 * const plan: TreePlan.SupervisorPlan = {
 *   id: "app",
 *   strategy: "rest_for_one",
 *   autoShutdown: "never",
 *   limit: { maxRestarts: 1, withinMillis: 5000 },
 *   delay: 100,
 *   restart: "permanent",
 *   shutdown: "infinity",
 *   children: [{ id: "db", ...child }, { id: "cache", ...child }]
 * }
 *
 * Simulation.simulate(TreePlan.make(plan), [Simulation.Line.Exit({ path: "app/db", how: "failed" })])
 * ```
 *
 * @see {@link ./Generate.ts}
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Child from "../Child.ts"
import * as DynamicSupervisor from "../DynamicSupervisor.ts"
import type { Limit } from "../Intensity.ts"
import * as RestartPolicy from "../RestartPolicy.ts"
import type { RestartType } from "../RestartType.ts"
import * as Simulation from "../Simulation.ts"
import * as Supervisor from "../Supervisor.ts"
import * as SupervisorEvent from "../SupervisorEvent.ts"
import type { AutoShutdown, Strategy } from "../SupervisorState.ts"

/** The time to stop that a child is given: milliseconds, without end, or none. */
export type Grace = number | "infinity" | "brutal"

/** The delay before a restart: constant milliseconds, or doubling from `base` up to `cap`. */
export type Delay = number | { readonly base: number; readonly cap: number }

/** A child that is no supervisor, and how its stand-in behaves. */
export interface ChildPlan {
  readonly id: string
  readonly restart: RestartType
  readonly significant: boolean
  readonly shutdown: Grace
  readonly startMillis: number
  readonly stopMillis: number | "forever"
}

interface AnySupervisorPlan {
  readonly id: string
  readonly limit: Limit | "unlimited"
  readonly delay: Delay
  /** How its own supervisor restarts it. */
  readonly restart: RestartType
  readonly shutdown: Grace
}

/** A supervisor with fixed children. */
export interface StaticPlan extends AnySupervisorPlan {
  readonly strategy: Strategy
  readonly autoShutdown: AutoShutdown
  readonly children: ReadonlyArray<NodePlan>
}

/** A supervisor whose children come and go. */
export interface DynamicPlan extends AnySupervisorPlan {
  readonly template: NodePlan
  readonly initial: ReadonlyArray<string>
  /** Absent: without a bound. */
  readonly maxChildren?: number | undefined
}

/** A supervisor of either kind. */
export type SupervisorPlan = StaticPlan | DynamicPlan

/** What can stand below a supervisor. */
export type NodePlan = ChildPlan | SupervisorPlan

/** A line of a script as data. */
export type Line =
  | Exclude<Simulation.Line, { readonly _tag: "StartChild" }>
  | { readonly _tag: "StartChild"; readonly path: string; readonly child?: ChildPlan | undefined }

/** A tree and what happens to it. */
export interface Case {
  readonly tree: SupervisorPlan
  readonly script: ReadonlyArray<Line>
}

/** A supervisor that fits under any other, and needs nothing. */
export type Tree = Supervisor.Supervisor<string, any, any, never, never>

/** Whether the planned supervisor is dynamic. */
export const isDynamic = (plan: SupervisorPlan): plan is DynamicPlan => "template" in plan

/** Whether a supervisor is planned, and not a child. */
export const isSupervisor = (plan: NodePlan): plan is SupervisorPlan => "limit" in plan

/** What the supervisors of every planned tree tell. */
export const events = SupervisorEvent.of("planned_supervisor", "root")

/** The tree of a plan. */
export const make = (plan: SupervisorPlan): Tree => {
  const common = {
    plane: "control",
    because: "it was planned so",
    limitBecause: "it was planned so",
    events,
    restartType: plan.restart,
    restart: RestartPolicy.make({
      intensity: plan.limit === "unlimited"
        ? "unlimited"
        : { maxRestarts: plan.limit.maxRestarts, within: Duration.millis(plan.limit.withinMillis) },
      delay: scheduleOf(plan.delay)
    })
  } as const
  const made: Supervisor.Any = isDynamic(plan)
    ? DynamicSupervisor.make(plan.id, {
      ...common,
      child: (key) => nodeOf({ ...plan.template, id: key }) as Tree,
      initial: Effect.succeed(plan.initial),
      maxChildren: plan.maxChildren
    })
    : Supervisor.make(plan.id, {
      ...common,
      strategy: plan.strategy,
      autoShutdown: plan.autoShutdown,
      children: plan.children.map((child) => nodeOf(child) as Tree)
    })
  return { ...made, shutdown: plan.shutdown } as Tree
}

const nodeOf = (plan: NodePlan): Child.Any => isSupervisor(plan) ? make(plan) : child(plan)

const scheduleOf = (delay: Delay): Schedule.Schedule<unknown> =>
  typeof delay === "number"
    ? Schedule.spaced(delay)
    : Schedule.min([Schedule.exponential(Duration.millis(delay.base)), Schedule.spaced(delay.cap)])

/** The child of a plan. */
export const child = (plan: ChildPlan): Child.Any => {
  const { id, restart, shutdown, significant, startMillis, stopMillis } = plan
  const made: Child.Any = Child.makeUnchecked(id, { start: simulatedOnly, restart, shutdown: graceOf(shutdown), significant }, undefined)
  return Simulation.behaving(made, { startMillis, stopMillis })
}

const graceOf = (grace: Grace): Child.Shutdown => typeof grace === "number" ? Duration.millis(grace) : grace

const simulatedOnly = Effect.die(new Error("a planned child has no code to start. Play its tree with Simulation"))

/** The line of a planned one. */
export const line = (planned: Line): Simulation.Line =>
  planned._tag === "StartChild"
    ? Simulation.Line.StartChild({ path: planned.path, child: planned.child && child(planned.child) })
    : planned

/** Plays a case. */
export const simulate = ({ script, tree }: Case): Simulation.Timeline => Simulation.simulate(make(tree), script.map(line))
