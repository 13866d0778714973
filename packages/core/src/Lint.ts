/**
 * Finds in a supervision tree what will not do what its author means: loops that never end, stops that are cut short, rules that cannot apply.
 *
 * **When to use**
 *
 * In a test of every tree: `assert.deepStrictEqual(Lint.of(tree), [])`.
 *
 * **Details**
 *
 * | rule                         | what is wrong                                                                                       |
 * | ---------------------------- | --------------------------------------------------------------------------------------------------- |
 * | `budget_never_spent`         | a child that dies at once restarts for ever: delays, or the lives of the supervisor below, are longer |
 * |                              | than the window can hold                                                                            |
 * | `slow_stop_drains_window`    | the same, when siblings use the time that they may take to stop (trap T-5, erlang/otp#4648)         |
 * | `backoff_restarts_itself`    | a delay is as long as `resetAfter`, so that the backoff starts over in the middle of a crash loop   |
 * | `escalation_multiplies`      | a crash-looping child is started more than `maxStarts` times before the root gives up               |
 * | `stays_down_silently`        | a transient supervisor that gives up stays down, as in OTP (`giveUp: "shutdown"`)                   |
 * | `supervisor_stop_is_limited` | a supervisor may be cut off while its own children still stop                                       |
 * | `stop_takes_too_long`        | the whole tree may take longer to stop than `stopWithin`                                            |
 * | `auto_shutdown_never_fires`  | there is no significant child, or a sibling's restart removes each of them (trap T-3)               |
 *
 * Each finding is proved: its message has the figures, and they are those that {@link ./Preview.ts} and a simulation give. `unlimited`
 * intensity is taken at its word, and a child's own `shutdown` up to 5 seconds, the default, as a limit that it does not use up.
 *
 * **Example** (A window that cannot fill)
 *
 * ```ts
 * import { Child, Lint, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
 * import { Effect, Schedule } from "effect"
 *
 * const tree = Supervisor.make("app", {
 *   plane: "control",
 *   strategy: "one_for_one",
 *   restart: RestartPolicy.make({ intensity: { maxRestarts: 5, within: "10 seconds" }, delay: Schedule.spaced("3 seconds") }),
 *   because: "an example",
 *   limitBecause: "an example",
 *   events: SupervisorEvent.of("app_supervisor", "root"),
 *   children: [Child.make("db", { start: Effect.succeed(Effect.never) })]
 * })
 *
 * Lint.of(tree).map(({ rule }) => rule) // => ["budget_never_spent"]
 * ```
 */
import * as Duration from "effect/Duration"
import { crashLoop, type Place, supervise } from "./internal/crashLoop.ts"
import * as Delays from "./internal/delays.ts"
import { groupOf, type Plan, type PlannedChild, planOf } from "./internal/plan.ts"
import type * as Supervisor from "./Supervisor.ts"

/** What is looked for. */
export type Rule =
  | "budget_never_spent"
  | "slow_stop_drains_window"
  | "backoff_restarts_itself"
  | "escalation_multiplies"
  | "stays_down_silently"
  | "supervisor_stop_is_limited"
  | "stop_takes_too_long"
  | "auto_shutdown_never_fires"

/** One thing that is wrong, where, and why it is certain. */
export interface Finding {
  readonly rule: Rule
  /** The supervisor or child that it is about. */
  readonly path: string
  readonly message: string
}

/** What {@link of} may be told. */
export interface Options {
  /** How often a child may be started before the root gives up; 10,000 by default. */
  readonly maxStarts?: number | undefined
  /** How long the whole tree may take to stop; not looked at by default. A container is often given 30 seconds. */
  readonly stopWithin?: Duration.Input | undefined
}

/** Looks through the tree: the findings in the order of the rules, each from the root down. */
export const of = (supervisor: Supervisor.Any, options: Options = {}): ReadonlyArray<Finding> => {
  const root = planOf(supervisor["~snakepit/core/Supervisor"])
  const { maxStarts = 10_000, stopWithin } = options // beyond it a loop is a load of its own, even without delays
  const places = placesOf(root, [])
  const plans = [root, ...places.flatMap(([{ child }]) => child.supervisor === undefined ? [] : [child.supervisor])]
  return [
    ...budgetNeverSpent(places),
    ...plans.flatMap(slowStopDrainsWindow),
    ...plans.flatMap(backoffRestartsItself),
    ...escalationMultiplies(places, maxStarts),
    ...places.flatMap(staysDownSilently),
    ...places.flatMap(supervisorStopIsLimited),
    ...(stopWithin === undefined ? [] : stopTakesTooLong(root, Duration.toMillis(Duration.fromInputUnsafe(stopWithin)))),
    ...plans.flatMap(autoShutdownNeverFires)
  ]
}

