/** A review and a replay for a terminal. */
import type { ReplayedIncident, ReplayReport, SkippedRun } from "./Replay.ts"
import type { ReviewedSupervisor, ReviewReport } from "./Review.ts"
import * as Words from "./Words.ts"

/** The review as text. */
export const review = ({ replayed, runs, since, skipped, supervisors, until }: ReviewReport): string => {
  const eventful = supervisors.filter(({ exits }) => exits > 0)
  const calm = supervisors.length - eventful.length
  return [
    `Intensity review, ${Words.moment(since)} to ${Words.moment(until)} UTC: ${Words.count(runs, "run")}, ` +
    `${Words.count(supervisors.length, "supervisor")}, ${calm} of them without a counted exit`,
    ...eventful.map(supervisor),
    ...replayed.map(({ path, policy, trains }) => {
      const calm = trains.filter(({ again, outlived }) => again === 0 && outlived === 0).length
      const open = trains.filter(({ again, outlived }) => (again === 0) !== (outlived === 0)).length
      return `${Words.plain(path)} under ${policy}: of ${
        Words.count(trains.length, "train")
      } in which it gave up, it would not in ${calm}, ` +
        `would in ${trains.length - calm - open}, and in ${open} it cannot be known`
    }),
    ...leftOut(skipped)
  ].join("\n\n")
}

const leftOut = (runs: ReadonlyArray<SkippedRun>): ReadonlyArray<string> =>
  runs.length === 0 ? [] : [[
    `Left out, because they were recorded in another form: ${Words.count(runs.length, "run")}`,
    ...runs.slice(-5).map(({ run, startedAt, why }) => `- ${Words.plain(run)} of ${Words.moment(startedAt)}: ${Words.plain(why)}`) // the latest
  ].join("\n")]

const supervisor = (one: ReviewedSupervisor): string => {
  const { advice, exits, gaveUp, headroom, heaviest, limit, longest, path, reasons, trains, trainsPerDay } = one
  const lines = [
    `trains   ${trains.length} (${exits} exits, the longest ${longest}), ${Math.round(trainsPerDay * 100) / 100} a day`,
    ...reasons.slice(0, 3).map(({ cause, reason, times }) => `reason   ${times} × ${Words.plain(`${reason}: ${cause}`, 90)}`),
    ...heaviest === undefined
      ? []
      : [`load     at most ${heaviest.exits} in one window, at ${Words.moment(heaviest.at)}; headroom ${headroom ?? 0}`],
    ...gaveUp.wrongly + gaveUp.rightly + gaveUp.unknown === 0
      ? ["gave up  never"]
      : [`gave up  ${gaveUp.wrongly} × wrongly, ${gaveUp.rightly} × rightly, ${gaveUp.unknown} × not known which`],
    `advice   ${advice.verdict}${advice.recommended === undefined ? "" : ` to ${advice.recommended.policy}`}: ${
      Words.plain(advice.because, 300)
    }`,
    ...[advice.present && { name: "now", ...advice.present }, advice.recommended && { name: "then", ...advice.recommended }].flatMap((
      estimate
    ) =>
      estimate === undefined ? [] : [
        `${estimate.name.padEnd(7)}  ${Words.share(estimate.falseShare)} of trains escalate falsely (${
          Words.count(Math.round(estimate.falsePerMonth * 10) / 10, "time")
        } a month), ` +
        `hopeless ones are found after ${Words.took(estimate.detectionMeanMillis)} (at most ${Words.took(estimate.detectionWorstMillis)})`
      ]
    )
  ]
  return [`${Words.plain(path)}  ${limit}`, ...lines.map((line) => `  ${line}`)].join("\n")
}

/** The replay as text. */
export const replay = ({ assumptions, incidents, path, policy, skipped, strangers, totals }: ReplayReport): string => {
  const { escalated, replayable, reproduced, unknown, wouldEscalate, wouldNot } = totals
  const under = policy === undefined ? "the recorded policy" : `${policy}${path === undefined ? "" : ` at ${path}`}`
  const head = [
    "incident",
    "at (UTC)",
    "child",
    "recorded",
    ...policy === undefined ? ["replayed"] : ["then, outlived", "then, again", "escalates"]
  ]
  const rows = incidents.map((incident) => [
    Words.plain(incident.id, 20),
    Words.moment(incident.startedAt),
    Words.plain(incident.child, 50),
    outcome(incident.recorded),
    ...policy === undefined
      ? [incident.reproduced === undefined ? `not known: ${incident.missing}` : incident.reproduced ? "the same" : "otherwise"]
      : [outcome(incident.outlived), again(incident), incident.escalates ?? "unknown"]
  ])
  return [
    `Replayed under ${under}: ${Words.count(totals.incidents, "incident")}`,
    ...incidents.length === 0 ? [] : [Words.table([head, ...rows])],
    `With the recorded policy ${reproduced} of ${replayable} decide as recorded; ${escalated} escalated.` +
    (policy === undefined
      ? ""
      : `\nUnder ${under} ${wouldEscalate} would escalate, ${wouldNot} would not, and of ${unknown} it cannot be known.`),
    ...strangers.length === 0
      ? []
      : [`In no contract, and so without another policy: ${strangers.map((path) => Words.plain(path)).join(", ")}`],
    ...leftOut(skipped),
    ...assumptions.length === 0 ? [] : [["Assumed:", ...assumptions.map((assumption) => `- ${assumption}`)].join("\n")]
  ].join("\n\n")
}

/** Where it is another than when it was outlived. */
const again = ({ again, outlived }: ReplayedIncident): string => outcome(again) === outcome(outlived) ? "the same" : outcome(again)

const outcome = (outcome: ReplayedIncident["recorded"] | undefined): string => {
  if (outcome === undefined) return ""
  if (!outcome.happened) return "does not come"
  const end = outcome.gaveUp.length === 0
    ? outcome.recovered ? "recovered" : "open"
    : `gave up: ${outcome.gaveUp.map(({ path }) => Words.plain(path)).join(", ")}`
  return `${Words.count(outcome.restarts, "restart")}, ${end}, ${Words.took(outcome.downMillis)}`
}
