/**
 * Crash trains: the exits that one supervisor counted close together, and what came of them.
 *
 * **Details**
 *
 * Counted is what spends the budget: a child ended and needed a restart, or its start was refused. A train ends when all have been up for
 * longer than {@link pauseOf} without a counted exit: the limit's window, the time after which delays begin anew, and a minute, whichever is
 * longest. While something is down it goes on, for an hour at most.
 *
 * A train is of one {@link Kind}:
 *
 * - `"hopeless"`: one child ended, and the supervisor's own boot was refused, more than {@link hopelessAfter} times in it. So many restarts
 *   did not cure it.
 * - `"transient"`: it passed by itself. All came up, if need be when the supervisor was booted again, and nothing was counted for
 *   {@link settledOf}: the window or a minute, whichever is longer. Nobody mended anything but by starting once more, which a restart does too.
 * - `"open"`: neither shows. The record ends before, the application was shut down, somebody terminated the child, or it was not seen up again.
 *
 * When a supervisor gave up and the run ended before it shows, the first boot of the same path in the next run of the same host tells: one that
 * counts something within the settled time makes it hopeless, one that does not makes it transient. A supervisor gave up rightly in a hopeless
 * train, wrongly in a transient one, and of an open one it is unknown.
 */
import type { Contract } from "@snakepit/core"
import type * as Decision from "./Decision.ts"
import { contractAt, templateOf } from "./Place.ts"
import { recoveryKey, type RunRecord } from "./RunRecord.ts"

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

/** Whether it passed by itself. */
export type Kind = "transient" | "hopeless" | "open"

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
  /** All were seen up again. */
  readonly recovered: boolean
  readonly kind: Kind
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

const isHopeless = ({ exits, refusedBoots }: Pick<CrashTrain, "exits" | "refusedBoots">): boolean => {
  const byChild = new Map<string, number>()
  for (const { child } of exits) byChild.set(child, (byChild.get(child) ?? 0) + 1)
  return Math.max(...byChild.values()) + refusedBoots > hopelessAfter
}

const judgedOf: { readonly [kind in Kind]: GaveUp["judged"] } = { transient: "wrongly", hopeless: "rightly", open: "unknown" }

/** A run, read. */
export interface Read {
  readonly id: string
  readonly host: string
  readonly record: RunRecord
}

/** Unix milliseconds. */
export interface Between {
  readonly since: number
  readonly until: number
}

const always: Between = { since: Number.NEGATIVE_INFINITY, until: Number.POSITIVE_INFINITY }

