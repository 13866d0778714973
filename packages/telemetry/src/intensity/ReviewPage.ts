/**
 * A review as one HTML file: no script, nothing loaded from elsewhere, charts as inline SVG, light and dark as the reader's system is.
 *
 * All that comes from events is escaped. Charts have a title and a description for those who do not see them, and what they show stands in
 * text or a table beside them too.
 */
import type { ReviewedSupervisor, ReviewReport } from "./Review.ts"
import * as Words from "./Words.ts"

/** The page. */
export const render = (report: ReviewReport): string => {
  const { runs, since, supervisors, until } = report
  const eventful = supervisors.filter(({ exits }) => exits > 0)
  const title = `Intensity review, ${Words.moment(since).slice(0, 10)} to ${Words.moment(until).slice(0, 10)}`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${text(title)}</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>${text(title)}</h1>
<p>${Words.count(runs, "run")}, ${
    Words.count(supervisors.length, "supervisor")
  }, of which ${eventful.length} counted an exit. Times are UTC.</p>
</header>
<main>
${overview(eventful)}
${eventful.map((one) => section(one, report)).join("\n")}
${calm(supervisors.filter(({ exits }) => exits === 0))}
</main>
</body>
</html>
`
}

const escapes: { readonly [character: string]: string } = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;", "'": "&#39;" }

/** Text for a place in HTML, in or out of an attribute. */
export const text = (raw: string): string => Words.plain(raw, 400).replace(/[&<>"']/g, (character) => escapes[character]!)

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

const tableOf = (
  caption: string,
  head: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  numbers: ReadonlyArray<number> = []
): string => {
  const cell = (tag: "td" | "th") => (content: string, column: number) => {
    const scope = tag === "th" ? " scope=\"col\"" : ""
    return `<${tag}${scope}${numbers.includes(column) ? " class=\"number\"" : ""}>${content}</${tag}>`
  }
  return `<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table><caption>${caption}</caption>
<thead><tr>${head.map(cell("th")).join("")}</tr></thead>
<tbody>${rows.map((row) => `<tr>${row.map(cell("td")).join("")}</tr>`).join("\n")}</tbody></table></div>`
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

const width = 860
const height = 190
const left = 44
const right = 12
const top = 14
const bottom = 30

/** Marks of a scale from 0 that a reader finds at once: 1, 2 or 5 times a power of ten apart. */
const marksOf = (most: number): ReadonlyArray<number> => {
  const rough = most / 4
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)))
  const step = [1, 2, 5, 10].map((times) => times * power).find((step) => step >= rough) ?? power
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step)
}

const verticalOf = (most: number) => (value: number): number => height - bottom - (value / most) * (height - top - bottom)

const grid = (most: number): string => gridAt(marksOf(most), verticalOf(most))

const gridAt = (marks: ReadonlyArray<number>, y: (value: number) => number): string =>
  marks.map((mark) =>
    `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(mark)}" y2="${y(mark)}"/>` +
    `<text x="${left - 6}" y="${y(mark) + 4}" text-anchor="end">${mark}</text>`
  ).join("")

const chart = (id: string, title: string, description: string, content: string, key: string): string =>
  `<figure><figcaption>${title}${key}</figcaption><div class="scroll" tabindex="0" role="region" aria-label="${title}">
<svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${id}t ${id}d"><title id="${id}t">${title}</title>
<desc id="${id}d">${description}</desc>${content}</svg></div></figure>`

const keyOf = (...entries: ReadonlyArray<readonly [name: string, label: string]>): string =>
  `<span class="key">${entries.map(([name, label]) => `<span><i class="${name}"></i>${label}</span>`).join("")}</span>`

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
  const x = (at: number) => left + ((Math.min(Math.max(at, from), to) - from) / (to - from)) * (width - left - right)
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
  const ticks = Array.from({ length: 5 }, (_, index) => from + ((to - from) * index) / 4)
  const axis = ticks.map((at, index) =>
    `<text x="${round(x(at))}" y="${height - 8}" text-anchor="${index === 0 ? "start" : index === 4 ? "end" : "middle"}">${
      Words.moment(at).slice(0, to - from > 2 * 86_400_000 ? 10 : 16)
    }</text>`
  )
  const present = kinds.filter(([kind]) => trains.some((train) => kindOf(train) === kind))
  const described = present.map(([kind, label]) => `${trains.filter((train) => kindOf(train) === kind).length} ${label}`).join(", ")
  return chart(
    `t${idOf(path)}`,
    "Crash trains over time: exits in each, on a logarithmic scale",
    `${trains.length} trains: ${described}.`,
    gridAt(marks, y) + bars.join("") + axis.join(""),
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
  } of ${loads.length} trains were above it; the heaviest window held ${heaviest.exits} exits, at ${Words.moment(heaviest.at)}.`
  return chart(
    `l${idOf(path)}`,
    "Load: trains by the most exits that one window of the limit held",
    described,
    grid(most) + bars.join("") + line,
    keyOf(["passed", "within the limit"], ["wrong", "above it"])
  ) +
    `<p class="note">${described}</p>`
}

const round = (number: number): number => Math.round(number * 10) / 10

const idOf = (path: string): string => path.replace(/[^A-Za-z0-9]/g, "_")

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

const style = `
:root{color-scheme:light dark;--ink:#1d232b;--soft:#586370;--paper:#fff;--line:#d8dee4;--passed:#2f7fb8;--wrong:#c2410c;--right:#7c3aed;--open:#8a6d00;--good:#1a7f4b}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#9aa6b2;--paper:#14181d;--line:#313943;--passed:#6cb4e8;--wrong:#fb8a4c;--right:#b79bff;--open:#e0bf4b;--good:#57c78d}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem;max-width:60rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:0 0 .3rem;text-wrap:balance}h2{font-size:1.15rem;margin:0 0 .3rem;overflow-wrap:anywhere}
header p,.limit,.note{color:var(--soft);margin:.2rem 0 1rem}
section{border-top:1px solid var(--line);margin-top:2rem;padding-top:1.4rem}
a{color:inherit}
.advice{border-left:4px solid var(--line);padding:.1rem .8rem;margin:.8rem 0}.advice.change{border-color:var(--wrong)}.advice.keep{border-color:var(--good)}
.verdict{font-weight:600}.verdict.change{color:var(--wrong)}.verdict.keep{color:var(--good)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;min-width:38rem;margin:.6rem 0 1.2rem;font-size:.9rem}
caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);overflow-wrap:break-word}
th{font-weight:500;color:var(--soft)}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
figure{margin:1rem 0 .4rem}figcaption{font-weight:600;font-size:.9rem;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;align-items:baseline}
.key{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-weight:400;color:var(--soft)}.key i{display:inline-block;width:.7rem;height:.7rem;border-radius:2px;margin-right:.35rem;background:currentColor}
svg{display:block;width:100%;min-width:34rem;height:auto}
svg text{fill:var(--soft);font-size:11px}
.grid{stroke:var(--line)}
.passed{color:var(--passed)}.wrong{color:var(--wrong)}.right{color:var(--right)}.open{color:var(--open)}
svg g line{stroke:currentColor;stroke-width:1.5;opacity:.6}svg circle,svg rect{fill:currentColor}
line.bound{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:4 3}text.bound{fill:var(--ink);font-weight:600}
.calm{columns:18rem;padding-left:1.1rem;font-size:.9rem}.calm li{overflow-wrap:anywhere}.calm span{color:var(--soft)}
@media print{body{max-width:none}.scroll{overflow:visible}section{break-inside:avoid}}
`.trim()
