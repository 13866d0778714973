/** What the tree shows at a moment, by kind of supervisor: how much of the budgets is left, and how the children stand. Pure. */
import type { Tree } from "@snakepit/core"
import { type childStates, keyOf, type Kind } from "./SupervisorMetrics.ts"

type ChildState = typeof childStates[number]

/** Which supervisor is at a path below the root, and of which pool; above the pools that is empty. */
export const placeOf = (path: string): { readonly supervisor: Kind; readonly pool: string } => {
  const [, top, pool = "", part, ...below] = path.split("/")
  if (top === undefined) return { supervisor: "root", pool: "" }
  if (top !== "pools") return { supervisor: top as Kind, pool: "" }
  if (pool === "") return { supervisor: "pools", pool }
  if (part === undefined) return { supervisor: "pool", pool }
  if (part === "fleet") return { supervisor: below.length === 0 ? "fleet" : below.length === 1 ? "worker" : "own", pool }
  return { supervisor: below.length === 0 ? "control" : "launcher", pool }
}

export interface Reading {
  /** The least share that is left of the budgets of a kind in a pool, by {@link keyOf}. */
  readonly budgets: ReadonlyMap<string, number>
  readonly children: ReadonlyMap<Kind, Readonly<Record<ChildState, number>>>
}

/** All supervisors that are up, depth first. */
const supervisors = (node: Tree.SupervisorNode): ReadonlyArray<Tree.SupervisorNode> => [
  node,
  ...node.children.flatMap(({ supervisor }) => supervisor === undefined ? [] : supervisors(supervisor))
]

/** All of it where there is no limit, and where no restart is allowed at all: nothing is spent there. */
const shareLeft = ({ budgetLeft, intensity }: Tree.SupervisorNode): number =>
  intensity === "unlimited" || intensity.maxRestarts === 0 ? 1 : budgetLeft / intensity.maxRestarts

export const of = (tree: Tree.SupervisorNode): Reading => {
  const budgets = new Map<string, number>()
  const children = new Map<Kind, Record<ChildState, number>>()
  for (const node of supervisors(tree)) {
    const { pool, supervisor } = placeOf(node.path)
    const key = keyOf(supervisor, pool)
    budgets.set(key, Math.min(shareLeft(node), budgets.get(key) ?? 1))
    const counts = children.get(supervisor) ?? { starting: 0, running: 0, waiting: 0, stopping: 0, down: 0 }
    children.set(supervisor, counts)
    for (const { status } of node.children) counts[status]++
  }
  return { budgets, children }
}