/** The trains of every supervisor in some runs, which are given in the order of their starts. What is outside of a time is left out. */
export const of = (runs: ReadonlyArray<Read>, { since, until }: Between = always): ReadonlyArray<Trains> => {
  const byPath = new Map<string, { contract: Contract.Contract; trains: Array<CrashTrain>; watchedMillis: number; runs: Set<string> }>()
  for (const { host, id, record } of runs) {
    const watchedMillis = Math.min(record.endedAt, until) - Math.max(record.startedAt, since)
    if (watchedMillis < 0) continue
    const next = runs.find((other) => other.host === host && other.id !== id && other.record.startedAt >= record.endedAt)?.record
    for (const [path, decisions] of decisionsOf(record)) {
      const contract = contractAt(record.contract, path)
      if (contract === undefined) continue
      const place = templateOf(record.contract, path)
      const known = byPath.get(place) ?? { contract, trains: [], watchedMillis: 0, runs: new Set() }
      byPath.set(place, known)
      known.contract = contract
      if (!known.runs.has(id)) known.watchedMillis += watchedMillis
      known.runs.add(id)
      const trains = trainsOf({ run: id, path, contract: record.contract, decisions, endedAt: record.endedAt, next })
      known.trains.push(...trains.filter(({ endedAt, startedAt }) => endedAt >= since && startedAt <= until))
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

interface Watched {
  readonly run: string
  readonly path: string
  /** Of the root. */
  readonly contract: Contract.Contract
  readonly decisions: ReadonlyArray<Decision.Decision>
  readonly endedAt: number
  /** The next run of the host. */
  readonly next: RunRecord | undefined
}

const trainsOf = (watched: Watched): ReadonlyArray<CrashTrain> => {
  const reader = new Reader(watched)
  for (const decision of watched.decisions) reader.read(decision)
  return reader.result()
}

/** What is down for longer is taken to be left so, and no part of what comes then. An hour: longer than any delay of a restart. */
const longestDownMillis = 3_600_000

class Reader {
  private readonly trains: Array<CrashTrain> = []
  private readonly contract: Contract.Contract
  private readonly watched: Watched
  private exits: Array<Exit> = []
  private gaveUp: Array<number> = []
  private refusedBoots = 0
  private lastAt = 0
  /** Since when all have been up. */
  private upAt = 0
  /** Who waits for its restart: by what is restarted together, whose ends called for it. */
  private readonly down = new Map<string, Set<string>>()
  /** Its supervisor or it itself was stopped by somebody before it was up again. */
  private isStopped = false
  private readonly upSince = new Map<string, number>()
  private bootedAt = Number.NEGATIVE_INFINITY

  constructor(watched: Watched) {
    this.watched = watched
    this.contract = contractAt(watched.contract, watched.path)!
  }

  read(decision: Decision.Decision): void {
    if (decision.path !== this.watched.path) return this.refused(decision)
    switch (decision.verb) {
      case "start":
        return this.booted(decision)
      case "recover":
        return this.recovered(decision)
      case "terminate":
        return this.stopped(decision)
      case "leave":
        return this.isUpOrLeft(decision.at, this.keyOf(decision.child), decision.child)
      default:
        return this.ended(decision)
    }
  }

  result(): ReadonlyArray<CrashTrain> {
    this.close(this.watched.endedAt)
    return this.trains
  }

  private keyOf(child: string): string {
    const { contract, path } = this.watched
    return recoveryKey(contract, path, `${path}/${child}`)
  }

  private booted({ at }: Decision.Start): void {
    this.bootedAt = at
    this.upAt = at
    this.upSince.clear()
    this.down.clear()
    this.isStopped = false
  }

  private recovered({ at, child }: Decision.Recover): void {
    const key = this.keyOf(child)
    const { children, strategy } = this.contract
    const isAlone = strategy !== "one_for_all" && strategy !== "rest_for_one"
    const ids = isAlone ? [child] : children.map(({ id }) => id)
    const offenders = this.down.get(key) ?? new Set([child])
    const first = strategy === "rest_for_one" ? ids.findIndex((id) => offenders.has(id)) : 0
    for (const id of ids.slice(Math.max(0, first))) this.upSince.set(id, at)
    this.isUpOrLeft(at, key)
  }

  /** A child alone does not make its group come up. */
  private isUpOrLeft(at: number, key: string, child?: string): void {
    const offenders = this.down.get(key)
    if (child !== undefined) offenders?.delete(child)
    if (offenders !== undefined && (child === undefined || offenders.size === 0)) this.down.delete(key)
    if (this.down.size === 0) this.upAt = at
  }

  private stopped({ at, child }: Decision.Terminate): void {
    const before = this.down.size
    if (child === undefined) this.down.clear()
    else this.isUpOrLeft(at, this.keyOf(child), child)
    if (this.down.size < before) this.isStopped = true
  }

  private refused({ at }: Decision.Decision): void {
    this.pauseUntil(at)
    if (this.exits.length === 0) return
    this.refusedBoots++
    this.lastAt = at
  }

  private ended({ at, cause, child, reason, stage, verb }: Decision.Ended): void {
    this.pauseUntil(at)
    this.lastAt = at
    const since = stage === "running" ? this.upSince.get(child) ?? this.bootedAt : at
    this.exits.push({ at, child, stage, reason, cause, upMillis: at - since, gaveUp: verb === "give_up" })
    this.upSince.delete(child)
    const key = this.keyOf(child)
    this.down.set(key, (this.down.get(key) ?? new Set()).add(child))
    if (verb === "give_up") this.gaveUp.push(at)
  }

  private pauseUntil(at: number): void {
    const pause = pauseOf(this.contract)
    const isOver = this.down.size === 0
      ? at - Math.max(this.lastAt, this.upAt) > pause
      : at - this.lastAt > Math.max(pause, longestDownMillis)
    if (isOver) this.close(at)
  }

  private close(at: number): void {
    const first = this.exits[0]
    if (first !== undefined) {
      const { contract, exits, lastAt: endedAt, refusedBoots, watched: { path, run } } = this
      const recovered = this.down.size === 0 && !this.isStopped
      const isSettled = recovered && at - Math.max(endedAt, this.upAt) > settledOf(contract)
      const kind = isHopeless({ exits, refusedBoots })
        ? "hopeless"
        : isSettled
        ? "transient"
        : this.gaveUp.length > 0
        ? this.kindByNext()
        : "open"
      const gaveUp = this.gaveUp.map((at) => ({ at, judged: judgedOf[kind] }))
      this.trains.push({ run, path, startedAt: first.at, endedAt, exits, gaveUp, refusedBoots, recovered, kind })
    }
    this.exits = []
    this.gaveUp = []
    this.refusedBoots = 0
    this.down.clear()
    this.isStopped = false
  }

  private kindByNext(): Kind {
    const { next, path } = this.watched
    return next === undefined ? "open" : kindIn(path, this.contract, next)
  }
}

/** By the next run. */
const kindIn = (path: string, contract: Contract.Contract, next: RunRecord): Kind => {
  const settled = settledOf(contract)
  const boot = next.decisions.find((decision) => decision.verb === "start" && decision.path === path)
  if (boot === undefined) return "open"
  const trouble = next.decisions.find((decision) => decision.seq > boot.seq && isTrouble(decision, path))
  if (trouble !== undefined && trouble.at - boot.at <= settled) return "hopeless"
  return next.endedAt - boot.at > settled ? "transient" : "open"
}

/** It counted another exit, or its own start was refused. */
const isTrouble = (decision: Decision.Decision, path: string): boolean => {
  if (decision.verb !== "restart" && decision.verb !== "give_up") return false
  return decision.path === path || (isRefusal(decision) && `${decision.path}/${decision.child}` === path)
}

/** A start was refused, and counted. */
const isRefusal = (decision: Decision.Decision): decision is Decision.Ended =>
  (decision.verb === "restart" || decision.verb === "give_up") && decision.stage === "starting"
