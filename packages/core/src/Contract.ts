/**
 * A supervisor's contract as data: what it holds, how it restarts, who may stop it, what it escalates, and because of what.
 *
 * **Details**
 *
 * Derived from the supervisor itself, so it cannot drift from the running tree: the documentation, the dashboard's legend and the
 * recovery suite are made from it. What the spec cannot say (`because`, `limitBecause`, `stoppedBy`, `failedBy`, the events)
 * `Supervisor.make` demands.
 *
 * A dynamic supervisor's contract has one child, its template, whose id is {@link templateKey}. {@link bind} puts those in its place that
 * live; {@link compare} says where a live tree is not what its contract promises.
 */
import type * as Event from "./Event.ts"
import type * as Intensity from "./Intensity.ts"
import type { RestartType } from "./RestartType.ts"
import type { AutoShutdown, Strategy } from "./SupervisorState.ts"
import type { ChildNode, SupervisorNode } from "./Tree.ts"

/** The plane a child belongs to: the control plane decides for many workers, the execution plane belongs to one. */
export type Plane = "control" | "execution"

/** By the id of a child, those of its siblings that end it with `failChild`: abnormally, counted, through their supervisor. */
export interface FailedBy {
  readonly [child: string]: ReadonlyArray<string> | undefined
}

/** One child of a contract. */
export interface ContractChild {
  readonly id: string
  /** Its own, or else its supervisor's; a supervisor's is the plane of its children. */
  readonly plane: Plane
  readonly restart: RestartType
  readonly significant: boolean
  /** Milliseconds, `"infinity"` or `"brutal"`. */
  readonly shutdown: number | "infinity" | "brutal"
  /** The siblings that end it with `failChild`. */
  readonly failedBy: ReadonlyArray<string>
  /** The child's own contract when it is a supervisor. */
  readonly supervisor: Contract | undefined
}

/** The contract of one supervisor and of everything below it. */
export interface Contract {
  readonly id: string
  readonly plane: Plane
  readonly layer: Event.Layer
  readonly strategy: Strategy | "dynamic"
  readonly intensity: Intensity.Limit | "unlimited"
  readonly because: string
  readonly limitBecause: string
  readonly stoppedBy: ReadonlyArray<string>
  readonly autoShutdown: AutoShutdown
  /** In start order; a dynamic supervisor has one entry, its template. */
  readonly children: ReadonlyArray<ContractChild>
  /**
   * Who starts the children: `"itself"`; of a dynamic supervisor also the path, from the supervisor above, of the child that gives them to
   * it, or `"callers"`: then nobody starts them again when it is restarted.
   */
  readonly startedBy: string
  readonly events: ReadonlyArray<string>
}

/** What only the author knows. */
export interface Clauses {
  readonly plane: Plane
  /** Why this strategy. */
  readonly because: string
  /** Why this limit on restarts. */
  readonly limitBecause: string
  /** Who else than its parent may stop it, and by which call. */
  readonly stoppedBy?: ReadonlyArray<string> | undefined
}

/** Stands for the key of a dynamic child in a contract. */
export const templateKey = "<key>"

/** The contract and those below it, depth first, each with its path. */
export const flatten = (contract: Contract, parent = ""): ReadonlyArray<{ readonly path: string; readonly contract: Contract }> => {
  const path = parent === "" ? contract.id : `${parent}/${contract.id}`
  return [
    { path, contract },
    ...contract.children.flatMap((child) => child.supervisor === undefined ? [] : flatten(child.supervisor, path))
  ]
}

/** Every child below, depth first, each with its path and its supervisor's contract. */
export const children = (
  contract: Contract
): ReadonlyArray<{ readonly path: string; readonly child: ContractChild; readonly by: Contract }> =>
  flatten(contract).flatMap(({ contract: by, path }) => by.children.map((child) => ({ path: `${path}/${child.id}`, child, by })))

/**
 * The contract of the tree that runs: under each dynamic supervisor the children that live, in their order, in place of the template.
 * A live child that the contract does not know is left out: {@link compare} tells it.
 */
export const bind = (contract: Contract, live: SupervisorNode): Contract => ({
  ...contract,
  children: live.children.flatMap((node) => {
    const child = entryOf(contract, node.id)
    if (child === undefined) return []
    const supervisor = child.supervisor && { ...child.supervisor, id: node.id }
    return [{ ...child, id: node.id, supervisor: supervisor && node.supervisor ? bind(supervisor, node.supervisor) : supervisor }]
  })
})

/** Where the live tree is not what the contract promises, a sentence each; none when it is. Keys of dynamic children may be any. */
export const compare = (contract: Contract, live: SupervisorNode): ReadonlyArray<string> => {
  const strategy = contract.strategy === live.strategy
    ? []
    : [`${live.path} is ${live.strategy}, its contract says ${contract.strategy}`]
  const order = contract.strategy === "dynamic" ? [] : outOfOrder(contract, live)
  return [...strategy, ...order, ...live.children.flatMap((node) => compareChild(contract, node))]
}

const outOfOrder = (contract: Contract, live: SupervisorNode): ReadonlyArray<string> => {
  const promised = contract.children.map(({ id }) => id)
  const present = live.children.map(({ id }) => id)
  const missing = promised.filter((id) => !present.includes(id)).map((id) => `${live.path} has no "${id}", which its contract promises`)
  const known = present.filter((id) => promised.includes(id))
  const inOrder = promised.filter((id) => present.includes(id)).every((id, index) => known[index] === id)
  return inOrder ? missing : [...missing, `${live.path} starts ${present.join(", ")}, its contract says ${promised.join(", ")}`]
}

const compareChild = (contract: Contract, node: ChildNode): ReadonlyArray<string> => {
  const child = entryOf(contract, node.id)
  if (child === undefined) return [`${node.path} is in no contract: nothing says what becomes of it`]
  if (child.supervisor === undefined) return node.supervisor === undefined ? [] : [`${node.path} is a supervisor, its contract says not`]
  return node.supervisor === undefined ? [`${node.path} is not up as a supervisor`] : compare(child.supervisor, node.supervisor)
}

const entryOf = (contract: Contract, id: string): ContractChild | undefined =>
  contract.strategy === "dynamic" ? contract.children[0] : contract.children.find((child) => child.id === id)
