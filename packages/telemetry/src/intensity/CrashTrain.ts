/**
 * Crash trains: the exits that one supervisor counted close together, and what came of them.
 *
 * **Details**
 *
 * Counted is what spends the budget: a child ended and needed a restart, or its start was refused. A train ends when nothing was counted
 * for longer than {@link pauseOf}: the limit's window, the time after which delays begin anew, and a minute, whichever is longest.
 *
 * A train is *hopeless* when one child ended, or the supervisor's own boot was refused, more than {@link hopelessAfter} times in it, or when a
 * child was not seen up again. A supervisor that gave up
 * is judged by its train:
 *
 * - `"rightly"`: the train is hopeless. So many restarts, before and after, did not cure it.
 * - `"wrongly"`: it passed by itself. The supervisor was booted again, all children came up, and nothing was counted for {@link settledOf}: the
 *   window or a minute, whichever is longer. Nobody mended anything but by starting once more, which a restart does too.
 * - `"unknown"`: the record ends before one or the other shows. When the run ended, the first boot of the same path in the next run tells: one
 *   that counts something within that time is `"rightly"`, one that does not is `"wrongly"`.
 */
import type { Contract } from "@snakepit/core"
import type * as Decision from "./Decision.ts"
import { contractAt, templateOf } from "./Place.ts"
import type { RunRecord } from "./RunRecord.ts"

/** One exit that was counted. `upMillis` is how long the life had lasted; 0 of a start that was refused. */
export interface Exit {
  readonly at: number
  readonly child: string
  readonly stage: "starting" | "running"
  readonly reason: string
  readonly cause: string
  readonly upMillis: number
  readonly gaveUp: boolean
}

/** A supervisor gave up. */
export interface GaveUp {
  readonly at: number
  readonly judged: "wrongly" | "rightly" | "unknown"
}

/** A train. Times are in Unix milliseconds. */
export interface CrashTrain {
  readonly run: string
  /** The path of the supervisor. */
  readonly path: string
  readonly startedAt: number
  readonly endedAt: number
  readonly exits: ReadonlyArray<Exit>
  readonly gaveUp: ReadonlyArray<GaveUp>
  /** Boots of the supervisor itself that were refused meanwhile, which the one above counts. */
  readonly refusedBoots: number
  /** The child that ended last was seen up again. */
  readonly recovered: boolean
}

/** All trains of one supervisor, with its contract as of the last run. Supervisors that one template makes share it, and are as one. */
export interface Trains {
  /** The path in the contract: with `<key>` for all keys of a template. */
  readonly path: string
  readonly contract: Contract.Contract
  readonly trains: ReadonlyArray<CrashTrain>
  /** How long it was watched, and how many runs. */
  readonly watchedMillis: number
  readonly runs: number
}

const minute = 60_000 // shorter than this nobody would call it calm

/** Milliseconds without a counted exit that end a train. */
export const pauseOf = ({ backoff, intensity }: Contract.Contract): number =>
  Math.max(
    minute,
    intensity === "unlimited" ? 0 : intensity.withinMillis,
    Number.isFinite(backoff.resetAfterMillis) ? backoff.resetAfterMillis : 0
  )

/** Milliseconds without a counted exit after which a boot has cured it. */
export const settledOf = ({ intensity }: Contract.Contract): number =>
  Math.max(minute, intensity === "unlimited" ? 0 : intensity.withinMillis)

/** Ends of one child, and refused boots, in one train after which somebody must have mended it: bursts that pass by themselves are shorter. */
export const hopelessAfter = 12

/** Whether no restart cured it. */
export const isHopeless = ({ exits, recovered, refusedBoots }: Pick<CrashTrain, "exits" | "recovered" | "refusedBoots">): boolean => {
  const byChild = new Map<string, number>()
  for (const { child } of exits) byChild.set(child, (byChild.get(child) ?? 0) + 1)
  return !recovered || Math.max(...byChild.values()) + refusedBoots > hopelessAfter
}

/** The trains of every supervisor in some runs, which are given in the order of their starts. */
export const of = (runs: ReadonlyArray<{ readonly id: string; readonly record: RunRecord }>): ReadonlyArray<Trains> => {
  const byPath = new Map<string, { contract: Contract.Contract; trains: Array<CrashTrain>; watchedMillis: number; runs: Set<string> }>()
  for (const [index, { id, record }] of runs.entries()) {
    const next = runs[index + 1]?.record
    for (const [path, decisions] of decisionsOf(record)) {
      const contract = contractAt(record.contract, path)
      if (contract === undefined) continue
      const place = templateOf(record.contract, path)
      const known = byPath.get(place) ?? { contract, trains: [], watchedMillis: 0, runs: new Set() }
      byPath.set(place, known)
      known.contract = contract
      if (!known.runs.has(id)) known.watchedMillis += record.endedAt - record.startedAt
      known.runs.add(id)
      known.trains.push(...trainsOf(id, path, contract, decisions, record.endedAt, () => next && judgedIn(path, contract, next)))
    }
  }
  return [...byPath].map(([path, { contract, runs, trains, watchedMillis }]) => ({
    path,
    contract,
    trains: trains.toSorted((a, b) => a.startedAt - b.startedAt),
    watchedMillis,
    runs: runs.size
  }))
}

