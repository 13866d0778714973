/**
 * The journal of one run as text: a header that says whose it is, then one line a change. Pure: text in, entries out.
 *
 * ```text
 * {"runId":"…","machine":"…","bootId":"…","pidNamespace":"pid:[…]","pid":4711,"startTicks":9021,"folder":"…","cgroup":"…"}
 * {"reserved":"default/3#0","pool":"default"}           before the process is asked for
 * {"started":"default/3#0","pid":4730,"startTicks":9033} it exists
 * {"taken":"default/spare#7","by":"default/3"}           a slot has taken the spare
 * {"leaked":"default/3#0"}                               SIGKILL did not end it: left to the next start
 * {"gone":"default/3#0"}                                 nothing of it is left
 * ```
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** One process of a run. */
export interface ProcessEntry {
  /** `default/3#0`, `default/spare#7`: who it was started as, and the how manyth of these. Unique in the run. */
  readonly id: string
  /** The slot that it fills now, `default/3`, when it was not started for it. */
  readonly takenBy?: string | undefined
  readonly pool: string
  /** `undefined` while it is reserved and not yet started. Always as the host's pid namespace counts. */
  readonly pid: number | undefined
  /** Its start time in clock ticks since boot: with the pid, its identity. */
  readonly startTicks: number | undefined
  /** It was still there after SIGKILL and a wait. */
  readonly leaked: boolean
}

/** Whose journal it is. A line of a newer version may carry more. */
export const Header = Schema.Struct({
  runId: Schema.NonEmptyString,
  machine: Schema.String,
  bootId: Schema.NonEmptyString,
  pidNamespace: Schema.NonEmptyString,
  pid: Schema.Int,
  startTicks: Schema.Int,
  /** Of its sockets. */
  folder: Schema.optional(Schema.NonEmptyString),
  cgroup: Schema.optional(Schema.NonEmptyString)
})

export type Header = typeof Header.Type

const Line = Schema.Union([
  Schema.Struct({ reserved: Schema.NonEmptyString, pool: Schema.NonEmptyString }),
  Schema.Struct({ started: Schema.NonEmptyString, pid: Schema.Int, startTicks: Schema.Int }),
  Schema.Struct({ taken: Schema.NonEmptyString, by: Schema.NonEmptyString }),
  Schema.Struct({ leaked: Schema.NonEmptyString }),
  Schema.Struct({ gone: Schema.NonEmptyString })
])

/** One change. */
export type Line = typeof Line.Type

/** A journal that was read. `damage` says what could not be, `undefined` when all could. */
export interface RunJournal {
  readonly header: Header
  readonly entries: ReadonlyMap<string, ProcessEntry>
  readonly damage: string | undefined
}

/** A file of which not even the header can be read. */
export interface Unreadable {
  readonly header: undefined
  readonly damage: string
}

const decodeHeader = Schema.decodeUnknownOption(Schema.fromJsonString(Header))
const decodeLine = Schema.decodeUnknownOption(Schema.fromJsonString(Line))

/** Takes one change in. */
export const apply = (entries: Map<string, ProcessEntry>, line: Line): void => {
  if ("reserved" in line) {
    entries.set(line.reserved, { id: line.reserved, pool: line.pool, pid: undefined, startTicks: undefined, leaked: false })
  } else if ("gone" in line) {
    entries.delete(line.gone)
  } else if ("taken" in line) {
    const entry = entries.get(line.taken)
    if (entry !== undefined) entries.set(line.taken, { ...entry, takenBy: line.by })
  } else if ("leaked" in line) {
    const entry = entries.get(line.leaked)
    if (entry !== undefined) entries.set(line.leaked, { ...entry, leaked: true })
  } else {
    const entry = entries.get(line.started)
    if (entry !== undefined) entries.set(line.started, { ...entry, pid: line.pid, startTicks: line.startTicks })
  }
}

export const encodeLine = (line: Line): string => `${JSON.stringify(line)}\n`

/** The shortest journal that says the same. */
export const encode = (header: Header, entries: Iterable<ProcessEntry>): string => {
  const lines = [`${JSON.stringify(header)}\n`]
  for (const { id, leaked, pid, pool, startTicks, takenBy } of entries) {
    lines.push(encodeLine({ reserved: id, pool }))
    if (pid !== undefined && startTicks !== undefined) lines.push(encodeLine({ started: id, pid, startTicks }))
    if (takenBy !== undefined) lines.push(encodeLine({ taken: id, by: takenBy }))
    if (leaked) lines.push(encodeLine({ leaked: id }))
  }
  return lines.join("")
}

/** Changes kept beyond what the entries need. 256: a rewrite of a few kilobytes for every 256 appends is not felt. */
const slack = 256

/** Whether a journal of so many lines should be written anew. */
export const isLong = (lines: number, entries: number): boolean => lines > 1 + 4 * entries + slack

/** Reads a journal. The end of a file without its line feed was being written when the host died, and counts as not written. */
export const parse = (text: string): RunJournal | Unreadable => {
  const [first, ...rest] = text.split("\n").slice(0, -1)
  if (first === undefined) return { header: undefined, damage: "it holds no whole line" }
  const header = decodeHeader(first)
  if (Option.isNone(header)) return { header: undefined, damage: "its first line is not the header of a run" }
  const entries = new Map<string, ProcessEntry>()
  let damage: string | undefined
  for (const [index, text] of rest.entries()) {
    const line = decodeLine(text)
    if (Option.isSome(line)) apply(entries, line.value)
    else damage ??= `line ${index + 2} is no change of a process`
  }
  return { header: header.value, entries, damage }
}