/** A child, its supervisor and all above it. */
type Line = readonly [Place, ...ReadonlyArray<Place>]

const placesOf = (plan: Plan, above: ReadonlyArray<Place>): ReadonlyArray<Line> =>
  plan.children.flatMap((child): ReadonlyArray<Line> => {
    const line: Line = [{ plan, child }, ...above]
    return [line, ...(child.supervisor === undefined ? [] : placesOf(child.supervisor, line))]
  })

const isLeaf = ([{ child }]: Line): boolean => child.supervisor === undefined

/** With the shortest delays there can be, so that what never ends with them never ends. */
const shortest = () => Delays.chance("lowest")

const budgetNeverSpent = (places: ReadonlyArray<Line>): ReadonlyArray<Finding> => {
  const findings = new Map<string, Finding>()
  for (const line of places.filter(isLeaf)) {
    const { ending } = crashLoop(line, shortest())
    const at = line.findIndex(({ plan }) => plan.path === ending.path)
    if (ending._tag !== "Never" || findings.has(ending.path)) continue
    const { child, plan: { path, spec: { restart: { limit } } } } = line[at]!
    if (limit === "unlimited") continue
    const lives = at === 0
      ? `${child.path} waits too long before its restarts`
      : `when ${line[0].child.path} dies at once, ${child.path} gives up only after ${crashLoop(line.slice(0, at), shortest()).millis} ms`
    findings.set(path, {
      rule: "budget_never_spent",
      path,
      message:
        `${lives}: no ${limit.withinMillis} ms ever hold more than ${limit.maxRestarts} restarts, so it restarts for ever and ${path} ` +
        `never gives up. Lengthen the window, shorten the delays, or say "unlimited" if that is meant`
    })
  }
  return [...findings.values()]
}

const escalationMultiplies = (places: ReadonlyArray<Line>, maxStarts: number): ReadonlyArray<Finding> => {
  const findings = new Map<string, Finding>()
  for (const line of places.filter(isLeaf)) {
    const [{ child, plan: { path } }] = line
    const { ending, starts } = crashLoop(line, shortest())
    if (ending._tag === "Never" || ending._tag === "Unknown" || starts <= maxStarts || findings.has(path)) continue
    findings.set(path, {
      rule: "escalation_multiplies",
      path,
      message: `when ${child.path} dies at once it is started ${starts} times before ${ending.path} ends, because each supervisor above ` +
        `it restarts the one below with a full budget. Lower the limits, or have fewer levels that restart`
    })
  }
  return [...findings.values()]
}

const dies = (): ReturnType<typeof supervise> => ({ starts: 1, millis: 0, ending: { _tag: "GivesUp", path: "" } })

/** A child that is a leaf to its supervisor, and is restarted. */
const restarted = ({ children }: Plan): PlannedChild | undefined => children.find(({ child }) => child.restart !== "temporary")

const trusted = 5_000 // the default `shutdown`, which says nothing about how long a stop takes

const slowStopDrainsWindow = (plan: Plan): ReadonlyArray<Finding> => {
  const { path, spec: { restart: { limit } } } = plan
  if (limit === "unlimited") return []
  for (const child of plan.children.filter(({ child }) => child.restart !== "temporary")) {
    const slow = groupOf(plan, child).filter((victim) => victim !== child && slowStopOf(victim) > 0)
    const millis = slow.reduce((sum, victim) => sum + slowStopOf(victim), 0)
    if (millis === 0 || supervise({ plan, child }, dies, shortest(), 0).ending._tag !== "GivesUp") continue
    if (supervise({ plan, child }, dies, shortest(), 0, millis).ending._tag !== "Never") continue
    return [{
      rule: "slow_stop_drains_window",
      path,
      message: `each restart of ${child.path} first stops ${
        slow.map((victim) => victim.path).join(", ")
      }, which may take ${millis} ms: then ` +
        `no ${limit.withinMillis} ms hold more than ${limit.maxRestarts} restarts, and ${path} never gives up. ` +
        `Shorten their shutdown or lengthen the window`
    }]
  }
  return []
}

