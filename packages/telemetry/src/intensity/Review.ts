/**
 * The intensity review: what every supervisor of an application went through, how near it came to its limit, whether it gave up rightly, and
 * which limit and delays would fit better.
 *
 * **Example** (A quarterly review)
 *
 * ```ts
 * import { type HistoryReader, Review } from "@snakepit/telemetry"
 * import { Effect } from "effect"
 *
 * declare const history: HistoryReader.HistoryReader
 * declare const aQuarterAgo: number
 *
 * const wrongly = Effect.map(
 *   Review.review(history, { since: aQuarterAgo }),
 *   ({ supervisors }) => supervisors.filter(({ gaveUp }) => gaveUp.wrongly > 0)
 * )
 * ```
 *
 * @see {@link ./CrashTrain.ts} for what a train is, and when a supervisor gave up wrongly
 * @see {@link ./Advisor.ts} for how a recommendation is found
 */
import type { Contract } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { HistoryFailed, HistoryReader, Run } from "../history/HistoryReader.ts"
import * as Advisor from "./Advisor.ts"
import * as CrashTrain from "./CrashTrain.ts"
import * as Policy from "./Policy.ts"
import * as Replay from "./Replay.ts"
import * as RunRecord from "./RunRecord.ts"
import type * as WhatIf from "./WhatIf.ts"
import * as Words from "./Words.ts"

const Moment = Schema.Struct({ at: Schema.Finite, judged: Schema.Literals(["wrongly", "rightly", "unknown"]) })

/** One crash train, for the chart: Unix milliseconds. */
const Train = Schema.Struct({
  run: Schema.String,
  path: Schema.String,
  startedAt: Schema.Finite,
  endedAt: Schema.Finite,
  exits: Schema.Int,
  children: Schema.Array(Schema.String),
  recovered: Schema.Boolean,
  gaveUp: Schema.Array(Moment)
})

const Estimate = Schema.Struct({
  policy: Schema.String,
  /** Of a transient train, from 0 to 1. */
  falseShare: Schema.Finite,
  /** In thirty days, at the rate of trains that was seen. */
  falsePerMonth: Schema.Finite,
  detectionMeanMillis: Schema.Finite,
  detectionWorstMillis: Schema.Finite
})

/** The review of one supervisor, or of all that one template makes: its path has `<key>` then. */
export const ReviewedSupervisor = Schema.Struct({
  path: Schema.String,
  limit: Schema.String,
  limitBecause: Schema.String,
  runs: Schema.Int,
  watchedMillis: Schema.Finite,
  exits: Schema.Int,
  trains: Schema.Array(Train),
  /** Exits of the longest train; trains a day; and how often each reason was told, the most frequent first. */
  longest: Schema.Int,
  trainsPerDay: Schema.Finite,
  reasons: Schema.Array(Schema.Struct({ reason: Schema.String, cause: Schema.String, times: Schema.Int })),
  /** The most exits that the limit's window held, and when; `undefined` without a limit or without an exit. */
  heaviest: Schema.optional(Schema.Struct({ exits: Schema.Int, at: Schema.Finite })),
  /** The most exits that one window held, of each train; and the limit itself. Empty and `undefined` without a limit. */
  loads: Schema.Array(Schema.Int),
  maxRestarts: Schema.optional(Schema.Int),
  /** Restarts that were left in the heaviest window; negative when the limit was exceeded. */
  headroom: Schema.optional(Schema.Int),
  gaveUp: Schema.Struct({ wrongly: Schema.Int, rightly: Schema.Int, unknown: Schema.Int }),
  advice: Schema.Struct({
    verdict: Schema.Literals(["change", "keep", "too few", "unlimited"]),
    because: Schema.String,
    present: Schema.optional(Estimate),
    recommended: Schema.optional(Estimate)
  })
})
export type ReviewedSupervisor = typeof ReviewedSupervisor.Type

/** How often the supervisor gave up in a train, and how often it would have, by the two readings of `Replay`. */
const ReplayedTrain = Schema.Struct({
  path: Schema.String,
  startedAt: Schema.Finite,
  exits: Schema.Int,
  children: Schema.Int,
  judged: Schema.Literals(["wrongly", "rightly", "unknown"]),
  recorded: Schema.Int,
  outlived: Schema.Int,
  again: Schema.Int
})

/** A review, as it is written to JSON. Times are in Unix milliseconds. */
export const ReviewReport = Schema.Struct({
  since: Schema.Finite,
  until: Schema.Finite,
  runs: Schema.Int,
  supervisors: Schema.Array(ReviewedSupervisor),
  /** The trains in which a supervisor gave up, replayed under what is recommended for it. */
  replayed: Schema.Array(Schema.Struct({ path: Schema.String, policy: Schema.String, trains: Schema.Array(ReplayedTrain) }))
})
export type ReviewReport = typeof ReviewReport.Type