/** What each supervisor decided, and what the one above it decided of its boots. */
const decisionsOf = (record: RunRecord): ReadonlyMap<string, ReadonlyArray<Decision.Decision>> => {
  const byPath = new Map<string, Array<Decision.Decision>>()
  const add = (path: string, decision: Decision.Decision) => {
    const known = byPath.get(path)
    if (known === undefined) byPath.set(path, [decision])
    else known.push(decision)
  }
  for (const decision of record.decisions) {
    add(decision.path, decision)
    if (isRefusal(decision)) add(`${decision.path}/${decision.child}`, decision) // of a supervisor, it is its boot
  }
  return byPath
}

const trainsOf = (
  run: string,
  path: string,
  contract: Contract.Contract,
  decisions: ReadonlyArray<Decision.Decision>,
  endedAt: number,
  judgedByNext: () => GaveUp["judged"] | undefined
): ReadonlyArray<CrashTrain> => {
  const trains: Array<CrashTrain> = []
  let exits: Array<Exit> = []
  let gaveUp: Array<number> = []
  let refusedBoots = 0
  let lastAt = 0
  let down = new Set<string>()
  const upSince = new Map<string, number>()
  let bootedAt = Number.NEGATIVE_INFINITY
  const pause = pauseOf(contract)
  const close = (nextAt = Number.POSITIVE_INFINITY) => {
    const first = exits[0]
    if (first !== undefined) {
      const recovered = down.size === 0
      const isOver = Math.min(nextAt, endedAt) - lastAt > settledOf(contract)
      const judged = isHopeless({ exits, recovered, refusedBoots })
        ? recovered || isOver ? "rightly" : judgedByNext() ?? "unknown"
        : isOver
        ? "wrongly"
        : judgedByNext() ?? "unknown"
      trains.push({
        run,
        path,
        startedAt: first.at,
        endedAt: lastAt,
        exits,
        refusedBoots,
        gaveUp: gaveUp.map((at) => ({ at, judged })),
        recovered
      })
    }
    exits = []
    gaveUp = []
    refusedBoots = 0
    down = new Set()
  }
  for (const decision of decisions) {
    if (decision.path !== path) {
      if (exits.length === 0) continue
      refusedBoots++
      lastAt = decision.at
    } else if (decision.verb === "recover") {
      upSince.set(decision.child, decision.at)
      down.delete(decision.child)
    } else if (decision.verb === "start") {
      bootedAt = decision.at
      upSince.clear()
      down.clear()
    } else if (decision.verb === "restart" || decision.verb === "give_up") {
      const { at, cause, child, reason, stage, verb } = decision
      if (exits.length > 0 && at - lastAt > pause) close(at)
      lastAt = at
      const since = stage === "running" ? upSince.get(child) ?? bootedAt : at
      exits.push({
        at,
        child,
        stage,
        reason,
        cause,
        upMillis: at - since,
        gaveUp: verb === "give_up"
      })
      upSince.delete(child)
      down.add(child)
      if (verb === "give_up") gaveUp.push(at)
    }
  }
  close()
  return trains
}

/** By the next run; `undefined` when it was not booted there. */
const judgedIn = (path: string, contract: Contract.Contract, next: RunRecord): GaveUp["judged"] | undefined => {
  const settled = settledOf(contract)
  const boot = next.decisions.find((decision) => decision.verb === "start" && decision.path === path)
  if (boot === undefined) return undefined
  const trouble = next.decisions.find((decision) => decision.seq > boot.seq && isTrouble(decision, path))
  if (trouble !== undefined && trouble.at - boot.at <= settled) return "rightly"
  return next.endedAt - boot.at > settled ? "wrongly" : "unknown"
}

/** It counted another exit, or its own start was refused. */
const isTrouble = (decision: Decision.Decision, path: string): boolean => {
  if (decision.verb !== "restart" && decision.verb !== "give_up") return false
  return decision.path === path || (isRefusal(decision) && `${decision.path}/${decision.child}` === path)
}

/** A start was refused, and counted. */
const isRefusal = (decision: Decision.Decision): decision is Decision.Ended =>
  (decision.verb === "restart" || decision.verb === "give_up") && decision.stage === "starting"
