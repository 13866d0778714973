/**
 * Recorded incidents, replayed: under the policy that they had, to see that the record tells all, and under another one, to see what would
 * have escalated.
 *
 * **Example** (Would five in ten seconds have been better?)
 *
 * ```ts
 * import { type HistoryReader, Policy, Replay } from "@snakepit/telemetry"
 * import { Effect } from "effect"
 *
 * declare const history: HistoryReader.HistoryReader
 *
 * const program = Effect.gen(function*() {
 *   const report = yield* Replay.replay(history, { policy: Policy.parse("5 in 10 seconds") })
 *   return report.incidents.filter(({ escalates }) => escalates === "no")
 * })
 * ```
 *
 * @see {@link ./WhatIf.ts} for what is assumed
 */
import { Contract, NearNames } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { HistoryFailed, HistoryReader, ReadableRun, Run } from "../history/HistoryReader.ts"
import * as Decision from "./Decision.ts"
import * as IncidentOutcome from "./IncidentOutcome.ts"
import { isMeant } from "./Place.ts"
import * as Policy from "./Policy.ts"
import type * as Reproduction from "./Reproduction.ts"
import * as RunRecord from "./RunRecord.ts"
import * as WhatIf from "./WhatIf.ts"

/** What became of an incident under one policy. */
const Outcome = Schema.Struct({
  /** It came at all. */
  happened: Schema.Boolean,
  restarts: Schema.Int,
  /** The supervisors that gave up, nearest to the child first, and when (Unix milliseconds). */
  gaveUp: Schema.Array(Schema.Struct({ path: Schema.String, at: Schema.Finite })),
  downMillis: Schema.Finite,
  recovered: Schema.Boolean
})

/** One incident, as it was and as it would have been. */
export const ReplayedIncident = Schema.Struct({
  run: Schema.String,
  id: Schema.String,
  child: Schema.String,
  reason: Schema.String,
  cause: Schema.String,
  startedAt: Schema.Finite,
  /** The recorded policy, replayed, decided as the record says; absent when that cannot be said. */
  reproduced: Schema.optional(Schema.Boolean),
  /** Why not. */
  missing: Schema.optional(Schema.String),
  recorded: Outcome,
  /** Absent without another policy. */
  outlived: Schema.optional(Outcome),
  again: Schema.optional(Outcome),
  /** Under the other policy, by both readings; `"unknown"` where they differ. */
  escalates: Schema.optional(Schema.Literals(["yes", "no", "unknown"]))
})
export type ReplayedIncident = typeof ReplayedIncident.Type

/** A run that is left out: it was recorded with a contract of another form. */
export const SkippedRun = Schema.Struct({ run: Schema.String, startedAt: Schema.Finite, why: Schema.String })
export type SkippedRun = typeof SkippedRun.Type

/** The run, if it is left out. */
export const skippedOf = ({ id, startedAt, unreadable }: Run): SkippedRun | undefined =>
  unreadable === undefined ? undefined : { run: id, startedAt, why: unreadable }

/** What a replay says, as it is written to JSON. */
export const ReplayReport = Schema.Struct({
  policy: Schema.optional(Schema.String),
  /** The path whose supervisors have the other policy. */
  path: Schema.optional(Schema.String),
  assumptions: Schema.Array(Schema.String),
  incidents: Schema.Array(ReplayedIncident),
  totals: Schema.Struct({
    incidents: Schema.Int,
    reproduced: Schema.Int,
    replayable: Schema.Int,
    escalated: Schema.Int,
    wouldEscalate: Schema.Int,
    wouldNot: Schema.Int,
    unknown: Schema.Int
  }),
  /** What stands in no contract: another policy is tried without it. */
  strangers: Schema.Array(Schema.String),
  skipped: Schema.Array(SkippedRun)
})
export type ReplayReport = typeof ReplayReport.Type

