/** Queries as both databases take them. Pure, and free of imports that run: SQLite's thread loads it too. */
import type { Query } from "./HistoryReader.ts"

/** A value that is bound. */
export type Bound = string | number

/** What the databases write differently. */
export interface Dialect {
  /** The place of the next bound value. */
  readonly bind: (value: Bound) => string
  /** Whether a column fits a pattern of names. */
  readonly fits: (column: string, pattern: string) => string
}

/** The rows of one page. A client that reads slowly holds no more than that. */
export const pageSize = 1000

/** What all rows must fulfil, as SQL. */
export const conditions = (query: Query, { bind, fits }: Dialect): string => {
  const parts: Array<string> = []
  const equal = (column: string, value: string | undefined) => {
    if (value !== undefined) parts.push(`${column} = ${bind(value)}`)
  }
  equal("r.id", query.run)
  equal("e.incident", query.incident)
  equal("e.reason", query.reason)
  if (query.path?.endsWith("/*") === true) {
    const above = query.path.slice(0, -1)
    parts.push(`e.path > ${bind(above)} AND e.path < ${bind(`${above.slice(0, -1)}0`)}`) // "0" comes after "/"
  } else equal("e.path", query.path)
  if (query.name?.includes("*") === true) parts.push(fits("e.name", query.name))
  else equal("e.name", query.name)
  if (query.since !== undefined) parts.push(`e.at >= ${bind(query.since)}`)
  if (query.until !== undefined) parts.push(`e.at < ${bind(query.until)}`)
  return parts.length === 0 ? "TRUE" : parts.join(" AND ")
}

/** Events of calls are the first to go: an hour of overload must not push out a year of restarts. */
export const ofCalls = "name >= 'snakepit.call.' AND name < 'snakepit.call/'" // "/" comes after "."

/** The columns of an event, in the order of {@link Row}. */
export const columns = "e.seq, r.id AS run, e.name, e.at, e.body"

/** The tables that {@link columns} are of. */
export const tables = "events e JOIN runs r ON r.key = e.run"

const text = (value: unknown): string | null => typeof value === "string" ? value : null

/** What of an event has a column: `path`, `reason`, `incident`, and the whole as JSON. */
export const cells = (
  { attributes, measurements }: { readonly attributes: Record<string, unknown>; readonly measurements: Record<string, unknown> }
): readonly [path: string | null, reason: string | null, incident: string | null, body: string] => [
  text(attributes["path"]),
  text(attributes["reason"]),
  text(attributes["incident"]),
  JSON.stringify({ measurements, attributes })
]
