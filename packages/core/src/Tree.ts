/**
 * The tree as it stands: a typed snapshot for people, dashboards and tests.
 */
import type { Limit } from "./Intensity.ts"
import type { RestartType } from "./RestartType.ts"
import type { Strategy } from "./SupervisorState.ts"

/** Where a child stands, in one word. */
export type NodeStatus = "starting" | "running" | "waiting" | "stopping" | "down"

/** One child of a supervisor. */
export interface ChildNode {
  readonly id: string
  readonly path: string
  readonly status: NodeStatus
  readonly restart: RestartType
  /** What it may take to stop: milliseconds, `"infinity"` or `"brutal"`. */
  readonly shutdown: number | "infinity" | "brutal"
  /** Why it is not running, for people. */
  readonly because: string | undefined
  /** Counts its starts from 0; -1 before the first. */
  readonly generation: number
  /** Restarts that its own exits called for. */
  readonly restarts: number
  /** Its own subtree when it is a supervisor that is up. */
  readonly supervisor: SupervisorNode | undefined
}

/** One supervisor and its children in start order. */
export interface SupervisorNode {
  readonly path: string
  readonly strategy: Strategy | "dynamic"
  readonly intensity: Limit | "unlimited"
  /** Restarts left before it gives up; `Infinity` without a limit. */
  readonly budgetLeft: number
  readonly children: ReadonlyArray<ChildNode>
}

/** Every child below, depth first. */
export const flatten = (node: SupervisorNode): ReadonlyArray<ChildNode> =>
  node.children.flatMap((child) => child.supervisor === undefined ? [child] : [child, ...flatten(child.supervisor)])

/** Draws the tree with one child a line: status, generation, restarts. */
export const render = (node: SupervisorNode): string => [`${node.path}  ${node.strategy}${budget(node)}`, ...lines(node, "")].join("\n")

const budget = (node: SupervisorNode): string => Number.isFinite(node.budgetLeft) ? `, budget left ${node.budgetLeft}` : ""

const lines = (node: SupervisorNode, indent: string): ReadonlyArray<string> =>
  node.children.flatMap((child, index) => {
    const last = index === node.children.length - 1
    const kind = child.supervisor === undefined ? "" : `  ${child.supervisor.strategy}${budget(child.supervisor)}`
    const why = child.because === undefined ? "" : ` (${child.because})`
    const line = `${indent}${
      last ? "└─" : "├─"
    } ${child.id}  ${child.status}${why}  generation ${child.generation}, restarts ${child.restarts}${kind}`
    return [line, ...(child.supervisor === undefined ? [] : lines(child.supervisor, `${indent}${last ? "  " : "│ "}`))]
  })
