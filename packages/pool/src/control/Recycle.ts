/**
 * Which worker is to be replaced, and why: pure.
 */
import * as Duration from "effect/Duration"
import type { PoolConfig } from "../PoolConfig.ts"
import { isActive, type Place } from "./Places.ts"

/** Why a worker goes, or comes. */
export const becauses = ["calls", "age", "memory", "version", "operator", "size"] as const

export type Because = typeof becauses[number]

export interface Due {
  readonly because: Because
  /** How far beyond its limit it is, as a share of it: the worst is replaced first. An operator's word goes before everything. */
  readonly urgency: number
}

/** Why the worker of a place is to be replaced; `undefined` when it is not. `isStale`: it is not of the version that the pool is to run. */
export const due = (
  place: Place,
  { age, calls, jitter, pss, rss }: PoolConfig["recycle"],
  isStale: boolean,
  now: number
): Due | undefined => {
  if (!isActive(place)) return undefined
  if (place.because === "operator") return { because: "operator", urgency: Number.POSITIVE_INFINITY }
  const early = 1 - jitter * place.draw
  const { memory, served } = place.seen
  const shares: ReadonlyArray<readonly [Because, number]> = [
    ["version", isStale ? 1 : 0],
    ["memory", share(memory, pss ?? rss, early)],
    ["calls", share(served - place.servedBefore, calls, early)],
    ["age", place.generation < 0 ? 0 : share(now - place.filledAt, age && Duration.toMillis(age), early)]
  ]
  const [because, urgency] = shares.reduce((worst, one) => one[1] > worst[1] ? one : worst)
  return urgency >= 1 ? { because, urgency } : undefined
}

const share = (value: number | undefined, limit: number | undefined, early: number): number =>
  value === undefined || limit === undefined ? 0 : value / (limit * early)

/** Whether it was beyond its limit, the jitter taken off, when it was first measured: another one would be too. */
export const isOversized = ({ baseline, draw }: Place, { jitter, pss, rss }: PoolConfig["recycle"]): boolean =>
  share(baseline, pss ?? rss, 1 - jitter * draw) >= 1

/** Whether it uses more memory than it may at all: the limit without its jitter. */
export const isBeyond = ({ seen: { memory } }: Place, { pss, rss }: PoolConfig["recycle"]): boolean => {
  const limit = pss ?? rss
  return memory !== undefined && limit !== undefined && memory >= limit
}

/**
 * The worker that can be spared when there are to be fewer: one of another version, then one that is to be replaced anyway; of these the one with the
 * fewest calls, then the one that has served the fewest.
 */
export const leastUsed = (
  places: ReadonlyArray<Place>,
  isStale: (place: Place) => boolean,
  isDue: (place: Place) => boolean
): Place | undefined => {
  const worth = (place: Place) => isStale(place) ? 0 : place.cordonedBy === "memory" || isDue(place) ? 1 : 2
  return places.filter(isActive)
    .toSorted((a, b) => worth(a) - worth(b) || a.seen.calls - b.seen.calls || used(a) - used(b) || b.slot - a.slot)[0]
}

const used = ({ seen, servedBefore }: Place): number => seen.served - servedBefore

/** 1 s: what kept the first from coming up may be over then. */
const firstRetryMillis = 1000
/** 1 minute: a version that does not come up at all is tried often enough then. */
const lastRetryMillis = 60_000

/** How long after a worker did not come up the next one is tried. */
export const retryMillis = (failures: number): number => Math.min(lastRetryMillis, firstRetryMillis * 2 ** (failures - 1))
