/**
 * A review as one HTML file.
 *
 * @see {@link ./ReportPage.ts}
 */
import {
  bottom,
  chart,
  grid,
  gridAt,
  height,
  horizontalOf,
  idOf,
  keyOf,
  left,
  page,
  right,
  round,
  tableOf,
  text,
  timesOf,
  top,
  verticalOf,
  width
} from "./ReportPage.ts"
import type { ReviewedSupervisor, ReviewReport } from "./Review.ts"
import * as Words from "./Words.ts"

/** The page. */
export const render = (report: ReviewReport): string => {
  const { runs, since, skipped, supervisors, until } = report
  const eventful = supervisors.filter(({ exits }) => exits > 0)
  const title = `Intensity review, ${Words.moment(since).slice(0, 10)} to ${Words.moment(until).slice(0, 10)}`
  const said = `${Words.count(runs, "run")}, ${Words.count(supervisors.length, "supervisor")}, of which ${eventful.length} counted an exit.`
  return page(
    title,
    `${said}${
      skipped.length === 0 ? "" : ` Left out: ${Words.count(skipped.length, "run")} that were recorded in another form.`
    } Times are UTC.`,
    [overview(eventful), ...eventful.map((one) => section(one, report)), calm(supervisors.filter(({ exits }) => exits === 0))].join("\n")
  )
}

const verdicts: { readonly [verdict in ReviewedSupervisor["advice"]["verdict"]]: string } = {
  change: "change",
  keep: "keep",
  "too few": "too few data",
  unlimited: "no limit"
}

const overview = (supervisors: ReadonlyArray<ReviewedSupervisor>): string => {
  if (supervisors.length === 0) return "<p>No supervisor counted an exit: there is nothing to review.</p>"
  const rows = supervisors.map(({ advice, exits, gaveUp, headroom, limit, path, trains }, index) => [
    `<a href="#s${index}">${text(path)}</a>`,
    text(limit),
    String(trains.length),
    String(exits),
    headroom === undefined ? "–" : String(headroom),
    `${gaveUp.wrongly} / ${gaveUp.rightly} / ${gaveUp.unknown}`,
    `<span class="verdict ${advice.verdict.replace(" ", "-")}">${verdicts[advice.verdict]}</span>${
      advice.recommended === undefined ? "" : ` ${text(advice.recommended.policy)}`
    }`
  ])
  const head = ["supervisor", "limit", "trains", "exits", "headroom", "gave up wrongly / rightly / unknown", "advice"]
  return tableOf("All supervisors that counted an exit", head, rows, [2, 3, 4])
}

const section = (one: ReviewedSupervisor, report: ReviewReport): string => {
  const { advice, gaveUp, limit, limitBecause, longest, path, reasons, trains, trainsPerDay } = one
  const eventful = report.supervisors.filter(({ exits }) => exits > 0)
  const replayed = report.replayed.find((replayed) => replayed.path === path)
  return `<section id="s${eventful.indexOf(one)}">
<h2>${text(path)}</h2>
<p class="limit">${text(limit)}, because ${text(limitBecause)}.</p>
<p class="advice ${advice.verdict.replace(" ", "-")}"><strong>${verdicts[advice.verdict]}${
    advice.recommended === undefined ? "" : ` to ${text(advice.recommended.policy)}`
  }</strong>: ${text(advice.because)}.</p>
<p>${Words.count(trains.length, "train")} (${Math.round(trainsPerDay * 100) / 100} a day), the longest of ${
    Words.count(longest, "exit")
  }. It gave up ${gaveUp.wrongly} × wrongly, ${gaveUp.rightly} × rightly, ${gaveUp.unknown} × not known which.</p>
${trainChart(one, report)}
${loadChart(one)}
${estimates(advice)}
${
    tableOf(
      "Most frequent reasons",
      ["times", "reason", "cause"],
      reasons.map(({ cause, reason, times }) => [String(times), text(reason), text(cause)]),
      [0]
    )
  }
${replayed === undefined ? "" : whatIf(replayed)}
</section>`
}

// ── charts ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a train came to, worst first. */
const kindOf = ({ gaveUp, recovered }: ReviewedSupervisor["trains"][number]): "wrong" | "right" | "open" | "passed" => {
  if (gaveUp.some(({ judged }) => judged === "wrongly")) return "wrong"
  if (gaveUp.length > 0) return "right"
  return recovered ? "passed" : "open"
}

const kinds = [["passed", "recovered"], ["wrong", "gave up wrongly"], ["right", "gave up rightly, or not known which"], [
  "open",
  "still open"
]] as const

