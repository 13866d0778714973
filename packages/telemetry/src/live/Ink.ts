/** Text for a terminal as data: pieces with a style each, measured in columns, turned into escape codes at the very end. */

/** What a piece means; {@link toAnsi} says how that looks. */
export type Style = "plain" | "dim" | "bold" | "good" | "soon" | "bad"

export interface Piece {
  readonly text: string
  readonly style: Style
}

/** One line. */
export type Line = ReadonlyArray<Piece>

export const piece = (text: string, style: Style = "plain"): Piece => ({ text, style })

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" })

const wide =
  /\p{Emoji_Presentation}|\uFE0F|[\u1100-\u115F\u2E80-\u303E\u3041-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{20000}-\u{3FFFD}]/u
const nothing = /^(?:\p{Mark}|\p{Cf})+$/u

/** Columns that one character takes, as a person counts characters. */
const columnsOf = (grapheme: string): number => nothing.test(grapheme) ? 0 : wide.test(grapheme) ? 2 : 1

/** What a terminal might obey, or break a line at, is shown as `·`. */
const harmless = (text: string): string => text.replaceAll(/\p{Cc}/gu, "·")

/** The columns of a text. */
export const width = (text: string): number => {
  let columns = 0
  for (const { segment } of segmenter.segment(text)) columns += columnsOf(segment)
  return columns
}

/** The line in exactly so many columns: cut, with `…`, or filled with blanks. */
export const fit = (line: Line, columns: number): Line => {
  const pieces: Array<Piece> = []
  let left = columns
  const whole = line.reduce((sum, { text }) => sum + width(harmless(text)), 0) <= columns
  const room = whole ? 0 : 1 // for the …
  for (const { style, text } of line) {
    let kept = ""
    let isCut = false
    for (const { segment } of segmenter.segment(harmless(text))) {
      const taken = columnsOf(segment)
      if (taken > left - room) {
        isCut = true
        break
      }
      kept += segment
      left -= taken
    }
    if (isCut) {
      pieces.push({ text: `${kept}…`, style })
      left -= 1
      break
    }
    pieces.push({ text: kept, style })
  }
  if (left > 0) pieces.push(piece(" ".repeat(left)))
  return pieces
}

/** Without styles and without blanks at its end. */
export const toPlain = (line: Line): string => line.map(({ text }) => text).join("").trimEnd()

const codes: { readonly [style in Style]: string } = { plain: "", dim: "2", bold: "1", good: "32", soon: "33", bad: "1;31" }

/** With escape codes, unless colours are not wanted. */
export const toAnsi = (line: Line, color: boolean): string =>
  line.map(({ style, text }) => color && codes[style] !== "" ? `\u001b[${codes[style]}m${text}\u001b[0m` : text).join("")

const levels = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"] as const

/** The last `columns` values as a line of bars, the highest of them as high as can be. */
export const sparkline = (values: ReadonlyArray<number>, columns: number): string => {
  const shown = values.slice(-columns)
  const highest = Math.max(...shown, 0)
  return shown.map((value) => levels[highest === 0 ? 0 : Math.round(value / highest * (levels.length - 1))]!).join("")
}

/** What is left of what there is: `▮▮▯`; as figures when there is too much for that. */
export const gauge = (left: number, of: number): string => of <= 5 ? "▮".repeat(left) + "▯".repeat(of - left) : `${left}/${of}` // 5: wider than figures
