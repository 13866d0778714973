/**
 * What OTP did, recorded: schedules with their traces, for where there is no Erlang. A change of the generator makes no record stale.
 *
 * A file is Brotli over lines: a header, then for each record its schedule in JSON, the lines of its normalised trace and an empty line. Of
 * a trace line the third part and its bar are left out where they are those of the line before.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib"
import type { Schedule } from "./Schedule.ts"
import type { Trace } from "./Trace.ts"

export interface Recorded {
  readonly schedule: Schedule
  /** Normalised. */
  readonly trace: Trace
}

export interface Header {
  readonly otp: string
  readonly seed: number
  /** The index of the first record's schedule, and how many there are in this file. */
  readonly from: number
  readonly schedules: number
}

const folder = join(import.meta.dirname, "corpus")
/** Megabytes when unpacked: little enough to hold, enough for Brotli to learn from. */
const recordsInFile = 2500

const pack = (trace: Trace): ReadonlyArray<string> =>
  trace.map((line, index) => {
    const bar = line.lastIndexOf("|")
    const before = trace[index - 1]
    return before !== undefined && before.slice(before.lastIndexOf("|")) === line.slice(bar) ? line.slice(0, bar) : line
  })

const unpack = (lines: ReadonlyArray<string>): Trace => {
  let supervisors = ""
  return lines.map((line) => {
    const bar = line.lastIndexOf("|")
    if (bar === line.indexOf("|")) return line + supervisors
    supervisors = line.slice(bar)
    return line
  })
}

/** Makes the committed corpus anew. */
export const record = async (
  otp: string,
  seed: number,
  records: AsyncIterable<Recorded>
): Promise<{ readonly schedules: number; readonly bytes: number }> => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  let pending: Array<string> = []
  let schedules = 0
  let bytes = 0
  const flush = (): void => {
    const header: Header = { otp, seed, from: schedules, schedules: pending.length }
    const text = Buffer.from([JSON.stringify(header), ...pending].join("\n"))
    const packed = brotliCompressSync(text, {
      params: {
        [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
        [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
        [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
        [constants.BROTLI_PARAM_SIZE_HINT]: text.length
      }
    })
    writeFileSync(join(folder, `${String(schedules).padStart(6, "0")}.br`), packed)
    schedules += pending.length
    bytes += packed.length
    pending = []
  }
  for await (const { schedule, trace } of records) {
    pending.push([JSON.stringify(schedule), ...pack(trace), ""].join("\n"))
    if (pending.length === recordsInFile) flush()
  }
  if (pending.length > 0) flush()
  return { schedules, bytes }
}

const files = (): ReadonlyArray<string> => readdirSync(folder).filter((name) => name.endsWith(".br")).sort()

const linesOf = (file: string): ReadonlyArray<string> =>
  brotliDecompressSync(readFileSync(join(folder, file))).toString("latin1").split("\n")

/** Of the whole corpus: which OTP it was, the seed, how many schedules. */
export const header = (): Header => {
  const headers = files().map((file) => JSON.parse(linesOf(file)[0] as string) as Header)
  const [first] = headers
  if (first === undefined) throw new Error(`There is no corpus in ${folder}: record one with \`npm run verify:otp -- --record\``)
  return { ...first, schedules: headers.reduce((sum, { schedules }) => sum + schedules, 0) }
}

/** The records, in order; one file at a time is in memory. */
export function* read(): Iterable<Recorded> {
  for (const file of files()) {
    const lines = linesOf(file)
    for (let start = 1; start < lines.length;) {
      const end = lines.indexOf("", start)
      yield { schedule: JSON.parse(lines[start] as string) as Schedule, trace: unpack(lines.slice(start + 1, end)) }
      start = end + 1
    }
  }
}
