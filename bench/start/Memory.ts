/** The share of memory (PSS) that a process really costs, in MB: private pages, and its part of those that it shares. */
import { readFileSync } from "node:fs"

export const pss = (pid: number): number => {
  const [, kilobytes] = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")) ?? []
  if (kilobytes === undefined) throw new Error(`/proc/${pid}/smaps_rollup has no Pss: this needs Linux 4.14 or newer`)
  return Number(kilobytes) / 1024
}