/** Milliseconds that its leaves may take beyond what is trusted, one after the other. */
const slowStopOf = ({ child, supervisor }: PlannedChild): number => {
  if (supervisor !== undefined) return supervisor.children.reduce((sum, below) => sum + slowStopOf(below), 0)
  return typeof child.shutdown === "number" && child.shutdown > trusted ? child.shutdown : 0
}

const backoffRestartsItself = (plan: Plan): ReadonlyArray<Finding> => {
  const { path, semantics, spec: { restart: { resetAfterMillis } } } = plan
  const child = restarted(plan)
  if (child === undefined || semantics.delay === "none") return []
  const delays: Array<number> = []
  supervise({ plan, child }, dies, shortest(), 0, 0, delays)
  const at = delays.findIndex((delay) => delay >= resetAfterMillis)
  const isFollowed = at < delays.length - 1
  if (at < 1 || !isFollowed || delays[at] === delays[0]) return []
  return [{
    rule: "backoff_restarts_itself",
    path,
    message:
      `the delay before restart ${at + 1} of a crash loop is ${delays[at]} ms, and resetAfter is ${resetAfterMillis} ms: the wait itself ` +
      `counts as time without a crash, so the next delay is ${delays[at + 1]} ms again. Give resetAfter more than the longest delay`
  }]
}

const staysDownSilently = ([{ child, plan }]: Line): ReadonlyArray<Finding> => {
  const { supervisor } = child
  if (supervisor === undefined || child.child.restart !== "transient" || plan.semantics.giveUp !== "shutdown") return []
  if (supervisor.spec.restart.limit === "unlimited") return []
  return [{
    rule: "stays_down_silently",
    path: child.path,
    message:
      `${child.path} is transient, and giving up counts as a clean exit for ${plan.path}: once it gives up it stays down and nobody is ` +
      `told. Make it permanent, or give ${plan.path} semantics with giveUp: "abnormal"`
  }]
}

const supervisorStopIsLimited = ([{ child }]: Line): ReadonlyArray<Finding> => {
  const { child: { shutdown }, path, supervisor } = child
  if (supervisor === undefined || shutdown === "infinity") return []
  const limit = shutdown === "brutal" ? "not waited for" : `given ${shutdown} ms`
  return [{
    rule: "supervisor_stop_is_limited",
    path,
    message: `${path} is a supervisor, and its stop is ${limit}; its children may need ${stopOf(supervisor)} ms. What still runs then ` +
      `is let go of all at once, in no order. Use shutdown: "infinity" and limit the children instead`
  }]
}

const stopTakesTooLong = (root: Plan, within: number): ReadonlyArray<Finding> => {
  const millis = stopOf(root)
  return millis <= within ? [] : [{
    rule: "stop_takes_too_long",
    path: root.path,
    message: `${root.path} may take ${millis} ms to stop, its children one after the other, and has ${within} ms. Shorten their shutdown`
  }]
}

/** The longest stop: in turn under a static supervisor, all at once under a dynamic one. */
const stopOf = ({ children, spec }: Plan): number => {
  const times = children.map(({ child: { shutdown }, supervisor }) => {
    const allowed = shutdown === "infinity" ? Number.POSITIVE_INFINITY : shutdown === "brutal" ? 0 : shutdown
    return supervisor === undefined ? allowed : Math.min(allowed, stopOf(supervisor))
  })
  return spec.template === undefined ? times.reduce((sum, time) => sum + time, 0) : Math.max(0, ...times)
}

const autoShutdownNeverFires = (plan: Plan): ReadonlyArray<Finding> => {
  const { children, path, spec: { autoShutdown } } = plan
  if (autoShutdown === "never") return []
  const significant = children.filter(({ child }) => child.significant)
  const removers = significant.map((child) =>
    child.child.restart !== "temporary" ?
      undefined :
      children.find((other) => other !== child && other.child.restart !== "temporary" && groupOf(plan, other).includes(child))
  )
  if (removers.includes(undefined)) return []
  const why = significant.length === 0
    ? "it has no significant child"
    : `a restart of ${removers.map((remover) => remover!.path).join(", ")} removes ${significant.map((child) => child.path).join(", ")}: ` +
      `a temporary child that a sibling's restart stops does not come back, and its end does not count`
  return [{
    rule: "auto_shutdown_never_fires",
    path,
    message: `autoShutdown is "${autoShutdown}", but ${why}. Make ${
      significant.length === 0 ? "a" : "the"
    } significant child transient, or drop autoShutdown`
  }]
}
