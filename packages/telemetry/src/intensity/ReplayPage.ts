/**
 * A replay as one HTML file.
 *
 * @see {@link ./ReportPage.ts}
 */
import type { ReplayedIncident, ReplayReport } from "./Replay.ts"
import { bottom, chart, gridAt, height, horizontalOf, keyOf, page, round, tableOf, text, timesOf, top } from "./ReportPage.ts"
import * as Words from "./Words.ts"

/** The page. */
export const render = (report: ReplayReport): string => {
  const { assumptions, incidents, path, policy, skipped, strangers, totals } = report
  const under = policy === undefined ? "the recorded policy" : `${policy}${path === undefined ? "" : ` at ${path}`}`
  const { escalated, replayable, reproduced, unknown, wouldEscalate, wouldNot } = totals
  const said = [
    `${Words.count(totals.incidents, "incident")}, of which ${escalated} escalated.`,
    `With the recorded policy ${reproduced} of ${replayable} decide as recorded.`,
    ...policy === undefined
      ? []
      : [`Under ${under} ${wouldEscalate} would escalate, ${wouldNot} would not, and of ${unknown} it cannot be known.`],
    ...skipped.length === 0 ? [] : [`Left out: ${Words.count(skipped.length, "run")} that were recorded in another form.`],
    ...strangers.length === 0 ? [] : [`In no contract, and so without another policy: ${strangers.join(", ")}.`],
    "Times are UTC."
  ]
  return page(
    `Incidents replayed under ${under}`,
    said.join(" "),
    [
      incidents.length === 0 ? "<p>There is no incident to replay.</p>" : "",
      outcomes(incidents, policy !== undefined),
      downtimes(incidents, policy !== undefined),
      table(incidents, policy !== undefined),
      assumptions.length === 0
        ? ""
        : `<section><h2>Assumed</h2><ul>${assumptions.map((assumption) => `<li>${text(assumption)}</li>`).join("")}</ul></section>`
    ].join("\n")
  )
}

const kinds = [["passed", "does not escalate"], ["right", "escalates"], ["open", "cannot be known"]] as const
type Kind = typeof kinds[number][0]

const wasOf = ({ recorded }: ReplayedIncident): Kind => recorded.gaveUp.length > 0 ? "right" : "passed"

const wouldOf = ({ escalates }: ReplayedIncident): Kind => escalates === "yes" ? "right" : escalates === "no" ? "passed" : "open"

const spanOf = (incidents: ReadonlyArray<ReplayedIncident>): readonly [from: number, to: number] => {
  const times = incidents.map(({ startedAt }) => startedAt)
  const from = times.reduce((least, at) => Math.min(least, at), Number.POSITIVE_INFINITY)
  return [from, times.reduce((most, at) => Math.max(most, at), from + 1)]
}

/** When each incident was, as it was recorded and as it would have been: a row for each. */
const outcomes = (incidents: ReadonlyArray<ReplayedIncident>, isOther: boolean): string => {
  if (incidents.length === 0) return ""
  const [from, to] = spanOf(incidents)
  const x = horizontalOf(from, to)
  const rows: ReadonlyArray<readonly [name: string, kind: (incident: ReplayedIncident) => Kind]> = [
    ["recorded", wasOf],
    ...isOther ? [["under the other policy", wouldOf] as const] : []
  ]
  const marks = rows.flatMap(([name, kindOf], row) => {
    const y = top + 40 + row * 60
    const dots = incidents.map((incident) =>
      `<g class="${kindOf(incident)}"><circle cx="${round(x(incident.startedAt))}" cy="${y}" r="4"><title>${
        Words.moment(incident.startedAt)
      } ${text(incident.child)}: ${labelOf(kindOf(incident))}</title></circle></g>`
    )
    return [`<text x="${round(x(from))}" y="${y - 14}">${name}</text>`, ...dots]
  })
  const described = rows.map(([name, kindOf]) =>
    `${name}: ${kinds.map(([kind, label]) => `${label} ${incidents.filter((one) => kindOf(one) === kind).length}`).join(", ")}`
  ).join("; ")
  const present = kinds.filter(([kind]) => rows.some(([, kindOf]) => incidents.some((one) => kindOf(one) === kind)))
  return chart("outcomes", "What each incident came to", `${described}.`, marks.join("") + timesOf(from, to), keyOf(...present)) +
    `<p class="note">${described}.</p>`
}