/** Which incidents, and under which policy. */
export interface Options {
  readonly policy?: Policy.Policy | undefined
  /** The supervisors that get it: one path, with `<key>` for any key, or what ends in `/*`; all that have a limit when left out. */
  readonly path?: string | undefined
  readonly incident?: string | undefined
  /** Unix time in milliseconds. */
  readonly since?: number | undefined
}

/** Said with every what-if. */
export const assumptions: ReadonlyArray<string> = [
  "A start meets what the recorded start met whose place it takes, and lives as long.",
  "outlived: a recorded failure that is past when the child is started does not come. again: every recorded failure comes, and one that was " +
  "never resolved comes again and again. Where the two differ, the record cannot tell whether waiting longer would have cured it.",
  "Stops take no time; delays with chance in them are in the middle; what was started by hand is taken to be there from the boot on."
]

/** No supervisor that was recorded is meant by the path. */
export class PathUnknown extends Schema.TaggedError<PathUnknown>()("PathUnknown", {
  path: Schema.String,
  /** The paths of supervisors that there are. */
  available: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const { available, path } = this
    const nearest = NearNames.hint(path, available)
    return `no supervisor at "${path}" has recorded anything.${nearest} There is ${available.slice(0, 20).join(", ") || "none"}` +
      `${
        available.length > 20 ? `, and ${available.length - 20} more` : ""
      }. A path may have <key> for any key, and end in /* for all below it`
  }
}

/** No incident of that id is in what was read. */
export class IncidentUnknown extends Schema.TaggedError<IncidentUnknown>()("IncidentUnknown", {
  incident: Schema.String,
  /** Those that there are, the latest last. */
  available: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const { available, incident } = this
    return `no incident "${incident}" is told there.${NearNames.hint(incident, available)} The last ones are ${
      available.slice(-5).join(", ") || "none"
    }; \`snakepit incident\` lists more. Is it older than --since, or in another file?`
  }
}

/** Replays the incidents of a history, one run after the other. */
export const replay = (
  history: HistoryReader,
  options: Options
): Effect.Effect<ReplayReport, HistoryFailed | PathUnknown | IncidentUnknown> =>
  Effect.gen(function*() {
    const incidents: Array<ReplayedIncident> = []
    const strangers = new Set<string>()
    const skipped: Array<SkippedRun> = []
    const ids: Array<string> = []
    const paths = new Set<string>()
    for (const run of yield* history.runs) {
      if (options.since !== undefined && run.endedAt !== undefined && run.endedAt < options.since) continue
      if (run.unreadable !== undefined) {
        skipped.push(skippedOf(run)!)
        continue
      }
      const record = yield* recordOf(history, run)
      for (const stranger of record.strangers) strangers.add(stranger)
      for (const { path } of Contract.flatten(record.contract)) paths.add(path)
      for (const { path } of record.decisions) if (options.path !== undefined) paths.add(path)
      if (options.incident !== undefined) ids.push(...IncidentOutcome.of(record.decisions).map(({ id }) => id))
      incidents.push(...ofRecord(run.id, record, options))
    }
    const { incident, path } = options
    if (path !== undefined && ![...paths].some((known) => isMeant(known, path))) {
      return yield* Effect.fail(new PathUnknown({ path, available: [...paths] }))
    }
    if (incident !== undefined && incidents.length === 0) return yield* Effect.fail(new IncidentUnknown({ incident, available: ids }))
    return reportOf(incidents, options, [...strangers], skipped)
  })

/** Reads one run of a history. */
export const recordOf = (history: HistoryReader, run: ReadableRun): Effect.Effect<RunRecord.RunRecord, HistoryFailed> =>
  Effect.map(Stream.runCollect(history.events({ run: run.id, name: Decision.names })), (events) => RunRecord.of(run, events))

