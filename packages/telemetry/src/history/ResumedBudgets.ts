/**
 * What was spent of restart budgets before this start, by the history: so that a host that crashes again and again cannot give itself whole
 * budgets by crashing.
 *
 * ```text
 *  runs of this host   ──▶ ended without order and gone: a death, which counts against the root
 *  their restarts      ──▶ of the last generation of each supervisor: what its window held when the host ended
 * ```
 */
import { Contract, Event, Intensity, type RestartMemory } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TelemetryEvent from "../TelemetryEvent.ts"
import * as HistoryPlace from "./HistoryPlace.ts"
import type { Recorded } from "./HistoryReader.ts"
import type { PastStart, Start } from "./HistoryStore.ts"
import { StartedTooOften } from "./StartedTooOften.ts"

/** How long a start waits for its history. One that takes longer is not worth a host that does not come up. */
const loadMillis = 2000

/** What {@link spent} takes. */
export interface Past {
  /** The starts of this host, oldest first, without those that still run. */
  readonly starts: ReadonlyArray<PastStart>
  /** The events of their supervisors since `since`, oldest first. */
  readonly events: ReadonlyArray<Recorded>
  /** Unix time in milliseconds from which events were read. */
  readonly since: number
  /** The path of the root. */
  readonly root: string
}

/** What was spent: times of restarts by path, the root's with the deaths of the host, and those deaths alone. */
export interface Spent {
  readonly memory: RestartMemory.RestartMemory
  readonly deaths: ReadonlyArray<number>
}

/** Folds the past. Pure. */
export const spent = ({ events, root, since, starts }: Past): Spent => {
  const memory = new Map<string, Array<number>>()
  const runs = new Map(starts.map((start) => [start.id, start]))
  const met = new Set<string>()
  for (const { event: { at, attributes, name }, run } of events) {
    const start = runs.get(run)
    const path = attributes["path"]
    if (start === undefined || typeof path !== "string") continue
    if (name.endsWith("_supervisor.start")) {
      // its first start in a run goes on with what the run before has left; a further one begins anew
      const isFirst = start.startedAt >= since && !met.has(`${run} ${path}`)
      met.add(`${run} ${path}`)
      if (!isFirst) memory.delete(path)
    } else if (name.endsWith("_supervisor.restart") || (name.endsWith("_supervisor.give_up") && path !== root)) {
      memory.set(path, [...memory.get(path) ?? [], at])
    }
  }
  const deaths = starts.filter(({ endedAt }) => endedAt === undefined).map(({ lastAt, startedAt }) => lastAt ?? startedAt)
    .filter((at) => at >= since)
  if (deaths.length > 0) memory.set(root, [...memory.get(root) ?? [], ...deaths].toSorted((a, b) => a - b))
  return { memory, deaths }
}

/** When the root's budget, which is exceeded, allows a start again; `undefined` when it is not exceeded. */
export const refusedUntil = (times: ReadonlyArray<number>, limit: Intensity.Limit | "unlimited", now: number): number | undefined => {
  if (limit === "unlimited") return undefined
  const counted = times.map((at) => Math.min(at, now)).filter((at) => at > now - limit.withinMillis).toSorted((a, b) => a - b)
  return counted.length <= limit.maxRestarts ? undefined : Intensity.freeAt(Intensity.make(limit, "milliseconds", counted), 0, now)
}

/** The longest window of any supervisor. */
const longest = (contract: Contract.Contract): number =>
  Math.max(0, ...Contract.flatten(contract).map(({ contract: { intensity } }) => intensity === "unlimited" ? 0 : intensity.withinMillis))

const load = (place: HistoryPlace.Some, start: Start, isAlive: (process: string) => boolean) =>
  Effect.gen(function*() {
    const store = yield* HistoryPlace.open(place, false)
    const now = yield* Clock.currentTimeMillis
    const since = now - longest(start.contract)
    const starts = (yield* store.past(start.host)).filter(({ endedAt, process }) => endedAt !== undefined || !isAlive(process))
    const events = yield* Stream.runCollect(store.reader.events({ name: "snakepit.*_supervisor.*", since }))
    const root = start.contract.id
    const found = spent({ starts, events, since, root })
    const limit = start.contract.intensity
    const allowedAt = refusedUntil(found.memory.get(root) ?? [], limit, now)
    // it counts from here on: also a host that dies before its history has begun to record
    if (allowedAt === undefined || limit === "unlimited") yield* store.begin(start)
    else {
      const oldest = now - limit.withinMillis
      return yield* Effect.fail(
        new StartedTooOften({
          host: start.host,
          store: HistoryPlace.describe(place),
          deaths: found.deaths.filter((at) => at > oldest),
          restarts: (found.memory.get(root) ?? []).filter((at) => at > oldest && !found.deaths.includes(at)),
          ...limit,
          allowedAt
        })
      )
    }
    return found
  }).pipe(Effect.scoped)

/** What supervisors are to remember. */
export interface Resumed {
  readonly memory: RestartMemory.RestartMemory
  /** Tells what came of it: once it can be recorded. */
  readonly tell: Effect.Effect<void>
}

/**
 * What supervisors are to remember, read before the tree starts. Fails when this host has died too often. A history that cannot be read in
 * time is no reason not to start: that is told, and budgets begin whole.
 */
export const resume = (
  place: HistoryPlace.Some,
  start: Start,
  isAlive: (process: string) => boolean
): Effect.Effect<Resumed, StartedTooOften> => {
  const store = HistoryPlace.describe(place)
  const unread = (cause: string): Effect.Effect<Resumed> =>
    Effect.succeed({ memory: new Map(), tell: Event.emit(TelemetryEvent.history_unread, {}, { store, cause }) })
  return load(place, start, isAlive).pipe(
    Effect.timeout(loadMillis),
    Effect.map(({ deaths, memory }): Resumed => {
      const restarts = [...memory.values()].reduce((sum, times) => sum + times.length, 0) - deaths.length
      const measured = { supervisors: memory.size, restarts, deaths: deaths.length }
      return { memory, tell: Event.emit(TelemetryEvent.history_resume, measured, { store }) }
    }),
    Effect.catchTags({
      HistoryFailed: (error) => unread(error.message),
      TimeoutError: () => unread(`it was not read within ${loadMillis / 1000} s`)
    })
  )
}
