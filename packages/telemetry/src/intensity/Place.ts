/** Finds what stands at a path in a contract; under a dynamic supervisor every key is its template's. */
import { Contract } from "@snakepit/core"

/** The child at a path, with the contract of its supervisor; `undefined` for the root and for what the contract does not know. */
export const childAt = (
  root: Contract.Contract,
  path: string
): { readonly child: Contract.ContractChild; readonly by: Contract.Contract } | undefined => {
  const at = path.lastIndexOf("/")
  const by = at === -1 ? undefined : contractAt(root, path.slice(0, at))
  const id = path.slice(at + 1)
  const child = by?.children.find((child) => child.id === id) ?? by?.children.find((child) => child.id === Contract.templateKey)
  return by === undefined || child === undefined ? undefined : { child: { ...child, id }, by }
}

/** The contract of the supervisor at a path; `undefined` when none is there. */
export const contractAt = (root: Contract.Contract, path: string): Contract.Contract | undefined => {
  if (path === root.id) return root
  const found = path.startsWith(`${root.id}/`) ? childAt(root, path) : undefined
  return found?.child.supervisor && { ...found.child.supervisor, id: found.child.id }
}

/** What is restarted together: the child at `path` alone, or all of a group. */
export const recoveryKey = (root: Contract.Contract, supervisor: string, path: string): string => {
  const { strategy } = contractAt(root, supervisor) ?? {}
  return strategy === "one_for_all" || strategy === "rest_for_one" ? `${supervisor}/*` : path
}

/** The path of the supervisor of what is at a path. */
export const above = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")))

/** The last part of a path. */
export const idOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

/** The path in the contract: with `Contract.templateKey` for each key of a dynamic supervisor whose children are all alike. */
export const templateOf = (root: Contract.Contract, path: string): string => {
  const [first, ...ids] = path.split("/")
  let contract: Contract.Contract | undefined = root
  const places = [first]
  for (const id of ids) {
    const own: Contract.ContractChild | undefined = contract?.children.find((child) => child.id === id)
    const child: Contract.ContractChild | undefined = own ?? contract?.children.find((child) => child.id === Contract.templateKey)
    places.push(child?.id ?? id)
    contract = child?.supervisor
  }
  return places.join("/")
}

/** Whether a path is meant: itself, any key where the pattern has `Contract.templateKey`, all below when it ends in `/*`. */
export const isMeant = (path: string, pattern: string): boolean => {
  const [ids, wanted] = [path.split("/"), pattern.split("/")]
  const isBelow = wanted.at(-1) === "*"
  if (isBelow) wanted.pop()
  const fits = wanted.every((id, index) => index < ids.length && (id === Contract.templateKey || id === ids[index]))
  return fits && (isBelow ? ids.length > wanted.length : ids.length === wanted.length)
}