const trainChart = ({ path, trains }: ReviewedSupervisor, { since, until }: ReviewReport): string => {
  const from = Math.max(since, Math.min(...trains.map(({ startedAt }) => startedAt)))
  const to = Math.max(until, from + 1)
  const x = horizontalOf(from, to)
  const most = Math.max(10, ...trains.map(({ exits }) => exits))
  const y = (exits: number) => height - bottom - 12 - (Math.log10(exits) / Math.log10(most)) * (height - top - bottom - 12)
  const marks = Array.from({ length: Math.floor(Math.log10(most)) + 1 }, (_, power) => 10 ** power)
  const bars = trains.map((train) => {
    const { exits, path: of, startedAt } = train
    return `<g class="${kindOf(train)}"><line x1="${round(x(startedAt))}" x2="${round(x(startedAt))}" y1="${height - bottom}" y2="${
      round(y(exits))
    }"/>` +
      `<circle cx="${round(x(startedAt))}" cy="${round(y(exits))}" r="3.5"><title>${Words.moment(startedAt)}${
        of === path ? "" : `, ${text(of)}`
      }: ${Words.count(exits, "exit")}, ${kinds.find(([kind]) => kind === kindOf(train))![1]}</title></circle></g>`
  })
  const present = kinds.filter(([kind]) => trains.some((train) => kindOf(train) === kind))
  const described = present.map(([kind, label]) => `${trains.filter((train) => kindOf(train) === kind).length} ${label}`).join(", ")
  return chart(
    `t${idOf(path)}`,
    "Crash trains over time: exits in each, on a logarithmic scale",
    `${trains.length} trains: ${described}.`,
    gridAt(marks, y) + bars.join("") + timesOf(from, to),
    keyOf(...present)
  )
}

/** How many trains had so many exits in one window, against the limit. */
const loadChart = ({ heaviest, limit, loads, maxRestarts, path }: ReviewedSupervisor): string => {
  if (maxRestarts === undefined || heaviest === undefined) return ""
  const highest = Math.max(maxRestarts + 1, heaviest.exits)
  const bins = Math.min(highest, 40) // wider ones where more would be too narrow to read
  const size = highest / bins
  const counts = Array.from(
    { length: bins },
    (_, bin) => loads.filter((load) => Math.min(bins - 1, Math.floor((load - 1) / size)) === bin).length
  )
  const most = Math.max(4, ...counts)
  const y = verticalOf(most)
  const step = (width - left - right) / bins
  const bars = counts.map((count, bin) => {
    const last = Math.floor((bin + 1) * size)
    const [x, kind] = [left + bin * step, last > maxRestarts ? "wrong" : "passed"]
    const label = bins <= 20 || bin % Math.ceil(bins / 20) === 0
      ? `<text x="${round(x + step / 2)}" y="${height - 8}" text-anchor="middle">${last}</text>`
      : ""
    return `<rect class="${kind}" x="${round(x + 1.5)}" width="${round(Math.max(1, step - 3))}" y="${round(y(count))}" height="${
      round(y(0) - y(count))
    }"><title>${Words.count(count, "train")} with ${last} exits in one window</title></rect>${label}`
  })
  const at = round(left + Math.min(bins, maxRestarts / size) * step)
  const line = `<line class="bound" x1="${at}" x2="${at}" y1="${top - 6}" y2="${y(0)}"/><text class="bound" x="${at + 5}" y="${
    top + 4
  }">limit ${maxRestarts}</text>`
  const described = `The limit is ${text(limit)}. ${
    loads.filter((load) => load > maxRestarts).length
  } of ${loads.length} trains were above it; the heaviest window held ${Words.count(heaviest.exits, "exit")}, at ${
    Words.moment(heaviest.at)
  }.`
  return chart(
    `l${idOf(path)}`,
    "Load: trains by the most exits that one window of the limit held",
    described,
    grid(most) + bars.join("") + line,
    keyOf(["passed", "within the limit"], ["wrong", "above it"])
  ) +
    `<p class="note">${described}</p>`
}

// ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const estimates = ({ present, recommended }: ReviewedSupervisor["advice"]): string => {
  const rows = [present && ["now", present] as const, recommended && ["recommended", recommended] as const].flatMap((row) => {
    if (row === undefined) return []
    const [name, { detectionMeanMillis, detectionWorstMillis, falsePerMonth, falseShare, policy }] = row
    return [[
      name,
      text(policy),
      Words.share(falseShare),
      String(Math.round(falsePerMonth * 100) / 100),
      Words.took(detectionMeanMillis),
      Words.took(detectionWorstMillis)
    ]]
  })
  const head = ["", "policy", "trains that escalate falsely", "a month", "hopeless ones found after", "at most"]
  return rows.length === 0 ? "" : tableOf("What is expected", head, rows, [2, 3, 4, 5])
}

const mostTrains = 60 // of the latest: a page that nobody scrolls to the end of shows nothing

const whatIf = ({ path, policy, trains }: ReviewReport["replayed"][number]): string => {
  const rows = trains.slice(-mostTrains).map(({ again, children, exits, judged, outlived, path: of, recorded, startedAt }) => [
    of === path ? Words.moment(startedAt) : `${Words.moment(startedAt)}<br>${text(of)}`,
    String(exits),
    String(children),
    `${recorded} × (${judged === "unknown" ? "not known how" : judged})`,
    outlived === again ? `${again} ×` : `${Math.min(outlived, again)} to ${Math.max(outlived, again)} ×`,
    (outlived === 0) !== (again === 0) ? "cannot be known" : again === 0 ? "no" : "yes"
  ])
  const head = ["train at", "exits", "children", "gave up", "would have given up", "escalates"]
  const left = trains.length > mostTrains ? `, the last ${mostTrains} of ${trains.length}` : ""
  return tableOf(`Trains in which it gave up, replayed under ${text(policy)}${left}`, head, rows, [1, 2])
}

const calm = (supervisors: ReadonlyArray<ReviewedSupervisor>): string =>
  supervisors.length === 0
    ? ""
    : `<section><h2>Without a counted exit</h2><ul class="calm">${
      supervisors.map(({ limit, path }) => `<li>${text(path)} <span>${text(limit)}</span></li>`).join("")
    }</ul></section>`
