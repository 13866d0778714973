/** What the supervisors of one running tree share: its clock, what they were changed to, who reads the tree as it changes, how many incidents it had. */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { MonotonicClock } from "../MonotonicClock.ts"
import type { RestartMemory } from "../RestartMemory.ts"
import type { SupervisorNode } from "../Tree.ts"

export interface TreeRoot<Spec> {
  /** What supervisors were changed to, by path: what their next start starts. */
  readonly changed: Map<string, Spec>
  readonly readers: Set<Reader>
  readonly clock: MonotonicClock
  /** Restarts of before this tree, by path, until the supervisor there has begun with them. */
  readonly spent: Map<string, ReadonlyArray<number>>
  /** Counted within a tree, so that the same tree under the same harm tells the same events. */
  readonly incidents: { count: number; at: number; prefix: string }
  /** How many supervisors have run. */
  supervisors: number
}

interface Reader {
  readonly path: string
  readonly news: Queue.Queue<void, Cause.Done>
}

export const make = <Spec>(clock: MonotonicClock, memory: RestartMemory): TreeRoot<Spec> => ({
  clock,
  spent: new Map([...memory].map(([path, times]) => [path, times.map((at) => Math.min(at, clock.now())).toSorted((a, b) => a - b)])),
  changed: new Map(),
  readers: new Set(),
  incidents: { count: 0, at: 0, prefix: "0" },
  supervisors: 0
})

/** A new incident. Writing a time down costs more than a restart's other words together, and many have the same: it is kept. */
export const nextIncident = <Spec>({ incidents }: TreeRoot<Spec>, now: number): string => {
  if (now !== incidents.at) {
    incidents.at = now
    incidents.prefix = now.toString(36)
  }
  return `${incidents.prefix}-${(incidents.count++).toString(36)}`
}

/** What the supervisor at `path` begins with. Its next generation begins anew, as it does within one run. */
export const takeSpent = <Spec>({ spent }: TreeRoot<Spec>, path: string): ReadonlyArray<number> | undefined => {
  const times = spent.get(path)
  spent.delete(path)
  return times
}

const isAtOrBelow = (path: string, above: string): boolean => path === above || path.startsWith(`${above}/`)

/** A later child of the same path must not inherit what this one was changed to. */
export const forget = <Spec>({ changed }: TreeRoot<Spec>, path: string): void => {
  if (changed.size === 0) return
  for (const at of changed.keys()) if (isAtOrBelow(at, path)) changed.delete(at)
}

/** Something may have changed in the supervisor at `path`. */
export const signal = <Spec>({ readers }: TreeRoot<Spec>, path: string, hasEnded: boolean): void => {
  if (readers.size === 0) return
  for (const reader of readers) {
    if (isAtOrBelow(path, reader.path)) Queue.offerUnsafe(reader.news, undefined)
    if (hasEnded && path === reader.path) Queue.endUnsafe(reader.news)
  }
}

/** The news take one place: who reads slowly finds the latest, and nobody waits for him. */
export const changes = <Spec>(
  { readers }: TreeRoot<Spec>,
  path: string,
  snapshot: () => SupervisorNode,
  hasEnded: () => boolean
): Stream.Stream<SupervisorNode> =>
  Stream.unwrap(Effect.gen(function*() {
    const reader: Reader = { path, news: yield* Queue.sliding<void, Cause.Done>(1) }
    yield* Effect.acquireRelease(
      Effect.sync(() => readers.add(reader)),
      () => Effect.sync(() => readers.delete(reader))
    )
    Queue.offerUnsafe(reader.news, undefined)
    if (hasEnded()) Queue.endUnsafe(reader.news)
    return Stream.fromQueue(reader.news).pipe(Stream.map(snapshot), Stream.changes)
  }))
