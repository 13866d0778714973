/** Numbers and times as a report says them. */

/** Milliseconds in two figures or so: `"350 ms"`, `"1.4 s"`, `"3.5 min"`, `"2 h"`, `"4 d"`. */
export const took = (millis: number): string => {
  if (millis < 1000) return `${Math.round(millis)} ms`
  if (millis < 60_000) return `${short(millis / 1000)} s`
  if (millis < 3_600_000) return `${short(millis / 60_000)} min`
  if (millis < 86_400_000) return `${short(millis / 3_600_000)} h`
  return `${short(millis / 86_400_000)} d`
}

const short = (number: number): string => number >= 10 ? String(Math.round(number)) : String(Math.round(number * 10) / 10)

/** Unix milliseconds as `"2026-11-26 09:40:12"`, in UTC. */
export const moment = (at: number): string => Number.isFinite(at) ? new Date(at).toISOString().slice(0, 19).replace("T", " ") : "?"

/** From 0 to 1 as `"12.5 %"`. */
export const share = (part: number): string => `${Math.round(part * 1000) / 10} %`

/** `"1 restart"`, `"3 restarts"`. */
export const count = (number: number, one: string, many = `${one}s`): string => `${number} ${number === 1 ? one : many}`

/** In columns, the first row a head. What comes from events has no control characters in it. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)))
  return rows.map((row) => row.map((cell, column) => column === row.length - 1 ? cell : cell.padEnd(widths[column]!)).join("  ").trimEnd())
    .join("\n")
}

/** One line for a terminal: control characters, which could move its cursor, are shown as `·`, and it is no longer than `most`. */
export const plain = (text: string, most = 100): string => {
  const safe = text.replace(/\p{C}/gu, "·")
  return safe.length > most ? `${safe.slice(0, most - 1)}…` : safe
}