const labelOf = (kind: Kind): string => kinds.find(([known]) => known === kind)![1]

const shortest = 10 // milliseconds: no worker comes up sooner

/** How long each incident was down, recorded and then, on a logarithmic scale. */
const downtimes = (incidents: ReadonlyArray<ReplayedIncident>, isOther: boolean): string => {
  if (incidents.length === 0) return ""
  const [from, to] = spanOf(incidents)
  const x = horizontalOf(from, to)
  const longest = incidents.reduce(
    (most, { again, outlived, recorded }) => Math.max(most, recorded.downMillis, outlived?.downMillis ?? 0, again?.downMillis ?? 0),
    10_000 // ten seconds at least: below that all would look alike
  )
  const powers = Array.from({ length: Math.ceil(Math.log10(longest / shortest)) + 1 }, (_, power) => shortest * 10 ** power)
  const y = (millis: number) =>
    height - bottom - (Math.log10(Math.max(1, millis / shortest)) / (powers.length - 1)) * (height - top - bottom)
  const bars = incidents.map(({ again, outlived, recorded, startedAt }) => {
    const at = x(startedAt)
    const [best, worst] = [outlived?.downMillis ?? 0, again?.downMillis ?? 0].map((millis) => round(y(millis)))
    const then = isOther ? `<g class="right"><line x1="${round(at + 4)}" x2="${round(at + 4)}" y1="${best}" y2="${worst! - 1}"/></g>` : ""
    return `<g class="passed"><circle cx="${round(at)}" cy="${round(y(recorded.downMillis))}" r="3.5"><title>${
      Words.took(recorded.downMillis)
    }</title></circle></g>${then}`
  })
  const key = isOther
    ? keyOf(["passed", "recorded"], ["right", "under the other policy, from outlived to again"])
    : keyOf(["passed", "recorded"])
  const described = `${incidents.length} incidents, down for at most ${Words.took(longest)}. The table has each.`
  return chart(
    "down",
    "Milliseconds until it had recovered, on a logarithmic scale",
    described,
    gridAt(powers, y) + bars.join("") + timesOf(from, to),
    key
  )
}

const mostRows = 500 // of the latest: a page that nobody scrolls to the end of shows nothing, and the JSON has all

const table = (incidents: ReadonlyArray<ReplayedIncident>, isOther: boolean): string => {
  if (incidents.length === 0) return ""
  const rows = incidents.slice(-mostRows).map((incident) => [
    text(incident.id),
    Words.moment(incident.startedAt),
    text(incident.child).replaceAll("/", "/<wbr>"), // broken between its names, else the table is wider than the page
    text(Words.plain(`${incident.reason}: ${incident.cause.split("\n", 1)[0]}`, 160)),
    outcome(incident.recorded),
    ...isOther
      ? [outcome(incident.outlived), outcome(incident.again), text(incident.escalates ?? "unknown")]
      : [incident.reproduced === undefined ? text(`not known: ${incident.missing}`) : incident.reproduced ? "the same" : "otherwise"]
  ])
  const head = ["incident", "at", "child", "reason", "recorded", ...isOther ? ["then, outlived", "then, again", "escalates"] : ["replayed"]]
  return tableOf(incidents.length > mostRows ? `The last ${mostRows} of ${incidents.length} incidents` : "All incidents", head, rows)
}

/** In few words: what became of it. */
const outcome = (outcome: ReplayedIncident["recorded"] | undefined): string => {
  if (outcome === undefined) return ""
  if (!outcome.happened) return "does not come"
  const end = outcome.gaveUp.length === 0
    ? outcome.recovered ? "recovered" : "open"
    : `gave up: ${outcome.gaveUp.map(({ path }) => text(path)).join(", ")}`
  return `${Words.count(outcome.restarts, "restart")}, ${end}, ${Words.took(outcome.downMillis)}`
}