/** Of what time. Unix milliseconds. */
export interface Options {
  readonly since: number
  readonly until?: number | undefined
  /** Until when a run without an end was watched: now, if it is known to go on. Up to its last event where that is not known. */
  readonly goesOnAt?: ((run: Run) => number | undefined) | undefined
  /** How much later a hopeless child may be found to spare one false escalation, in milliseconds: see `Advisor`. */
  readonly patienceMillis?: number | undefined
}

/** Reviews a history. Runs that ended before `since` are left out. */
export const review = (history: HistoryReader, options: Options): Effect.Effect<ReviewReport, HistoryFailed> =>
  Effect.gen(function*() {
    const { goesOnAt, since, until = Number.POSITIVE_INFINITY } = options
    const all = yield* history.runs
    const chosen = all.filter((run) => (run.endedAt ?? Number.POSITIVE_INFINITY) >= since && run.startedAt <= until)
    const read = Effect.fnUntraced(function*(run: Run) {
      const events = yield* Stream.runCollect(history.events({ run: run.id, name: "snakepit.*" }))
      const endedAt = run.endedAt ?? goesOnAt?.(run) ?? events.at(-1)?.event.at
      return { id: run.id, host: run.host, record: RunRecord.of({ ...run, endedAt }, events) }
    })
    const runs = yield* Effect.forEach(chosen, read)
    return ofRecords(runs.toSorted((a, b) => a.record.startedAt - b.record.startedAt), options)
  })

/** Reviews runs that were read, in the order of their starts. */
export const ofRecords = (
  runs: ReadonlyArray<CrashTrain.Read>,
  { patienceMillis, since, until = Math.max(since, ...runs.map(({ record }) => record.endedAt)) }: Options
): ReviewReport => {
  const advised = CrashTrain.of(runs, { since, until }).map((one) => ({ one, advice: Advisor.advise(one, patienceMillis) }))
  const replayed = advised.flatMap(({ advice, one }) =>
    advice._tag !== "Change" || one.trains.every(({ gaveUp }) => gaveUp.length === 0) ? [] : [{
      path: one.path,
      policy: Policy.describe(advice.recommended.policy),
      trains: runs.flatMap(({ id, record }) =>
        replayedTrains(one.trains.filter(({ run }) => run === id), record, one.path, advice.recommended.policy)
      )
    }]
  )
  return {
    since,
    until,
    runs: runs.length,
    supervisors: advised.map(({ advice, one }) => supervisorOf(one, advice)).toSorted((a, b) => b.exits - a.exits),
    replayed
  }
}

const replayedTrains = (trains: ReadonlyArray<CrashTrain.CrashTrain>, record: RunRecord.RunRecord, path: string, policy: Policy.Policy) => {
  if (trains.every(({ gaveUp }) => gaveUp.length === 0)) return []
  const times = (reading: WhatIf.Reading) => Replay.whatIf(record, policy, path, reading).incidents.flatMap(({ gaveUp }) => gaveUp)
  const outlived = times("outlived")
  const again = times("again")
  return trains.flatMap((train, index) => {
    const { exits, gaveUp, startedAt } = train
    if (gaveUp.length === 0) return []
    const until = trains.slice(index + 1).find((later) => later.path === train.path)?.startedAt ?? Number.POSITIVE_INFINITY
    const within = (times: ReadonlyArray<{ readonly path: string; readonly at: number }>) =>
      times.filter(({ at, path }) => path === train.path && at >= startedAt && at < until).length
    return [{
      path: train.path,
      startedAt,
      exits: exits.length,
      children: new Set(exits.map(({ child }) => child)).size,
      judged: gaveUp[0]!.judged,
      recorded: gaveUp.length,
      outlived: within(outlived),
      again: within(again)
    }]
  })
}

const day = 86_400_000

/** How many times a day; no rate is told of less than a day, since one train in a minute is not 1,440 a day. */
const perDayOf = (times: number, watchedMillis: number): number => times / Math.max(1, watchedMillis / day)

