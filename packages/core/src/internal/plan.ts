/** A supervisor value laid open: its tree with paths, and the semantics that each supervisor will run with. */
import type * as Child from "../Child.ts"
import * as Semantics from "../Semantics.ts"
import type { Spec } from "./interpreter.ts"

export interface Plan {
  readonly path: string
  readonly spec: Spec
  readonly semantics: Semantics.Semantics
  /** In start order; a dynamic supervisor has those that its contract lists. */
  readonly children: ReadonlyArray<PlannedChild>
}

export interface PlannedChild {
  readonly path: string
  readonly child: Child.Any
  readonly supervisor: Plan | undefined
}

/** The spec of a child that is a supervisor. */
export const specOf = (child: object): Spec | undefined =>
  "~snakepit/core/Supervisor" in child ? child["~snakepit/core/Supervisor"] as Spec : undefined

/** The children that a supervisor is made with; of a dynamic one, those that its contract lists. */
export const childrenOf = (spec: Spec): ReadonlyArray<Child.Any> =>
  spec.template === undefined ? spec.children : spec.template.shown.map(spec.template.child)

export const planOf = (spec: Spec, above = "", inherited: Semantics.Semantics = Semantics.production): Plan => {
  const path = above === "" ? spec.id : `${above}/${spec.id}`
  const semantics = spec.semantics ?? inherited
  const children = childrenOf(spec).map((child): PlannedChild => {
    const inner = specOf(child)
    return { path: `${path}/${child.id}`, child, supervisor: inner && planOf(inner, path, semantics) }
  })
  return { path, spec, semantics, children }
}

/** The path of the child and of everything below it. */
export const pathsOf = ({ path, supervisor }: PlannedChild): ReadonlyArray<string> => [
  path,
  ...(supervisor?.children.flatMap(pathsOf) ?? [])
]

/** Who goes down when the child restarts, itself included. */
export const groupOf = ({ children, spec }: Plan, child: PlannedChild): ReadonlyArray<PlannedChild> => {
  if (spec.template !== undefined || spec.strategy === "one_for_one") return [child]
  return spec.strategy === "one_for_all" ? children : children.slice(children.indexOf(child))
}
