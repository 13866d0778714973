/** How the workers of a pool stand, each counted once. */
import type { WorkerState } from "../PoolMetrics.ts"
import type { Slot } from "./Dispatch.ts"
import type { Place } from "./Places.ts"
import type { Roster } from "./Roster.ts"

/** Workers by how they stand. */
export type Census = Record<WorkerState, number>

const stateOf = ({ doing }: Place, slot: Slot | undefined): WorkerState => {
  if (doing === "draining" || doing === "stopping") return "draining"
  if (doing === "filling" || slot?.tools === undefined) return "starting"
  if (slot.cordoned) return "cordoned"
  if (slot.avoided || !slot.open) return "avoided"
  return slot.calls.length < slot.concurrency ? "ready" : "busy"
}

export const of = ({ lifecycle, state }: Roster): Census => {
  const census: Census = { ready: 0, busy: 0, starting: 0, draining: 0, cordoned: 0, avoided: 0 }
  for (const place of lifecycle.places) if (place.doing !== "free") census[stateOf(place, state.slots[place.slot])]++
  return census
}