const supervisorOf = (one: CrashTrain.Trains, advice: Advisor.Advice): ReviewedSupervisor => {
  const { contract, path, runs, trains, watchedMillis } = one
  const exits = trains.flatMap((train) => train.exits)
  const loads = trains.flatMap((train) => heaviestOf(contract, train.exits.map(({ at }) => at)) ?? []) // no window reaches over a pause
  const heaviest = loads.reduce<ReviewedSupervisor["heaviest"]>(
    (most, load) => most === undefined || load.exits > most.exits ? load : most,
    undefined
  )
  const gaveUp = trains.flatMap((train) => train.gaveUp)
  const count = (judged: CrashTrain.GaveUp["judged"]) => gaveUp.filter((gave) => gave.judged === judged).length
  return {
    path,
    limit: Policy.describe(Policy.ofContract(contract)),
    limitBecause: contract.limitBecause,
    runs,
    watchedMillis,
    exits: exits.length,
    trains: trains.map(({ endedAt, exits, gaveUp, path, recovered, run, startedAt }) => ({
      run,
      path,
      startedAt,
      endedAt,
      exits: exits.length,
      children: [...new Set(exits.map(({ child }) => child))],
      recovered,
      gaveUp
    })),
    longest: Math.max(0, ...trains.map(({ exits }) => exits.length)),
    trainsPerDay: perDayOf(trains.length, watchedMillis),
    reasons: reasonsOf(exits),
    heaviest,
    loads: loads.map(({ exits }) => exits),
    maxRestarts: contract.intensity === "unlimited" ? undefined : contract.intensity.maxRestarts,
    headroom: heaviest === undefined || contract.intensity === "unlimited" ? undefined : contract.intensity.maxRestarts - heaviest.exits,
    gaveUp: { wrongly: count("wrongly"), rightly: count("rightly"), unknown: count("unknown") },
    advice: adviceOf(advice, one)
  }
}

const reasonsOf = (exits: ReadonlyArray<CrashTrain.Exit>): ReviewedSupervisor["reasons"] => {
  const times = new Map<string, { reason: string; cause: string; times: number }>()
  for (const { cause: whole, reason } of exits) {
    const cause = kindOf(whole)
    const known = times.get(`${reason} ${cause}`)
    if (known === undefined) times.set(`${reason} ${cause}`, { reason, cause, times: 1 })
    else known.times++
  }
  return [...times.values()].toSorted((a, b) => b.times - a.times).slice(0, 5) // more of them are read in the history
}

/** What is told each time: what follows, numbers and paths differ from one time to the next, but the code of an exit says what it was. */
const kindOf = (cause: string): string =>
  cause.split(/[.:] |\n/, 2).join(": ").replaceAll(/(?<=^|[\s"'(])\/[^\s"')]+/g, "/…").replaceAll(/(?<!\bcode )\b\d[\w.]*/g, "…")

const heaviestOf = (
  { intensity }: Contract.Contract,
  times: ReadonlyArray<number>
): { readonly exits: number; readonly at: number } | undefined => {
  if (intensity === "unlimited" || times.length === 0) return undefined
  let oldest = 0
  let heaviest = { exits: 0, at: 0 }
  for (const [index, at] of times.entries()) {
    while (at - times[oldest]! >= intensity.withinMillis) oldest++
    if (index - oldest + 1 > heaviest.exits) heaviest = { exits: index - oldest + 1, at: times[oldest]! }
  }
  return heaviest
}

const adviceOf = (advice: Advisor.Advice, { contract, trains, watchedMillis }: CrashTrain.Trains): ReviewedSupervisor["advice"] => {
  const estimate = (estimated: Advisor.Estimate) => {
    const { detectionMeanMillis, detectionWorstMillis, falseShare, policy } = estimated
    const transient = trains.filter(({ kind }) => kind === "transient").length
    const falsePerMonth = 30 * perDayOf(falseShare * transient, watchedMillis)
    return { policy: Policy.describe(policy), falseShare, falsePerMonth, detectionMeanMillis, detectionWorstMillis }
  }
  const said = { present: undefined, recommended: undefined }
  switch (advice._tag) {
    case "Unlimited":
      return { ...said, verdict: "unlimited", because: `it has no limit, because ${contract.limitBecause}: there is nothing to escalate` }
    case "TooFew": {
      const missing = advice.needed - advice.trains
      const perDay = perDayOf(advice.trains, watchedMillis)
      const when = perDay === 0 ? "" : `, which at this rate takes another ${Words.count(Math.ceil(missing / perDay), "day")}`
      return {
        ...said,
        verdict: "too few",
        because: `${Words.count(advice.trains, "crash train")} that passed by ${
          advice.trains === 1 ? "itself says" : "themselves say"
        } too little: it needs ${advice.needed}${when}`
      }
    }
    case "Keep":
      return {
        ...said,
        verdict: "keep",
        because:
          "no other policy would escalate less, by more than chance can explain, and find hopeless children as soon as patience asks for",
        present: estimate(advice.present)
      }
    case "Change":
      return {
        verdict: "change",
        because: Advisor.reasonOf(advice),
        present: estimate(advice.present),
        recommended: estimate(advice.recommended)
      }
  }
}
