/**
 * Trees, exits and scripts by the thousand: one generator with two front ends, a fast one by seed and an `Arbitrary` that shrinks.
 *
 * **When to use**
 *
 * {@link bySeed} for runs of many cases, each known by its seed and its number; {@link cases}, {@link trees}, {@link scripts} and
 * {@link exits} for properties with `it.prop`. {@link smallest} shrinks what {@link bySeed} found.
 *
 * **Details**
 *
 * Trees are valid and at most 4 deep with at most 64 children: all strategies, dynamic supervisors, restart types, significant children
 * with both modes of auto-shutdown, every kind of shutdown, intensities from 0 to unlimited, delays of none, constant and doubling.
 * Scripts are addressed to paths of their tree: exits alone and together, failing and slow starts, stops that take time or for ever,
 * monitors, administration calls, time. Every child that never stops has a time to stop, so that every tree can end.
 *
 * A generator reads a list of numbers, and a number that is missing reads as 0, the simplest choice; that is why shrinking the list
 * shrinks the case.
 *
 * **Gotchas**
 *
 * The size of an `Arbitrary` run bounds the length of that list: with a `size` below 100 the trees are small.
 *
 * **Example** (A law for any tree)
 *
 * ```ts
 * import { Generate, Invariants, TreePlan } from "@snakepit/core/testing"
 *
 * for (let index = 0; index < 100; index++) {
 *   const planned = Generate.bySeed(42, index)
 *   Invariants.check(TreePlan.make(planned.tree), TreePlan.simulate(planned)) // => []
 * }
 * ```
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import type { Limit } from "../Intensity.ts"
import { type EndingHow, Line } from "../Simulation.ts"
import * as TreePlan from "./TreePlan.ts"

/** Where a generator takes its decisions from: a whole number in `[0, below)`. */
export type Choose = (below: number) => number

/** Levels of supervisors. */
export const maxDepth = 4

/** Children in a whole tree, supervisors among them. */
export const maxChildren = 64

