/**
 * What a contract promises when one child of the tree ends abnormally: who restarts it, who goes down with it, what is told in which order.
 *
 * **When to use**
 *
 * In a test that harms a running tree: bind the contract to the live tree (`Contract.bind`), predict, harm, compare.
 *
 * **Details**
 *
 * For `Semantics.production`, one exit at a time, within the budget. A child that *ends* is down before its supervisor decides; one that is
 * *failed*, with `failChild`, is being stopped while its supervisor decides. The decision (`Restart`) is told while the victims are stopped,
 * the last first; when all are down they are started in order.
 *
 * **Gotchas**
 *
 * The end of a significant child that is not restarted may end its supervisor: that is not foretold, and refused.
 *
 * **Example** (Who goes with the database)
 *
 * ```ts
 * import { type Contract } from "@snakepit/core"
 * import { Prediction } from "@snakepit/core/testing"
 *
 * declare const contract: Contract.Contract
 *
 * const { victims } = Prediction.of(contract, "app/db", "ends")
 * ```
 */
import type { Contract, ContractChild } from "../Contract.ts"
import * as Order from "./Order.ts"

/** How the child ends: by itself, or failed through its supervisor. */
export type How = "ends" | "failed"

/** One thing that happens, at a path. */
export type Step =
  /** A supervisor decides about a child, or is up, or begins to stop, and tells it as `event`. */
  | {
    readonly _tag: "Tell"
    readonly decision: "Start" | "Restart" | "Recover" | "Leave" | "Terminate"
    readonly path: string
    readonly child: string | undefined
    readonly event: string
  }
  /** A child that is no supervisor is up, or down. */
  | { readonly _tag: "Up" | "Down"; readonly path: string }

/** What will come of an exit. */
export interface Prediction {
  /** The supervisor that decides. */
  readonly by: string
  readonly restarts: boolean
  /** Its children that are started anew, in order: their generation grows by one. What is below them begins again at generation 0. */
  readonly group: ReadonlyArray<string>
  /** Everything that loses its life: the group and all below it. */
  readonly victims: ReadonlyArray<string>
  readonly steps: Order.Order<Step>
}

/** Foretells what happens when the child at `path` ends abnormally. Throws a `RangeError` for what it does not foretell. */
export const of = (root: Contract, path: string, how: How): Prediction => {
  const { above, by, child } = find(root, path)
  const tell = (decision: Extract<Step, { _tag: "Tell" }>["decision"]) => telling(by, above, decision, path)
  const origin: Place = { path, child, above }
  if (child.restart === "temporary") {
    if (child.significant && by.autoShutdown !== "never") throw new RangeError(`${path} may end its supervisor: that is not foretold`)
    const down = downOf(origin)
    return { by: above, restarts: false, group: [], victims: pathsOf(origin), steps: [...down, tell("Leave")] }
  }
  const group = groupOf(by, child).map((child): Place => ({ path: `${above}/${child.id}`, child, above }))
  const back = group.filter((place) => place.child === child || place.child.restart !== "temporary")
  const others = group.filter((place) => place.child !== child)
  const end = downOf(origin)
  const empty = new Map<string, ReadonlyArray<Place>>()
  return {
    by: above,
    restarts: true,
    group: back.map((place) => place.path),
    victims: group.flatMap(pathsOf),
    steps: [
      ...(how === "ends" ? end : []),
      Order.atOnce<Step>([tell("Restart")], [...(how === "failed" ? end : []), ...others.toReversed().flatMap(downOf)]),
      ...back.flatMap((place) => upOf(place, empty)),
      tell("Recover")
    ]
  }
}

interface Place {
  readonly path: string
  readonly child: ContractChild
  /** The path of its supervisor. */
  readonly above: string
}

interface Found {
  readonly above: string
  readonly by: Contract
  readonly child: ContractChild
}

const find = (contract: Contract, path: string, above = contract.id): Found => {
  for (const child of contract.children) {
    const here = `${above}/${child.id}`
    if (path === here) return { above, by: contract, child }
    if (child.supervisor !== undefined && path.startsWith(`${here}/`)) return find(child.supervisor, path, here)
  }
  throw new RangeError(`no contract has an entry for ${path}: nothing says what becomes of it`)
}

const groupOf = (by: Contract, child: ContractChild): ReadonlyArray<ContractChild> => {
  switch (by.strategy) {
    case "one_for_all":
      return by.children
    case "rest_for_one":
      return by.children.slice(by.children.indexOf(child))
    case "one_for_one":
    case "dynamic":
      return [child]
  }
}

const placesOf = ({ child, path }: Place): ReadonlyArray<Place> =>
  (child.supervisor?.children ?? []).map((child) => ({ path: `${path}/${child.id}`, child, above: path }))

const pathsOf = (place: Place): ReadonlyArray<string> => [place.path, ...placesOf(place).flatMap(pathsOf)]

const verbs = { Start: "start", Restart: "restart", Recover: "recover", Leave: "leave", Terminate: "terminate" } as const

const telling = (
  by: Contract,
  path: string,
  decision: Extract<Step, { _tag: "Tell" }>["decision"],
  child: string | undefined
): Extract<Step, { _tag: "Tell" }> => ({
  _tag: "Tell",
  decision,
  path,
  child,
  event: by.events.find((name) => name.endsWith(`.${verbs[decision]}`))!
})

const downOf = (place: Place): Order.Order<Step> => {
  const { child: { supervisor }, path } = place
  if (supervisor === undefined) return [{ _tag: "Down", path }]
  const below = placesOf(place).toReversed()
  return [telling(supervisor, path, "Terminate", undefined), ...together(supervisor, below.map(downOf))]
}

const together = ({ strategy }: Contract, branches: ReadonlyArray<Order.Order<Step>>): Order.Order<Step> =>
  strategy === "dynamic" ? [Order.atOnce(...branches)] : branches.flat()

/** `empty` holds, by the path of who will start them, the children of supervisors that came up without. */
const upOf = (place: Place, empty: Map<string, ReadonlyArray<Place>>): Order.Order<Step> => {
  const { above, child: { supervisor }, path } = place
  if (supervisor === undefined) {
    const given = empty.get(path) ?? []
    empty.delete(path)
    return [Order.atOnce(...given.map((child) => upOf(child, empty))), { _tag: "Up", path }]
  }
  const start = telling(supervisor, path, "Start", undefined)
  if (supervisor.startedBy === "itself") return [...together(supervisor, placesOf(place).map((child) => upOf(child, empty))), start]
  if (supervisor.startedBy !== "callers") empty.set(`${above}/${supervisor.startedBy}`, placesOf(place))
  return [start]
}
