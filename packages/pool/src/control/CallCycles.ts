/**
 * Finds calls that would wait for ever, because every place of their pool is held by a call that waits for them, and has the youngest fail.
 *
 * **Details**
 *
 * Looked for when a call from a host tool has to wait, and again while it does, since a pool may lose places. Nothing is guessed: a call
 * counts as blocked only when its tool itself waits for its host tool, and that in its own fiber for a call that has given nothing yet. What waits in
 * another way (`Effect.all` with concurrency, `asyncio.gather`) may go on, so its limits of time decide. A worker that is away will bring
 * places back. The search is `Deadlock.ts`.
 */
import type * as CallError from "../CallError.ts"
import * as Deadlock from "./Deadlock.ts"
import type { Call, Slot } from "./Dispatch.ts"
import * as Line from "./Line.ts"
import * as Places from "./Places.ts"
import * as Roster from "./Roster.ts"

/** Ends what waits for ever among the calls from host tools that wait in this pool. */
export const look = (roster: Roster.Roster): void => {
  for (const id of roster.nested) {
    if (roster.tickets.has(id)) lookAt(roster, id)
    else roster.nested.delete(id)
  }
}

/** When this call waits for ever, ends the youngest of those that it waits for and that wait for themselves: itself, unless it is older. */
export const lookAt = (roster: Roster.Roster, id: number): void => {
  if (roster.state.calls.get(id)?.stage !== "Queued") return
  const rosters = new Map<Call, Roster.Roster>()
  const known = (call: Call | undefined, of: Roster.Roster): ReadonlyArray<Call> | undefined => {
    if (call === undefined) return undefined
    rosters.set(call, of)
    return [call]
  }
  const blockers = (call: Call): ReadonlyArray<Call> | undefined => {
    const of = rosters.get(call)!
    if (call.stage === "Abandoned" || call.stage === "Resting" || !isSettled(of)) return undefined
    if (call.stage === "Queued") {
      const holders = holdersFor(of, call)
      for (const holder of holders ?? []) rosters.set(holder, of)
      return holders
    }
    const holders = placesOf(of.state.slots[call.slot]!)
    if (!holders.includes(call)) { // it was sent ahead
      for (const holder of holders) rosters.set(holder, of)
      return holders
    }
    const inner = hostToolOf(call, of)
    const waited = inner?.roster.state.calls.get(inner.id)
    return inner === undefined || waited === undefined || waited.delivered > 0 ? undefined : known(waited, inner.roster)
  }
  const [start] = known(roster.state.calls.get(id), roster)!
  const circle = Deadlock.find(start!, blockers, ({ offer, stage }) => stage === "Queued" ? offer.nested : undefined)
  if (circle === undefined) return
  const cycle = circle.map((call): CallError.CycleStep => {
    const of = rosters.get(call)!
    const hostTool = call.stage === "Queued" ? undefined : hostToolOf(call, of)?.hostTool
    return { pool: of.pool, tool: call.offer.tool, ...hostTool !== undefined && { hostTool } }
  })
  Roster.put(rosters.get(circle[0]!)!, { _tag: "Cycle", id: circle[0]!.id, cycle })
}

/** The host tool that a call in a place waits for, with the call that this waits for. */
const hostToolOf = (call: Call, { hostCalls }: Roster.Roster) => hostCalls.blocking(call.slot, Roster.attemptId(call.id, call.attempt))

/** What is known of its calls is how they stand: nothing has happened that is still to be decided. */
const isSettled = ({ dispatcher, inbox }: Roster.Roster): boolean => dispatcher !== undefined && inbox.length === 0

/** The calls in the places of a worker; those behind them were sent ahead. */
const placesOf = ({ calls, concurrency }: Slot): ReadonlyArray<Call> => {
  const holders: Array<Call> = []
  for (const call of Line.members(calls)) {
    if (holders.push(call) === concurrency) break
  }
  return holders
}

/** Calls of its session that run where this is to end before it goes elsewhere. */
const sessionOn = ({ calls }: Slot, { session }: Call): ReadonlyArray<Call> | undefined => {
  const holders = [...Line.members(calls)].filter((other) => other.session === session)
  return holders.length > 0 ? holders : undefined
}

/** Those in the places that a queued call may get; `undefined`: one is free, or will come. */
const holdersFor = ({ lifecycle, state: { slots } }: Roster.Roster, call: Call): ReadonlyArray<Call> | undefined => {
  const waitsIn = ({ tenants }: Slot["bound"]) => call.line !== undefined && tenants.get(call.tenant) === call.line
  const home = slots.find(({ bound, boundNested }) => waitsIn(bound) || waitsIn(boundNested))
  if (home === undefined ? Places.arrives(lifecycle, ({ slot }) => slots[slot]?.open === true) : !home.open) return undefined
  if (home !== undefined && call.session?.moves !== undefined) return sessionOn(home, call)
  const places = home === undefined ? slots.filter(({ cordoned, open }) => open && !cordoned) : [home]
  const holders: Array<Call> = []
  for (const slot of places) {
    const held = placesOf(slot)
    if (held.length < slot.concurrency) return undefined
    holders.push(...held)
  }
  return holders
}
