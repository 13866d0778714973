/**
 * A run written down as a log of plain JSON, and the same tree made to go through it again, decision by decision.
 *
 * **When to use**
 *
 * To keep a failure as a file beside its test; to see what a change of a tree, of its limits or of this package does to runs that were
 * recorded before it. {@link record} writes a log from a timeline, {@link play} replays one and returns where the runs part;
 * {@link playOnTestClock} does so beside whatever else a test runs on its `TestClock`.
 *
 * **Details**
 *
 * A log holds what happened to the tree, each line at its time; the delays that its restart policies gave, so that jitter replays as it
 * fell; and every decision as the event that told it. The replay runs the real engine: {@link play} on virtual time of its own, without a
 * fiber and without waiting, {@link playOnTestClock} on the fibers and the clock of the test.
 *
 * **Gotchas**
 *
 * Events hold the messages of errors: a changed message is a divergence. A supervisor that a script adds to a static one has no plan, and
 * cannot be written down.
 *
 * **Example** (A failure that must not come back)
 *
 * ```ts
 * import { Simulation, type Supervisor } from "@snakepit/core"
 * import { Replay } from "@snakepit/core/testing"
 *
 * declare const app: Supervisor.Any
 *
 * const timeline = Simulation.simulate(app, [Simulation.Line.Exit({ path: "app/db", how: "failed" })])
 * const file = JSON.stringify(Replay.record(timeline))
 *
 * Replay.play(app, JSON.parse(file)) // => undefined: nothing has changed
 * ```
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import type * as Child from "../Child.ts"
import type * as Event from "../Event.ts"
import * as Interpreter from "../internal/interpreter.ts"
import { behaviourOf } from "../internal/standIn.ts"
import * as Simulation from "../Simulation.ts"
import type * as Supervisor from "../Supervisor.ts"
import * as TreePlan from "./TreePlan.ts"

/** What a restart policy answered: milliseconds, or that there shall be no restart. */
export type Delay = number | "refused"

/** A run as plain data. Times are in milliseconds from the boot. */
export interface Log {
  readonly script: ReadonlyArray<{ readonly at: number; readonly line: TreePlan.Line }>
  /** By the path of the supervisor, in the order they were asked for. */
  readonly delays: { readonly [path: string]: ReadonlyArray<Delay> }
  readonly decisions: ReadonlyArray<Event.Event>
  readonly outcome: Simulation.Outcome["_tag"]
  readonly millis: number
}

/** Where a replay parts from its log: the first decision that is another, one too many (`expected` is absent) or missing (`actual` is). */
export type Divergence =
  | {
    readonly _tag: "Decision"
    readonly index: number
    readonly expected: Event.Event | undefined
    readonly actual: Event.Event | undefined
  }
  | { readonly _tag: "Outcome"; readonly expected: string; readonly actual: string }

/** Writes a run down. */
export const record = ({ entries, millis, outcome }: Simulation.Timeline): Log => {
  const delays: { [path: string]: Array<Delay> } = {}
  const script: Array<{ readonly at: number; readonly line: TreePlan.Line }> = []
  const decisions: Array<Event.Event> = []
  let last = 0
  for (const entry of entries) {
    last = entry.at
    if (entry._tag === "Line" && entry.line._tag !== "Wait") script.push({ at: entry.at, line: planOf(entry.line) })
    else if (entry._tag === "Event") decisions.push(plain(entry.event))
    else if (entry._tag === "Step") {
      const { event, path } = entry
      if (event._tag === "DelayKnown") (delays[path] ??= []).push(event.delayMillis)
      else if (event._tag === "DelayRefused") (delays[path] ??= []).push("refused")
    }
  }
  return { script, delays, decisions, outcome: outcome._tag, millis: Math.max(last, millis) }
}

const planOf = (line: Simulation.Line): TreePlan.Line => {
  if (line._tag !== "StartChild") return line
  const { child, path } = line
  if (child === undefined) return { _tag: "StartChild", path }
  if ("~snakepit/core/Supervisor" in child) {
    throw new TypeError(`the script adds the supervisor ${path}, which cannot be written down. Put it into the tree, and add children only`)
  }
  const { id, restart, shutdown, significant } = child
  return { _tag: "StartChild", path, child: { id, restart, shutdown, significant, ...behaviourOf(child) } }
}

/** As it comes back from JSON; what was heard may differ where no decision does. */
const plain = (event: Event.Event): Event.Event => JSON.parse(JSON.stringify(event, (key, value) => key === "heard" ? undefined : value))

