/** The children of a supervisor in start order: a doubly linked list with positions, so that order costs O(1) to keep and to compare. */
import type { ChildState } from "../SupervisorState.ts"

export interface ChildOrder {
  first: ChildState | undefined
  last: ChildState | undefined
}

export const make = (children: Iterable<ChildState>): ChildOrder => {
  const order: ChildOrder = { first: undefined, last: undefined }
  for (const child of children) append(order, child)
  return order
}

export const append = (order: ChildOrder, child: ChildState): void => {
  const { last } = order
  child.position = last === undefined ? 0 : last.position + 1
  child.before = last
  child.after = undefined
  if (last === undefined) order.first = child
  else last.after = child
  order.last = child
}

/** The child keeps its own links, so that whoever stands on it can still step away. */
export const remove = (order: ChildOrder, child: ChildState): void => {
  const { after, before } = child
  if (before === undefined) order.first = after
  else before.after = after
  if (after === undefined) order.last = before
  else after.before = before
}