/** Choices of a seed and a number: the same on every machine, and unrelated for neighbours. */
export const choicesOf = (seed: number, index: number): Choose => {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35)
  return (below) => { // mulberry32: 2^32 states are plenty for a case of a few hundred choices
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** Choices of a list of numbers: 0 when it is over. */
const choicesFrom = (numbers: ReadonlyArray<number>): Choose => {
  let next = 0
  return (below) => (numbers[next++] ?? 0) % below
}

// ── trees ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The first is the simplest. */
const pick = <A>(choose: Choose, among: ReadonlyArray<A>): A => among[choose(among.length)]!

const restarts = ["permanent", "permanent", "transient", "temporary"] as const
const limits: ReadonlyArray<Limit | "unlimited"> = [
  "unlimited",
  ...[0, 1, 2, 3, 5].map((maxRestarts) => ({ maxRestarts, withinMillis: 1000 })),
  { maxRestarts: 2, withinMillis: 50 },
  { maxRestarts: 4, withinMillis: 10_000 }
]
const delays: ReadonlyArray<TreePlan.Delay> = [0, 0, 10, 100, { base: 10, cap: 500 }]
const graces: ReadonlyArray<TreePlan.Grace> = [5000, 5000, "infinity", 40, "brutal"]

/** How much of the tree is still to be given out. */
interface Room {
  left: number
}

/** A tree. */
export const tree = (choose: Choose): TreePlan.SupervisorPlan => supervisor(choose, "root", maxDepth, { left: maxChildren })

const supervisor = (choose: Choose, id: string, depth: number, room: Room): TreePlan.SupervisorPlan => {
  const common = {
    id,
    limit: pick(choose, limits),
    delay: pick(choose, delays),
    restart: pick(choose, restarts),
    shutdown: pick(choose, ["infinity", "infinity", "infinity", "infinity", 60, "brutal"] as const)
  }
  return choose(4) === 3 ? dynamic(choose, common, depth, room) : fixed(choose, common, depth, room)
}

type Common = Pick<TreePlan.SupervisorPlan, "id" | "limit" | "delay" | "restart" | "shutdown">

const fixed = (choose: Choose, common: Common, depth: number, room: Room): TreePlan.StaticPlan => {
  const strategy = pick(choose, ["one_for_one", "one_for_all", "rest_for_one"] as const)
  const autoShutdown = pick(choose, ["never", "never", "any", "all"] as const)
  const children: Array<TreePlan.NodePlan> = []
  for (let count = 1 + choose(6); count > 0 && room.left > 0; count--) {
    room.left--
    const id = `c${children.length}`
    children.push(depth > 1 && choose(3) === 2 ? supervisor(choose, id, depth - 1, room) : leaf(choose, id, autoShutdown !== "never"))
  }
  return { ...common, strategy, autoShutdown, children }
}

const dynamic = (choose: Choose, common: Common, depth: number, room: Room): TreePlan.DynamicPlan => {
  const inside: Room = { left: 0 } // of one child; all are alike
  const keys = Math.min(choose(4), room.left)
  if (depth > 1 && choose(3) === 2) inside.left = Math.max(0, Math.min(6, Math.floor(room.left / Math.max(1, keys)) - 1))
  const before = inside.left
  const template = before > 0 ? supervisor(choose, "child", depth - 1, inside) : leaf(choose, "child", false)
  room.left -= keys * (1 + before - inside.left)
  const initial = Array.from({ length: keys }, (_, key) => `k${key}`)
  return { ...common, template, initial, ...(choose(3) === 2 ? { maxChildren: keys + 1 } : {}) }
}

const leaf = (choose: Choose, id: string, mayBeSignificant: boolean): TreePlan.ChildPlan => {
  const restart = pick(choose, restarts)
  const shutdown = pick(choose, graces)
  return {
    id,
    restart,
    significant: mayBeSignificant && restart !== "permanent" && choose(2) === 1,
    shutdown,
    startMillis: pick(choose, [0, 0, 0, 0, 0, 30]),
    stopMillis: pick(choose, [0, 0, 0, 0, 20, shutdown === "infinity" ? 100 : "forever"])
  }
}

// ── scripts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const hows: ReadonlyArray<EndingHow> = ["failed", "failed", "normal", "shutdown", "defect"]

/** How a child ends. */
export const exit = (choose: Choose): EndingHow => pick(choose, hows)

interface Address {
  readonly path: string
  readonly plan: TreePlan.NodePlan
}

/** Every place in a tree, and one of each dynamic supervisor that is free. */
const addresses = (plan: TreePlan.SupervisorPlan, path: string): ReadonlyArray<Address> => {
  const below = TreePlan.isDynamic(plan)
    ? [...plan.initial, `k${plan.initial.length}`].map((id) => ({ ...plan.template, id }))
    : plan.children
  return below.flatMap((child) => {
    const at = `${path}/${child.id}`
    return [{ path: at, plan: child }, ...(TreePlan.isSupervisor(child) ? addresses(child, at) : [])]
  })
}

const extra: TreePlan.ChildPlan = {
  id: "x",
  restart: "transient",
  significant: false,
  shutdown: 5000,
  startMillis: 0,
  stopMillis: 0
}

/** A script for a tree, of at most `maxLines`. */
export const script = (choose: Choose, plan: TreePlan.SupervisorPlan, maxLines = 30): ReadonlyArray<TreePlan.Line> => {
  const all = addresses(plan, plan.id)
  const leaves = all.filter(({ plan }) => !TreePlan.isSupervisor(plan))
  const additions = [plan.id, ...all.flatMap(({ path, plan }) => TreePlan.isSupervisor(plan) ? [path] : [])]
    .map((path) => ({ path: `${path}/x`, plan: extra }))
  if (leaves.length === 0) return []
  const lines: Array<TreePlan.Line> = []
  const exitOf = () => ({ path: pick(choose, leaves).path, how: exit(choose) })
  for (let count = choose(maxLines + 1); count > 0; count--) lines.push(...step(choose, all, leaves, additions, exitOf))
  return lines
}

const step = (
  choose: Choose,
  all: ReadonlyArray<Address>,
  leaves: ReadonlyArray<Address>,
  additions: ReadonlyArray<Address>,
  exitOf: () => { readonly path: string; readonly how: EndingHow }
): ReadonlyArray<TreePlan.Line> => {
  const anywhere = () => pick(choose, all).path
  switch (choose(20)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
      return [Line.Exit(exitOf())]
    case 6:
    case 7:
      return [Line.Together({ exits: Array.from({ length: 2 + choose(3) }, exitOf) })]
    case 8: { // with the exit that makes it matter
      const { path } = pick(choose, all)
      return [Line.FailStarts({ path, times: 1 + choose(4), how: choose(4) === 3 ? "ignore" : "fail" }), Line.Exit(exitOf())]
    }
    case 9:
      return [Line.StartTakes({ path: pick(choose, leaves).path, millis: pick(choose, [0, 15, 400]) })]
    case 10: {
      const { path, plan } = pick(choose, leaves)
      return [Line.StopTakes({ path, millis: pick(choose, [0, 15, 400, plan.shutdown === "infinity" ? 90 : "forever"]) })]
    }
    case 11:
      return [Line.FailChild({ path: anywhere() })]
    case 12:
      return [Line.TerminateChild({ path: anywhere() })]
    case 13:
      return [Line.RestartChild({ path: anywhere() })]
    case 14:
      return [choose(3) === 2 ? Line.DeleteChild({ path: anywhere() }) : Line.TerminateChild({ path: anywhere() })]
    case 15: {
      const { path, plan } = pick(choose, [...all, ...additions])
      return [{ _tag: "StartChild", path, ...(plan === extra ? { child: extra } : {}) }]
    }
    default:
      return [Line.Wait({ millis: pick(choose, [1, 9, 10, 50, 100, 500, 1000, 3000]) })]
  }
}

/** A tree with a script for it. */
export const testCase = (choose: Choose): TreePlan.Case => {
  const plan = tree(choose)
  return { tree: plan, script: script(choose, plan) }
}

/** The case of a seed and a number. */
export const bySeed = (seed: number, index: number): TreePlan.Case => testCase(choicesOf(seed, index))

/**
 * The script with an end that every tree survives: no start fails any more, time for all delays, a shutdown, time for all stops. After it
 * no law has an excuse.
 */
export const toTheEnd = ({ script, tree }: TreePlan.Case): TreePlan.Case => ({
  tree,
  script: [
    ...script,
    ...script.flatMap((line) => line._tag === "FailStarts" ? [{ ...line, times: 0 }] : []),
    Line.Wait({ millis: 60_000 }),
    Line.Shutdown(),
    Line.Wait({ millis: 60_000 })
  ]
})

// ── the other front end ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const numbers = Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 839 }))), { maxLength: 500 })

const arbitrary = <A>(generate: (choose: Choose) => A): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(numbers, (numbers) => generate(choicesFrom(numbers)))

/** Trees. */
export const trees: Arbitrary.Arbitrary<TreePlan.SupervisorPlan> = arbitrary(tree)

/** Ways for a child to end. */
export const exits: Arbitrary.Arbitrary<EndingHow> = Arbitrary.schema(Schema.Literals(["failed", "normal", "shutdown", "defect"]))

/** Scripts for one tree. */
export const scripts = (plan: TreePlan.SupervisorPlan): Arbitrary.Arbitrary<ReadonlyArray<TreePlan.Line>> =>
  arbitrary((choose) => script(choose, plan))

/** Trees with scripts. */
export const cases: Arbitrary.Arbitrary<TreePlan.Case> = arbitrary(testCase)

// ── shrinking ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The smallest case found that still fails, by dropping lines, children and behaviour for as long as it does. */
export const smallest = (found: TreePlan.Case, fails: (tried: TreePlan.Case) => boolean): TreePlan.Case => {
  let best = found
  for (let improved = true; improved;) {
    improved = false
    for (const smaller of smallerCases(best)) {
      if (!fails(smaller)) continue
      best = smaller
      improved = true
      break
    }
  }
  return best
}

function* smallerCases({ script, tree }: TreePlan.Case): Generator<TreePlan.Case> {
  for (let size = script.length; size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < script.length; at += size) yield { tree, script: script.toSpliced(at, size) }
  }
  for (const smaller of smallerTrees(tree)) yield { tree: smaller, script }
}

