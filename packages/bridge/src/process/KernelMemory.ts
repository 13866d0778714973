/**
 * What memory a process holds with everything below it, as `/proc` says.
 *
 * Resident memory is a counter that the kernel keeps; the proportional share has to be summed over all pages (measured: some
 * milliseconds for each 100 MB). Both are read by the thread pool, so that the event loop does not wait for it.
 */
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import * as ProcessTable from "./ProcessTable.ts"

/** Where each kind stands, and as what, in KiB. */
const sources = {
  rss: { file: "status", field: /^VmRSS:\s+(\d+) kB$/m },
  pss: { file: "smaps_rollup", field: /^Pss:\s+(\d+) kB$/m }
} as const

const read = (pid: number, file: string): Effect.Effect<string> =>
  Effect.promise(() => readFile(`/proc/${pid}/${file}`, "latin1").catch(() => "")) // it has ended since, or there is no /proc

/** Bytes; `undefined` where there is no such process. Whoever left its family, by a parent that ended, is not counted. */
export const of = (pid: number, kind: "rss" | "pss"): Effect.Effect<number | undefined> =>
  Effect.gen(function*() {
    const { field, file } = sources[kind]
    const own = field.exec(yield* read(pid, file))?.[1]
    if (own === undefined) return undefined
    const below = yield* Effect.forEach(yield* children(pid), (child) => of(child, kind))
    return below.reduce<number>((sum, bytes) => sum + (bytes ?? 0), Number(own) * 1024)
  })

const children = (pid: number): Effect.Effect<ReadonlyArray<number>> =>
  Effect.map(
    Effect.forEach(ProcessTable.threads(pid), (thread) => read(pid, `task/${thread}/children`)),
    (texts) => texts.flatMap((text) => text.split(" ").filter(Boolean).map(Number))
  )
