/** What a check found: one line, and what to do about it. Printed for a terminal, or as one line of JSON. Pure. */

/** - `ok`: as it should be. - `warning`: works, with less than could be. - `error`: an application would not start, or not work. */
export type Level = "ok" | "warning" | "error"

export interface Finding {
  readonly level: Level
  /** What was looked at: one or two words. */
  readonly area: string
  readonly text: string
  /** The next step; none when there is nothing to do. */
  readonly remedy?: string
}

export const ok = (area: string, text: string): Finding => ({ level: "ok", area, text })
export const warning = (area: string, text: string, remedy: string): Finding => ({ level: "warning", area, text, remedy })
export const error = (area: string, text: string, remedy: string): Finding => ({ level: "error", area, text, remedy })

const countOf = (findings: ReadonlyArray<Finding>, level: Level): number => findings.filter((finding) => finding.level === level).length

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

/** `9 ok, 2 warnings, 1 error`. */
export const summary = (findings: ReadonlyArray<Finding>): string =>
  `${countOf(findings, "ok")} ok, ${plural(countOf(findings, "warning"), "warning")}, ${plural(countOf(findings, "error"), "error")}`

export const hasError = (findings: ReadonlyArray<Finding>): boolean => countOf(findings, "error") > 0

/** One line for programs. */
export const toJson = (findings: ReadonlyArray<Finding>): string =>
  JSON.stringify({
    ok: countOf(findings, "ok"),
    warnings: countOf(findings, "warning"),
    errors: countOf(findings, "error"),
    findings
  })

const marks: Record<Level, string> = { ok: "ok     ", warning: "warning", error: "error  " }
const colors: Record<Level, number> = { ok: 32, warning: 33, error: 31 } // green, yellow, red

/** Breaks at spaces; a word that is longer than a line stays whole, so that it can be copied. */
export const wrap = (text: string, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const paragraph of text.split("\n")) {
    let line = ""
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > width) {
        lines.push(line)
        line = word
      } else {
        line = line === "" ? word : `${line} ${word}`
      }
    }
    lines.push(line)
  }
  return lines
}

/** What {@link render} takes. */
export interface Paper {
  readonly columns: number
  readonly color: boolean
}

/** The findings in the order they were found, one area a word, remedies below what they are for, the count at the end. */
export const render = (findings: ReadonlyArray<Finding>, { color, columns }: Paper): string => {
  const widest = Math.max(0, ...findings.map(({ area }) => area.length))
  const indent = marks.ok.length + 2 + widest + 2
  const width = Math.max(40, columns - indent) // below that a narrow terminal wraps by itself
  const margin = " ".repeat(indent)
  const paint = (level: Level, text: string) => color ? `\u001b[${colors[level]}m${text}\u001b[0m` : text
  const lines = findings.flatMap(({ area, level, remedy, text }) => {
    const [first = "", ...rest] = wrap(text, width)
    return [
      `${paint(level, marks[level])}  ${area.padEnd(widest)}  ${first}`,
      ...rest.map((line) => margin + line),
      ...(remedy === undefined ? [] : wrap(remedy, width - 2).map((line, at) => `${margin}${at === 0 ? "→ " : "  "}${line}`))
    ]
  })
  return [...lines, "", summary(findings)].join("\n")
}
