/** The processes of this system as `/proc` shows them. Everything is empty or `undefined` where there is none. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs"

/** A process at the moment it was looked at. Pid and start time together are its identity. */
export interface SeenProcess {
  readonly pid: number
  readonly parent: number
  /** In clock ticks since boot. */
  readonly startTicks: number
  /** Dead, its parent has not taken its status yet. */
  readonly zombie: boolean
}

/** The mark that all processes of a run carry in their environment. */
export const runMark = "SNAKEPIT_RUN"

/** The mark that a worker and whatever it starts carry: `default/3#0`. */
export const workerMark = "SNAKEPIT_WORKER"

/** Reads the text of `/proc/<pid>/stat`. The command may hold spaces and brackets, so fields count from its last bracket. */
export const parseStat = (text: string): SeenProcess | undefined => {
  const pid = Number.parseInt(text, 10)
  const fields = text.slice(text.lastIndexOf(")") + 2).trim().split(" ")
  const [state, parent, startTicks] = [fields[0], Number(fields[1]), Number(fields[19])]
  if (!Number.isInteger(pid) || !Number.isInteger(parent) || !Number.isInteger(startTicks)) return undefined
  return { pid, parent, startTicks, zombie: state === "Z" || state === "X" }
}

/** What a file of `/proc` says; empty when the process has just gone, or is somebody else's. */
export const read = (pid: number | "self", file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8")
  } catch {
    return ""
  }
}

/** The process that has this pid now. */
export const look = (pid: number): SeenProcess | undefined => parseStat(read(pid, "stat"))

export const pids = (): ReadonlyArray<number> => {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number)
  } catch {
    return []
  }
}

/** The threads of a process. */
export const threads = (pid: number): ReadonlyArray<string> => {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

/** All processes. */
export const all = (): ReadonlyArray<SeenProcess> => pids().map(look).filter((seen) => seen !== undefined)

/** The environment it was started with; empty for a zombie, and for one that has erased it. */
export const environment = (pid: number): ReadonlyArray<string> => read(pid, "environ").split("\0")

/** The run that the process was started in. */
export const runOf = (pid: number): string | undefined =>
  environment(pid).find((entry) => entry.startsWith(`${runMark}=`))?.slice(runMark.length + 1)

export const commandOf = (pid: number): string => read(pid, "cmdline").replaceAll("\0", " ").trim()

/** The pid namespace of this process, as the kernel names it. */
export const pidNamespace = (): string | undefined => {
  try {
    return readlinkSync("/proc/self/ns/pid")
  } catch {
    return undefined
  }
}

/** SIGKILL to exactly this process: a pid that was given to another one in the meantime is left alone. */
export const kill = (seen: SeenProcess): void => {
  if (look(seen.pid)?.startTicks !== seen.startTicks) return
  try {
    process.kill(seen.pid, "SIGKILL")
  } catch {
    // it has gone by itself, or is another user's
  }
}
