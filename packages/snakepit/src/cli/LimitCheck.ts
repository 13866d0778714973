/** Limits of the system that pools of the configured sizes would run into. The judgement is pure. */
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import * as Finding from "./Finding.ts"

/** What the system allows; `undefined` where it does not say, infinite where there is no limit. */
export interface Limits {
  readonly openFiles: number | undefined
  readonly processes: number | undefined
}

/** A soft or hard limit from `/proc/self/limits`. */
export const limitOf = (text: string, name: string, which: "soft" | "hard"): number | undefined => {
  const line = text.split("\n").find((line) => line.startsWith(name))
  const value = line?.slice(name.length).trim().split(/\s+/)[which === "soft" ? 0 : 1]
  return value === undefined ? undefined : value === "unlimited" ? Number.POSITIVE_INFINITY : Number(value)
}

/** Open files a Reaper has for one worker: output, errors, status, and one for a moment at its start. */
const filesPerWorker = 4

/** What any process has open besides. */
const filesBesides = 64

/** Threads of a worker, which count as processes: the interpreter's, gRPC's and a tool's. */
const threadsPerWorker = 16

export const judge = (limits: Limits, sizes: ReadonlyArray<number>): ReadonlyArray<Finding.Finding> => {
  const workers = sizes.reduce((sum, size) => sum + size, 0)
  const files = filesBesides + filesPerWorker * workers
  const threads = threadsPerWorker * workers
  const findings: Array<Finding.Finding> = []
  const judgeOne = (what: string, limit: number | undefined, need: number, remedy: string): void => {
    if (limit === undefined) return
    if (limit < need) {
      findings.push(Finding.error("limits", `${limit} ${what} are allowed, and ${workers} workers need about ${need}`, remedy))
    } else if (limit < 2 * need) {
      findings.push(
        Finding.warning("limits", `${limit} ${what} are allowed, little more than the ${need} that ${workers} workers need`, remedy)
      )
    } else {
      findings.push(Finding.ok("limits", `${limit === Number.POSITIVE_INFINITY ? "any number of" : limit} ${what}, ${need} needed`))
    }
  }
  judgeOne("open files", limits.openFiles, files, "raise the limit: ulimit -n 65536, LimitNOFILE= in a systemd unit")
  judgeOne(
    "processes and threads",
    limits.processes,
    threads,
    "raise the limit: ulimit -u, TasksMax= in a systemd unit, --pids-limit of a container"
  )
  return findings
}

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

/** Node.js and the Reaper raise the number of open files to the hard limit. */
export const check = (sizes: ReadonlyArray<number>): Effect.Effect<ReadonlyArray<Finding.Finding>> =>
  Effect.sync(() => {
    const limits = read("/proc/self/limits")
    return judge({
      openFiles: limitOf(limits, "Max open files", "hard"),
      processes: process.getuid?.() === 0 ? undefined : limitOf(limits, "Max processes", "soft") // root is not held to it
    }, sizes)
  })
