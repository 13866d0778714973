/**
 * An incident as text: what, why, how it ended; then its moments in the lanes of those who acted; then its calls. Pure.
 *
 * ```text
 *       ms  worker calls supervisor pool root
 *       +0  ●                                 process.exit  …
 *       +4  │      ●                          call.retry  …
 *       +5  │      │     ◆                    worker supervisor: restart  …
 * ```
 */
import * as EventText from "./EventText.ts"
import * as Incident from "./Incident.ts"
import * as Ink from "./Ink.ts"

const heads: { readonly [lane in Incident.Lane]: string } = {
  worker: "worker",
  calls: "calls",
  "worker supervisor": "supervisor",
  pool: "pool",
  root: "root"
}

/** The page in so many columns. */
export const render = (incident: Incident.Incident, columns: number): ReadonlyArray<Ink.Line> => {
  const { at, cause, evidence, outcome, recoveredAfterMillis } = incident
  const end = outcome === "recovered"
    ? `at full strength again after ${Math.round(recoveredAfterMillis!)} ms`
    : outcome === "gave up"
    ? "given up"
    : "not over when the record ends"
  const exit = evidence === undefined ? [] : [
    [
      evidence.exitClass,
      evidence.signal === undefined ? evidence.code === undefined ? undefined : `code ${evidence.code}` : evidence.signal,
      `ended by ${evidence.endedBy}`,
      evidence.pid === undefined ? undefined : `pid ${evidence.pid}`
    ].filter((fact) => fact !== undefined).join(", ")
  ]
  const output = evidence === undefined ? [] : evidence.output.split("\n").filter((line) => line.trim() !== "").slice(-8) // 8: the end of a traceback
  return [
    [
      Ink.piece(`incident ${incident.incident}`, "bold"),
      Ink.piece(`  ${new Date(at).toISOString().replace("T", " ").replace("Z", " UTC")}  `, "dim"),
      Ink.piece(Incident.placeOf(incident), "bold"),
      Ink.piece(`  ${end}`, outcome === "recovered" ? "good" : "bad")
    ],
    ...wrap(`cause   ${cause.split("\n", 1)[0]}`, columns, 8),
    ...exit.map((line): Ink.Line => [Ink.piece(`exit    ${line}`)]),
    ...output.map((line, index): Ink.Line => [Ink.piece(index === 0 ? "output  " : "        "), Ink.piece(line, "dim")]),
    [],
    ...timeline(incident, columns),
    [],
    ...calls(incident, columns)
  ].map((line) => Ink.fit(line, columns))
}

const timeline = (incident: Incident.Incident, columns: number): ReadonlyArray<Ink.Line> => {
  const { at, steps } = incident
  const used = Incident.lanes.filter((lane) => steps.some((step) => step.lane === lane))
  const spans = new Map(
    used.map((lane) => [lane, [steps.findIndex((step) => step.lane === lane), steps.findLastIndex((step) => step.lane === lane)] as const])
  )
  const gutter = used.reduce((sum, lane) => sum + heads[lane].length + 1, 0)
  const head: Ink.Line = [Ink.piece(`${"ms".padStart(8)}  ${used.map((lane) => heads[lane]).join(" ")}`, "dim")]
  return [
    head,
    ...steps.flatMap((step, row) => {
      const marks = (isFirst: boolean): Ink.Line =>
        used.flatMap((lane) => {
          const [from, to] = spans.get(lane)!
          const isHere = isFirst && lane === step.lane
          const mark = isHere ? (isDecision(lane) ? "◆" : "●") : row >= from && row + (isFirst ? 0 : 1) <= to ? "│" : " "
          return [Ink.piece(mark, isHere ? EventText.styleOf(step.event) : "dim"), Ink.piece(" ".repeat(heads[lane].length))]
        })
      const offset = Math.round(step.at - at)
      return wrap(Incident.describe(incident, step), columns - 10 - gutter, 2).map((line, index): Ink.Line => [
        Ink.piece((index === 0 ? `${offset < 0 ? "" : "+"}${offset}` : "").padStart(8), "dim"),
        Ink.piece("  "),
        ...marks(index === 0),
        ...line
      ])
    })
  ]
}

const isDecision = (lane: Incident.Lane): boolean => lane === "worker supervisor" || lane === "pool" || lane === "root"

const calls = ({ calls }: Incident.Incident, columns: number): ReadonlyArray<Ink.Line> => {
  if (calls.length === 0) return [[Ink.piece("no call was touched")]]
  return [
    [Ink.piece(`${calls.length} ${calls.length === 1 ? "call was" : "calls were"} touched`, "bold")],
    ...calls.flatMap((call) =>
      wrap(`  ${call.tool}  ${endOf(call)}${call.correlationId === undefined ? "" : `  (${call.correlationId})`}`, columns, 4)
    )
  ]
}

/** How a call ended, for people. */
export const endOf = ({ attempts, detail, end, executed, reason }: Incident.TouchedCall): string => {
  switch (end) {
    case "completed":
      return `completed on another worker ${detail}, at attempt ${attempts}`
    case "goes on":
      return `was sent to another worker ${detail}, attempt ${attempts}: no end of it is told yet`
    case "failed":
      return `failed with ${reason}, executed: ${executed}. ${detail.split("\n", 1)[0]}`
    case "cancelled":
      return `nobody waited for it any more: ${detail}`
  }
}

/** Broken between words; lines after the first are indented. */
const wrap = (text: string, columns: number, indent: number): ReadonlyArray<Ink.Line> => {
  const room = Math.max(20, columns) // 20: below that a word a line helps nobody
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(/(?<=\S)(?= )/)) {
    if (line !== "" && Ink.width(line) + Ink.width(word) > room) {
      lines.push(line)
      line = `${" ".repeat(indent)}${word.trimStart()}`
    } else line += word
  }
  return [...lines, line].map((text) => [Ink.piece(text)])
}
