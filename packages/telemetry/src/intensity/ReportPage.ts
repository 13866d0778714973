/**
 * What the pages of a review and of a replay share: one HTML file without a script, which loads nothing from elsewhere, charts as inline SVG,
 * light and dark as the reader's system is.
 *
 * All that comes from events is escaped. Charts have a title and a description for those who do not see them, and what they show stands in
 * text or a table beside them too.
 */
import * as Words from "./Words.ts"

/** A page. `title` and `said` are raw, `main` is HTML. */
export const page = (title: string, said: string, main: string): string =>
  `<!doctype html>
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
<p>${text(said)}</p>
</header>
<main>
${main}
</main>
</body>
</html>
`

const escapes: { readonly [character: string]: string } = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;", "'": "&#39;" }

/** Text for a place in HTML, in or out of an attribute. */
export const text = (raw: string): string => Words.plain(raw, 400).replace(/[&<>"']/g, (character) => escapes[character]!)

/** A table; the cells are HTML, and the columns that hold numbers are named. */
export const tableOf = (
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

// ── charts ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const width = 860
export const height = 190
export const left = 44
export const right = 12
export const top = 14
export const bottom = 30

/** Marks of a scale from 0 that a reader finds at once: 1, 2 or 5 times a power of ten apart. */
const marksOf = (most: number): ReadonlyArray<number> => {
  const rough = most / 4
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)))
  const step = [1, 2, 5, 10].map((times) => times * power).find((step) => step >= rough) ?? power
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step)
}

export const verticalOf = (most: number) => (value: number): number => height - bottom - (value / most) * (height - top - bottom)

export const grid = (most: number): string => gridAt(marksOf(most), verticalOf(most))

export const gridAt = (marks: ReadonlyArray<number>, y: (value: number) => number): string =>
  marks.map((mark) =>
    `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(mark)}" y2="${y(mark)}"/>` +
    `<text x="${left - 6}" y="${y(mark) + 4}" text-anchor="end">${mark}</text>`
  ).join("")

export const chart = (id: string, title: string, description: string, content: string, key: string): string =>
  `<figure><figcaption>${title}${key}</figcaption><div class="scroll" tabindex="0" role="region" aria-label="${title}">
<svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${id}t ${id}d"><title id="${id}t">${title}</title>
<desc id="${id}d">${description}</desc>${content}</svg></div></figure>`

export const keyOf = (...entries: ReadonlyArray<readonly [name: string, label: string]>): string =>
  `<span class="key">${entries.map(([name, label]) => `<span><i class="${name}"></i>${label}</span>`).join("")}</span>`

/** The place of a time between two. */
export const horizontalOf = (from: number, to: number) => (at: number): number =>
  left + ((Math.min(Math.max(at, from), to) - from) / (to - from)) * (width - left - right)

/** Five times below a chart. */
export const timesOf = (from: number, to: number): string => {
  const x = horizontalOf(from, to)
  const ticks = Array.from({ length: 5 }, (_, index) => from + ((to - from) * index) / 4)
  return ticks.map((at, index) =>
    `<text x="${round(x(at))}" y="${height - 8}" text-anchor="${index === 0 ? "start" : index === 4 ? "end" : "middle"}">${
      Words.moment(at).slice(...to - from > 2 * 86_400_000 ? [0, 10] : to - from > 3_600_000 ? [0, 16] : [11, 19])
    }</text>`
  ).join("")
}

export const round = (number: number): number => Math.round(number * 10) / 10

export const idOf = (path: string): string => path.replace(/[^A-Za-z0-9]/g, "_")

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
