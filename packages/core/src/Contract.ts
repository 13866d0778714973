/**
 * A supervisor's contract as data: what it holds, how it restarts, who may stop it, what it escalates, and because of what.
 *
 * **Details**
 *
 * Derived from the supervisor itself, so it cannot drift from the running tree: the documentation, the dashboard's legend and the
 * recovery suite are made from it. What the spec cannot say (`because`, `limitBecause`, `stoppedBy`, `failedBy`, the events)
 * `Supervisor.make` demands.
 *
 * A dynamic supervisor's contract has one child, its template, whose id is {@link templateKey}; or, when its children differ by their key
 * (`shown`), one for each of those keys. {@link bind} puts those that live in their place; {@link compare} says where a live tree is not
 * what its contract promises.
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

/**
 * The delays of a restart policy as data: of a child that fails at once each time, before its first restart, its second, and so on. From the
 * last one on they stay as they are. Without chance `lowestMillis` and `highestMillis` are the same.
 */
export interface Backoff {
  readonly lowestMillis: ReadonlyArray<number>
  readonly highestMillis: ReadonlyArray<number>
  /** After so long without a crash they begin anew. */
  readonly resetAfterMillis: number
}

/** The contract of one supervisor and of everything below it. */
export interface Contract {
  readonly id: string
  readonly plane: Plane
  readonly layer: Event.Layer
  readonly strategy: Strategy | "dynamic"
  readonly intensity: Intensity.Limit | "unlimited"
  readonly backoff: Backoff
  readonly because: string
  readonly limitBecause: string
  readonly stoppedBy: ReadonlyArray<string>
  readonly autoShutdown: AutoShutdown
  /** In start order; a dynamic supervisor has one entry, its template, or one for each key that it shows. */
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

/**
 * Where the live tree is not what the contract promises, a sentence each; none when it is.
 *
 * Compared are the children, their order, which of them are supervisors, strategies, limits on restarts, restart types and the time that a
 * stop may take. The keys of a template's children may be any. The live tree does not know planes, reasons, events, `significant`,
 * `autoShutdown`, `failedBy`, `stoppedBy` and `startedBy`: those are the contract's alone.
 */
export const compare = (contract: Contract, live: SupervisorNode): ReadonlyArray<string> => [
  ...differ(`${live.path} is`, live.strategy, contract.strategy),
  ...differ(`${live.path} may restart`, restartsOf(live.intensity), restartsOf(contract.intensity)),
  ...outOfOrder(contract, live),
  ...live.children.flatMap((node) => compareChild(contract, node))
]

const differ = (what: string, is: string, promised: string): ReadonlyArray<string> =>
  is === promised ? [] : [`${what} ${is}, its contract says ${promised}`]

const restartsOf = (intensity: Contract["intensity"]): string =>
  intensity === "unlimited" ? "without limit" : `${intensity.maxRestarts} times in ${intensity.withinMillis} ms`

const timeOf = (shutdown: ContractChild["shutdown"]): string =>
  typeof shutdown === "number" ? `${shutdown} ms` : shutdown === "brutal" ? "no time" : "any time"

const outOfOrder = (contract: Contract, live: SupervisorNode): ReadonlyArray<string> => {
  const promised = contract.children.map(({ id }) => id).filter((id) => id !== templateKey)
  const present = live.children.map(({ id }) => id)
  const missing = promised.filter((id) => !present.includes(id)).map((id) => `${live.path} has no "${id}", which its contract promises`)
  if (contract.strategy === "dynamic") return missing
  const known = present.filter((id) => promised.includes(id))
  const inOrder = promised.filter((id) => present.includes(id)).every((id, index) => known[index] === id)
  return inOrder ? missing : [...missing, `${live.path} starts ${present.join(", ")}, its contract says ${promised.join(", ")}`]
}

const compareChild = (contract: Contract, node: ChildNode): ReadonlyArray<string> => {
  const child = entryOf(contract, node.id)
  if (child === undefined) return [`${node.path} is in no contract: nothing says what becomes of it`]
  return [
    ...differ(`${node.path} is`, node.restart, child.restart),
    ...differ(`${node.path} may take`, timeOf(node.shutdown), timeOf(child.shutdown)),
    ...compareBelow(child.supervisor, node)
  ]
}

const compareBelow = (contract: Contract | undefined, { path, supervisor }: ChildNode): ReadonlyArray<string> => {
  if (contract === undefined) return supervisor === undefined ? [] : [`${path} is a supervisor, its contract says not`]
  return supervisor === undefined ? [`${path} is not up as a supervisor`] : compare(contract, supervisor)
}

const entryOf = (contract: Contract, id: string): ContractChild | undefined =>
  contract.children.find((child) => child.id === id) ?? contract.children.find((child) => child.id === templateKey)