/** The incidents of one run, replayed. */
export const ofRecord = (run: string, record: RunRecord.RunRecord, options: Options): ReadonlyArray<ReplayedIncident> => {
  const recorded = IncidentOutcome.of(record.decisions).filter(({ id, startedAt }) =>
    (options.incident === undefined || id === options.incident) && startedAt >= (options.since ?? 0)
  )
  if (recorded.length === 0) return []
  const { path, policy } = options
  const isTried = policy !== undefined && isWhole(record)
  const outlived = isTried ? whatIf(record, policy, path, "outlived") : undefined
  const again = isTried ? whatIf(record, policy, path, "again") : undefined
  return recorded.map((incident) => {
    const { cause, child, id, reason, startedAt } = incident
    const [best, worst] = [outlived && outcomeUnder(outlived, id), again && outcomeUnder(again, id)]
    return {
      run,
      id,
      child,
      reason,
      cause,
      startedAt,
      ...reproducedIn(record.lives.reproduction, id),
      recorded: outcomeOf([incident]),
      outlived: best,
      again: worst,
      escalates: policy && (best && worst ? verdict(best.gaveUp.length > 0, worst.gaveUp.length > 0) : "unknown")
    }
  })
}

const reproducedIn = ({ otherwise, unknown }: Reproduction.Reproduction, id: string): Pick<ReplayedIncident, "reproduced" | "missing"> => {
  const missing = unknown.get(id)
  return missing === undefined ? { reproduced: !otherwise.has(id) } : { missing }
}

const verdict = (best: boolean, worst: boolean): "yes" | "no" | "unknown" => best !== worst ? "unknown" : best ? "yes" : "no"

/** Whether the record holds what another policy needs to be tried: how the lives of children went. */
export const isWhole = ({ decisions }: RunRecord.RunRecord): boolean => decisions.every(({ heard }) => heard !== undefined)

/** A run under another policy, for the supervisors at a path or for all that have a limit. */
export const whatIf = (
  record: RunRecord.RunRecord,
  policy: Policy.Policy,
  path: string | undefined,
  reading: WhatIf.Reading
): WhatIf.WhatIf => {
  const restartOf = (at: string, contract: Contract.Contract) => {
    const isChanged = contract.intensity !== "unlimited" && (path === undefined || isMeant(at, path))
    return Policy.toRestartPolicy(isChanged ? policy : Policy.ofContract(contract), contract)
  }
  return WhatIf.of(record, restartOf, reading)
}

const outcomeUnder = ({ became, incidents }: WhatIf.WhatIf, id: string): typeof Outcome.Type => {
  const ids = became.get(id)
  return outcomeOf(ids === undefined ? [] : incidents.filter((incident) => ids.has(incident.id)))
}

const outcomeOf = (incidents: ReadonlyArray<IncidentOutcome.IncidentOutcome>): typeof Outcome.Type => ({
  happened: incidents.length > 0,
  restarts: incidents.reduce((sum, { restarts }) => sum + restarts, 0),
  gaveUp: incidents.flatMap(({ gaveUp }) => gaveUp),
  downMillis: incidents.reduce((sum, { downMillis }) => sum + downMillis, 0),
  recovered: incidents.every(({ recoveredAt }) => recoveredAt !== undefined)
})

const reportOf = (
  incidents: ReadonlyArray<ReplayedIncident>,
  { path, policy }: Options,
  strangers: ReadonlyArray<string>,
  skipped: ReadonlyArray<SkippedRun>
): ReplayReport => {
  const count = (fits: (incident: ReplayedIncident) => boolean) => incidents.filter(fits).length
  return {
    policy: policy && Policy.describe(policy),
    path,
    assumptions: policy === undefined ? [] : assumptions,
    incidents,
    totals: {
      incidents: incidents.length,
      replayable: count(({ reproduced }) => reproduced !== undefined),
      reproduced: count(({ reproduced }) => reproduced === true),
      escalated: count(({ recorded }) => recorded.gaveUp.length > 0),
      wouldEscalate: count(({ escalates }) => escalates === "yes"),
      wouldNot: count(({ escalates }) => escalates === "no"),
      unknown: count(({ escalates }) => escalates === "unknown")
    },
    strangers,
    skipped
  }
}
