/**
 * What must happen, where some of it may happen in any order: sequences with branches that run at once.
 *
 * **Example** (Two workers start together, then their pool is up)
 *
 * ```ts
 * import { Order } from "@snakepit/core/testing"
 *
 * const order: Order.Order<string> = [Order.atOnce(["0 process", "0 channel"], ["1 process", "1 channel"]), "pool"]
 *
 * Order.difference(order, ["1 process", "0 process", "0 channel", "1 channel", "pool"]) // => undefined
 * Order.difference(order, ["0 channel"]) // => "1st: got 0 channel, expected 0 process or 1 process"
 * ```
 */

/** Items one after the other; the branches of an item that is {@link AtOnce} each in its order, among each other in any. */
export type Order<A> = ReadonlyArray<A | AtOnce<A>>

/** Branches that run at once; what comes after waits for all of them. */
export interface AtOnce<A> {
  readonly _tag: "AtOnce"
  readonly branches: ReadonlyArray<Order<A>>
}

/** Branches that run at once. */
export const atOnce = <A>(...branches: ReadonlyArray<Order<A>>): AtOnce<A> => ({ _tag: "AtOnce", branches })

const isAtOnce = <A>(item: A | AtOnce<A>): item is AtOnce<A> =>
  typeof item === "object" && item !== null && "_tag" in item && item._tag === "AtOnce"

/** The first point in which what was seen is not in the order, as a sentence; `undefined` when it is, to the end. */
export const difference = (order: Order<string>, seen: ReadonlyArray<string>): string | undefined => {
  let left = order
  for (const [index, item] of seen.entries()) {
    const after = derive(left, item)
    if (after === undefined) return `${ordinal(index + 1)}: got ${item}, expected ${heads(left).join(" or ") || "nothing more"}`
    left = after
  }
  return isOver(left) ? undefined : `then nothing more, expected ${heads(left).join(" or ")}`
}

const ordinal = (n: number): string => `${n}${n === 1 ? "st" : n === 2 ? "nd" : n === 3 ? "rd" : "th"}`

/** What is left of the order after `seen`; `undefined` when that cannot come now. */
const derive = (order: Order<string>, seen: string): Order<string> | undefined => {
  const [first, ...rest] = trim(order)
  if (first === undefined) return undefined
  if (!isAtOnce(first)) return first === seen ? rest : undefined
  for (const [index, branch] of first.branches.entries()) {
    const after = derive(branch, seen)
    if (after !== undefined) return [{ ...first, branches: first.branches.with(index, after) }, ...rest]
  }
  return undefined
}

/** Without branches at its head that are over. */
const trim = <A>(order: Order<A>): Order<A> => {
  const start = order.findIndex((item) => !isAtOnce(item) || !item.branches.every(isOver))
  return start === -1 ? [] : order.slice(start)
}

const isOver = <A>(order: Order<A>): boolean => trim(order).length === 0

/** What may come next. */
const heads = (order: Order<string>): ReadonlyArray<string> => {
  const first = trim(order)[0]
  return first === undefined ? [] : isAtOnce(first) ? first.branches.flatMap(heads) : [first]
}

/** The order of other items: each becomes as many as `f` says, in the order in which they stand. */
export const flatMap = <A, B>(order: Order<A>, f: (item: A) => Order<B>): Order<B> =>
  order.flatMap((item): Order<B> => isAtOnce(item) ? [atOnce(...item.branches.map((branch) => flatMap(branch, f)))] : f(item))
