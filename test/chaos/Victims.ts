/**
 * Whom the death of one child may take along: predicted from the contract, and told from the tree before and after.
 *
 * **Details**
 *
 * A child that is replaced counts from its parent's next generation, and what stands below a replaced supervisor is new as a whole. So the
 * identity of a child is the list of generations from the root down to it; it is a victim when that has changed.
 */
import type { Contract, Tree } from "snakepit"

/** A tree that went through JSON, where an unlimited budget is `null`. */
export type LiveTree = Tree.SupervisorNode

/** The identity of every child by its path: generations from the root down. */
export const identities = (tree: LiveTree, above: ReadonlyArray<number> = []): ReadonlyMap<string, string> =>
  new Map(tree.children.flatMap((child) => {
    const chain = [...above, child.generation]
    const own: ReadonlyArray<readonly [string, string]> = [[child.path, chain.join(".")]]
    return child.supervisor === undefined ? own : [...own, ...identities(child.supervisor, chain)]
  }))

/** The paths whose identity is another one, or which are gone. */
export const observed = (before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): ReadonlySet<string> =>
  new Set([...before].filter(([path, identity]) => after.get(path) !== identity).map(([path]) => path))

/** The supervisors of a live tree, by path, the root among them. */
export const supervisors = (tree: LiveTree): ReadonlyMap<string, LiveTree> =>
  new Map([
    [tree.path, tree],
    ...tree.children.flatMap(({ supervisor }) => supervisor === undefined ? [] : [...supervisors(supervisor)])
  ])

/** The contract of the supervisor at this path of the live tree. The one child of a dynamic contract stands for each of its children. */
export const contractAt = (root: Contract.Contract, path: string): Contract.Contract => {
  const [first, ...ids] = path.split("/")
  if (first !== root.id) throw new Error(`${path} is not below ${root.id}`)
  return ids.reduce((contract, id) => {
    const entry = contract.strategy === "dynamic" ? contract.children[0] : contract.children.find((child) => child.id === id)
    if (entry?.supervisor === undefined) throw new Error(`the contract of "${contract.id}" names no supervisor "${id}" (${path})`)
    return entry.supervisor
  }, root)
}

/** The child itself and those that its supervisor's strategy ends with it, in start order. */
export const group = (contract: Contract.Contract, live: LiveTree, id: string): ReadonlyArray<string> => {
  const ids = live.children.map((child) => child.id)
  const entry = contract.strategy === "dynamic" ? contract.children[0] : contract.children.find((child) => child.id === id)
  if (entry === undefined) throw new Error(`the contract of ${live.path} names no child "${id}"`)
  if (entry.restart === "temporary") return [id] // nobody is restarted, so nobody is ended for it
  switch (contract.strategy) {
    case "one_for_one":
    case "dynamic":
      return [id]
    case "one_for_all":
      return ids
    case "rest_for_one":
      return ids.slice(ids.indexOf(id))
  }
}

/** What a harm does, by contract. */
export type Prediction =
  | { readonly _tag: "Victims"; readonly paths: ReadonlySet<string> }
  /** The root gives up: the program ends. */
  | { readonly _tag: "End" }

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"))
const idOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

const withAllBelow = (tree: LiveTree, paths: ReadonlyArray<string>): ReadonlySet<string> =>
  new Set([...identities(tree).keys()].filter((path) => paths.some((victim) => path === victim || path.startsWith(`${victim}/`))))

/** The child at `path` ends abnormally, once. Above a supervisor without a restart left, it is that supervisor which ends. */
export const ofExit = (contract: Contract.Contract, tree: LiveTree, path: string): Prediction => {
  if (path === tree.path) return { _tag: "End" }
  const above = parentOf(path)
  const live = supervisors(tree).get(above)
  if (live === undefined) throw new Error(`no supervisor is up at ${above}`)
  if (live.budgetLeft === 0) return ofExit(contract, tree, above)
  const ids = group(contractAt(contract, above), live, idOf(path))
  return { _tag: "Victims", paths: withAllBelow(tree, ids.map((id) => `${above}/${id}`)) }
}

/** The child at `path` ends again and again: until its supervisor gives up, or for as long as it lasts when that never does. */
export const ofSpending = (contract: Contract.Contract, tree: LiveTree, path: string): Prediction => {
  const above = parentOf(path)
  return contractAt(contract, above).intensity === "unlimited" ? ofExit(contract, tree, path) : ofExit(contract, tree, above)
}

/**
 * The pools whose calls must not notice: those with no victim at all, or only victims that their contract puts under a control-plane
 * supervisor of the pool. A pool is what is supervised by `pools`: the first dynamic supervisor below the root.
 */
export const unharmed = (contract: Contract.Contract, tree: LiveTree, victims: ReadonlySet<string>): ReadonlyArray<string> => {
  const pools = tree.children.find(({ supervisor }) => supervisor?.strategy === "dynamic")
  return (pools?.supervisor?.children ?? []).filter((pool) => {
    const mayGo = (pool.supervisor?.children ?? [])
      .filter(({ path, supervisor }) => supervisor !== undefined && contractAt(contract, path).plane === "control")
      .map(({ path }) => path)
    return [...victims].every((victim) =>
      !(victim === pool.path || victim.startsWith(`${pool.path}/`)) ||
      mayGo.some((path) => victim === path || victim.startsWith(`${path}/`))
    )
  }).map(({ id }) => id)
}
