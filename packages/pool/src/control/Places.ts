/**
 * The places of a pool: which there are, and what each is for. Plain data in the Roster, so that it survives whoever acts on it.
 *
 * ```text
 *            a worker is to come            its worker is up              another has taken over, or there are to be fewer
 *  free ───────────────────────▶ filling ───────────────────▶ serving ──────────────────────────────────────────┐
 *   ▲                               │                          │   ▲ ▼ by an operator, or beyond its memory       │
 *   │                               │                          │ cordoned ───────────────────────────────────────┤
 *   │                               └─ it does not come up ─┐  │                                                  ▼
 *   └──────────── its worker is gone ◀── stopping ◀─────────┴──┴──────────── its calls are over ◀──────────── draining
 * ```
 *
 * A place that serves does so whether or not its worker is up at the moment: a crash is its supervisor's matter. So N places serve at any time,
 * and a replacement takes the lowest free one: places rotate within 0…N.
 */
import type { Because } from "./Recycle.ts"

/** What a place is for. */
export type Doing = "filling" | "serving" | "cordoned" | "draining" | "stopping" | "free"

/** How the worker of a place stands, when it was looked at. */
export interface Seen {
  readonly slot: number
  /** Its supervisor has started all of it. */
  readonly runs: boolean
  /** It has shaken hands. */
  readonly attached: boolean
  /** Calls that it has, or that wait for it alone. */
  readonly calls: number
  /** Calls that have left its place since the pool came up. */
  readonly served: number
  /** Bytes of memory, its descendants' with them, when that was measured. */
  readonly memory: number | undefined
  /** Of a canary: tools that the pool serves and that it has not, or not as the pool's other workers have them. */
  readonly missing: ReadonlyArray<string>
  readonly changed: ReadonlyArray<string>
}

export interface Place {
  readonly slot: number
  doing: Doing
  /** Of the process that fills it: -1 before the first. */
  generation: number
  /** When that process was first seen. */
  filledAt: number
  /** Calls that the place had served by then. */
  servedBefore: number
  /** From 0 to 1, drawn for that process: how much earlier than at its limits it is replaced, as a share of the jitter. */
  draw: number
  /** While it is being filled: the place whose worker goes when this one is up. */
  replaces: number | undefined
  /** Why its worker is to go, or goes. */
  because: Because | undefined
  /** Bytes of memory when that process was first measured. */
  baseline: number | undefined
  /** Who keeps new calls from it. */
  cordonedBy: "operator" | "memory" | undefined
  /** What its state asks for was ordered by the present Lifecycle. */
  ordered: boolean
  /** Counts the times that a worker was ordered to come. */
  attempt: number
  seen: Seen
}

const nothing = (slot: number): Seen => ({
  slot,
  runs: false,
  attached: false,
  calls: 0,
  served: 0,
  memory: undefined,
  missing: [],
  changed: []
})

const make = (slot: number, doing: Doing): Place => ({
  slot,
  doing,
  generation: -1,
  filledAt: 0,
  servedBefore: 0,
  draw: 0,
  replaces: undefined,
  because: undefined,
  baseline: undefined,
  cordonedBy: undefined,
  ordered: false,
  attempt: 0,
  seen: nothing(slot)
})

/** The first `size` places, each to be filled by the worker_starter. */
export const initial = (size: number): Array<Place> => Array.from({ length: size }, (_, slot) => make(slot, "serving"))

/** Whether the place counts for the pool's size. */
export const isActive = ({ doing }: Place): boolean => doing === "serving" || doing === "cordoned"

export const isRetiring = ({ doing }: Place): boolean => doing === "draining" || doing === "stopping"

/** Whether a worker is to come: `isThere` tells of a place that serves whether its worker takes calls. */
export const arrives = (
  { places, size }: { readonly places: ReadonlyArray<Place>; readonly size: number },
  isThere: (place: Place) => boolean
): boolean =>
  places.filter(isActive).length < size ||
  places.some((place) => place.doing === "filling" || (place.doing === "serving" && !isThere(place)))

/** The lowest free place. */
export const free = (places: Array<Place>): Place => {
  const present = places.find(({ doing }) => doing === "free")
  if (present !== undefined) return present
  const made = make(places.length, "free")
  places.push(made)
  return made
}

/** Its worker is gone. */
export const clear = (place: Place): void => {
  const { attempt, generation, slot } = place
  Object.assign(place, make(slot, "free"), { attempt, generation })
}
