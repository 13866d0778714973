/**
 * A supervisor's contract as data: what it holds, how it restarts, who may stop it, what it escalates, and because of what.
 *
 * **Details**
 *
 * Derived from the supervisor itself, so it cannot drift from the running tree: the documentation, the dashboard's legend and the
 * recovery suite are made from it. What the spec cannot say (`because`, `stoppedBy`, the events) `Supervisor.make` demands.
 */
import type * as Event from "./Event.ts"
import type * as Intensity from "./Intensity.ts"
import type { RestartType } from "./RestartType.ts"
import type { Strategy } from "./SupervisorState.ts"

/** The plane a child belongs to: the control plane decides for many workers, the execution plane belongs to one. */
export type Plane = "control" | "execution"

/** One child of a contract. */
export interface ContractChild {
  readonly id: string
  readonly restart: RestartType
  readonly significant: boolean
  /** Milliseconds, `"infinity"` or `"brutal"`. */
  readonly shutdown: number | "infinity" | "brutal"
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
  readonly stoppedBy: ReadonlyArray<string>
  /** In start order; a dynamic supervisor has one entry, its template. */
  readonly children: ReadonlyArray<ContractChild>
  readonly events: ReadonlyArray<string>
}

/** What only the author knows. */
export interface Clauses {
  readonly plane: Plane
  /** Why this strategy and this limit. */
  readonly because: string
  /** Who else than its parent may stop it, and by which call. */
  readonly stoppedBy?: ReadonlyArray<string> | undefined
}

/** The contract and those below it, depth first, each with its path. */
export const flatten = (contract: Contract, parent = ""): ReadonlyArray<{ readonly path: string; readonly contract: Contract }> => {
  const path = parent === "" ? contract.id : `${parent}/${contract.id}`
  return [
    { path, contract },
    ...contract.children.flatMap((child) => child.supervisor === undefined ? [] : flatten(child.supervisor, path))
  ]
}