function* smallerTrees(plan: TreePlan.SupervisorPlan): Generator<TreePlan.SupervisorPlan> {
  if (TreePlan.isDynamic(plan)) {
    for (let key = 0; key < plan.initial.length; key++) yield { ...plan, initial: plan.initial.toSpliced(key, 1) }
    for (const template of smallerNodes(plan.template)) yield { ...plan, template }
  } else {
    for (let at = 0; at < plan.children.length; at++) yield { ...plan, children: plan.children.toSpliced(at, 1) }
    for (const [at, child] of plan.children.entries()) {
      for (const smaller of smallerNodes(child)) yield { ...plan, children: plan.children.with(at, smaller) }
    }
    if (plan.autoShutdown === "never" && plan.strategy !== "one_for_one") yield { ...plan, strategy: "one_for_one" }
  }
  if (plan.delay !== 0) yield { ...plan, delay: 0 }
  if (plan.limit !== "unlimited") yield { ...plan, limit: "unlimited" }
}

function* smallerNodes(plan: TreePlan.NodePlan): Generator<TreePlan.NodePlan> {
  if (TreePlan.isSupervisor(plan)) return yield* smallerTrees(plan)
  if (plan.startMillis !== 0) yield { ...plan, startMillis: 0 }
  if (plan.stopMillis !== 0) yield { ...plan, stopMillis: 0 }
  if (plan.shutdown !== 5000 && plan.stopMillis === 0) yield { ...plan, shutdown: 5000 }
}