/** Replays a log on a tree. Returns where the runs first part, `undefined` when they do not. */
export const play = (tree: Supervisor.Any, log: Log): Divergence | undefined => {
  const replayed = Simulation.make(withDelays(tree, log))
  const waitUntil = (at: number) => replayed.play(Simulation.Line.Wait({ millis: at - replayed.now }))
  replayed.boot()
  for (const { at, line } of log.script) {
    waitUntil(at)
    replayed.play(TreePlan.line(line))
  }
  waitUntil(log.millis)
  return compare(replayed, log)
}

/**
 * {@link play} on the `TestClock` of the test, beside whatever else runs on it. The clock must stand where the run began, at 0.
 */
export const playOnTestClock = Effect.fnUntraced(function*(tree: Supervisor.Any, log: Log) {
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  const replayed = Simulation.make(withDelays(tree, log), {
    get now() {
      return clock.currentTimeMillisUnsafe()
    },
    nextTimer: undefined,
    context,
    flush: () => {}, // the test's own scheduler does
    advanceTo: () => {}
  })
  const waitUntil = (at: number) => TestClock.adjust(at - replayed.now)
  replayed.boot()
  for (const { at, line } of log.script) {
    yield* waitUntil(at)
    replayed.play(TreePlan.line(line))
  }
  yield* waitUntil(log.millis)
  return compare(replayed, log)
})

const compare = (replayed: Simulation.SimulatedTree, log: Log): Divergence | undefined => {
  const actual = replayed.entries.flatMap((entry) => entry._tag === "Event" ? [plain(entry.event)] : [])
  const outcome = replayed.outcome._tag
  replayed.discard()
  const index = Array.from({ length: Math.max(actual.length, log.decisions.length) }, (_, index) => index)
    .find((index) => !isSame(log.decisions[index], actual[index]))
  if (index !== undefined) return { _tag: "Decision", index, expected: log.decisions[index], actual: actual[index] }
  return outcome === log.outcome ? undefined : { _tag: "Outcome", expected: log.outcome, actual: outcome }
}

const isSame = (expected: Event.Event | undefined, actual: Event.Event | undefined): boolean =>
  JSON.stringify(expected) === JSON.stringify(actual)

/** The divergence for people. */
export const describe = (divergence: Divergence): string => {
  if (divergence._tag === "Outcome") return `the tree is ${divergence.actual} at the end; in the log it is ${divergence.expected}`
  const { actual, expected, index } = divergence
  return `decision ${index} is another: the log has ${textOf(expected)}, the replay ${textOf(actual)}`
}

const textOf = (event: Event.Event | undefined): string => {
  if (event === undefined) return "none"
  const { attributes, name } = event
  const child = attributes["child"] === undefined ? "" : `/${attributes["child"]} generation ${attributes["generation"] ?? "?"}`
  return `${name} of ${attributes["path"]}${child} at ${event.at} ms ${JSON.stringify(event.measurements)}`
}

/** The same tree with restart policies that give the delays of the log, and none once those are used up. */
const withDelays = (tree: Supervisor.Any, log: Log): Supervisor.Any => {
  const queues = new Map(Object.entries(log.delays).map(([path, delays]) => [path, [...delays]]))
  const supervisor = (node: Supervisor.Any, above: string): Supervisor.Any => {
    const path = `${above}${node.id}`
    const spec = node["~snakepit/core/Supervisor"]
    const below = (child: Child.Any): Child.Any =>
      "~snakepit/core/Supervisor" in child ? supervisor(child as Supervisor.Any, `${path}/`) : child
    const changed: Interpreter.Spec = {
      ...spec,
      restart: { ...spec.restart, delay: recorded(queues.get(path) ?? []) },
      children: spec.children.map(below),
      template: spec.template && { ...spec.template, child: (key) => below(spec.template!.child(key)) }
    }
    return { ...node, start: Interpreter.start(changed), "~snakepit/core/Supervisor": changed }
  }
  return supervisor(tree, "")
}

const recorded = (queue: Array<Delay>): Schedule.Schedule<unknown, unknown, "refused"> =>
  Schedule.fromStep(Effect.succeed(() =>
    Effect.suspend((): Effect.Effect<[void, Duration.Duration], "refused"> => {
      const delay = queue.shift() ?? 0
      return delay === "refused" ? Effect.fail(delay) : Effect.succeed([undefined, Duration.millis(delay)])
    })
  ))
