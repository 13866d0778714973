/**
 * A queue in which tenants take turns, one call each; the calls of one tenant leave first in, first out.
 *
 * **Details**
 *
 * A tenant whose call was taken goes to the end of the turns; so does one that comes. Hence the bound: between two calls of a tenant that
 * waits all the while, at most one call of each other tenant is taken, however many of theirs wait.
 */
import * as Line from "./Line.ts"

interface Tenant<A> extends Line.Line<A>, Line.Linked<Tenant<A>> {
  readonly name: string
  readonly queue: TenantQueue<A>
}

export interface TenantQueue<A> {
  /** Tenants with waiting calls, by name. */
  readonly tenants: Map<string, Tenant<A>>
  /** The same, the next one first. */
  readonly turns: Line.Line<Tenant<A>>
  length: number
}

/** What can wait here. */
type Member<A> = Line.Linked<A> & { readonly tenant: string }

export const make = <A>(): TenantQueue<A> => ({ tenants: new Map(), turns: Line.make(), length: 0 })

const tenantOf = <A extends Member<A>>(queue: TenantQueue<A>, name: string): Tenant<A> => {
  const present = queue.tenants.get(name)
  if (present !== undefined) return present
  const made: Tenant<A> = {
    name,
    queue,
    first: undefined,
    last: undefined,
    length: 0,
    line: undefined,
    before: undefined,
    after: undefined
  }
  queue.tenants.set(name, made)
  Line.push(queue.turns, made)
  return made
}

/** Puts a call behind those of its tenant. */
export const push = <A extends Member<A>>(queue: TenantQueue<A>, call: A): void => {
  Line.push(tenantOf(queue, call.tenant), call)
  queue.length++
}

/** Puts a call before those of its tenant. */
export const unshift = <A extends Member<A>>(queue: TenantQueue<A>, call: A): void => {
  Line.unshift(tenantOf(queue, call.tenant), call)
  queue.length++
}

/** The next call. */
export const first = <A>(queue: TenantQueue<A>): A | undefined => queue.turns.first?.first

/** Takes out the next call. */
export const take = <A extends Member<A>>(queue: TenantQueue<A>): A | undefined => {
  const tenant = queue.turns.first
  const call = tenant?.first
  if (tenant === undefined || call === undefined) return undefined
  leave(call)
  if (tenant.length > 0 && tenant.after !== undefined) {
    Line.leave(tenant)
    Line.push(queue.turns, tenant)
  }
  return call
}

/** Takes out a call that waits in some queue. */
export const leave = <A extends Member<A>>(call: A): void => {
  const tenant = call.line as Tenant<A>
  Line.leave(call)
  tenant.queue.length--
  if (tenant.length > 0) return
  tenant.queue.tenants.delete(tenant.name)
  Line.leave(tenant)
}

/** Takes out all, whatever state they are in. */
export const clear = <A>(queue: TenantQueue<A>): void => {
  queue.tenants.clear()
  Object.assign(queue.turns, Line.make())
  queue.length = 0
}

/** Calls of a tenant that wait. */
export const lengthOf = <A>(queue: TenantQueue<A>, tenant: string): number => queue.tenants.get(tenant)?.length ?? 0

/** The waiting calls, tenant by tenant. */
export function* members<A extends Member<A>>(queue: TenantQueue<A>): Iterable<A> {
  for (const tenant of Line.members(queue.turns)) yield* Line.members(tenant)
}
