/**
 * What the kernel says of a process, read from `/proc`: whether it works, waits, or was stopped. The watchdog asks when a beat was missed.
 *
 * Synchronous, and small: one file, and one more a thread. The state is that of its first thread, where tools run: threads of Python that
 * wait for the interpreter lock wake two hundred times a second to ask for it, so under a deadlock some other thread is often seen running
 * (measured: one look in seven). Threads that really work are seen in the CPU time of each.
 */
import type { WorkerRuntime } from "@snakepit/pool"
import { readdirSync, readFileSync } from "node:fs"

/** Of `/proc/<pid>/stat`, counted from the state, which is the first behind the name. */
const field = { state: 0, flags: 6, majorFaults: 9, user: 11, system: 12 } as const

/** 10: a clock tick as `/proc` counts it (USER_HZ is 100 on every architecture that Node runs on). */
const tickMillis = 10

const states: { readonly [letter: string]: WorkerRuntime.Evidence["state"] } = {
  R: "running",
  S: "sleeping",
  I: "sleeping",
  D: "disk",
  T: "stopped",
  t: "traced",
  Z: "zombie"
}

/** `undefined` when there is no such process, or no `/proc`. */
export const of = (pid: number): WorkerRuntime.Evidence | undefined => {
  const fields = stat(`/proc/${pid}/stat`)
  if (fields === undefined) return undefined
  return {
    pid,
    state: stateIn(fields),
    cpuMillis: cpuMillis(fields),
    threads: threads(pid),
    majorFaults: Number(fields[field.majorFaults])
  }
}

/** The state alone: one file, whatever number of threads there is. */
export const state = (pid: number): WorkerRuntime.Evidence["state"] | undefined => {
  const fields = stat(`/proc/${pid}/stat`)
  return fields && stateIn(fields)
}

/** Its CPU time alone, in milliseconds: one file. */
export const cpu = (pid: number): number | undefined => {
  const fields = stat(`/proc/${pid}/stat`)
  return fields && cpuMillis(fields)
}

/** PF_EXITING: on its way out, whatever its state; its files are closed by then. */
const exiting = 0x4

/** Whether it lives and is not about to end. */
export const isAlive = (pid: number): boolean => {
  const fields = stat(`/proc/${pid}/stat`)
  return fields !== undefined && stateIn(fields) !== "zombie" && (Number(fields[field.flags]) & exiting) === 0
}

const stateIn = (fields: ReadonlyArray<string>): WorkerRuntime.Evidence["state"] => states[fields[field.state]!] ?? "other"

const cpuMillis = (fields: ReadonlyArray<string>): number => (Number(fields[field.user]) + Number(fields[field.system])) * tickMillis

const threads = (pid: number): ReadonlyMap<number, number> => {
  const found = new Map<number, number>()
  for (const id of list(`/proc/${pid}/task`)) {
    const fields = stat(`/proc/${pid}/task/${id}/stat`)
    if (fields !== undefined) found.set(Number(id), cpuMillis(fields))
  }
  return found
}

const list = (path: string): ReadonlyArray<string> => {
  try {
    return readdirSync(path)
  } catch {
    return [] // it has ended since
  }
}

const stat = (path: string): ReadonlyArray<string> | undefined => {
  try {
    const text = readFileSync(path, "latin1")
    return text.slice(text.lastIndexOf(")") + 2).split(" ") // a name may hold spaces and parentheses
  } catch {
    return undefined
  }
}
