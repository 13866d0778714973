/**
 * What `/proc` shows, read by itself: not with the library's own eyes. The identity of a process is its pid with the time at which it
 * started; what belongs to a run carries `SNAKEPIT_RUN` in its environment, what belongs to a worker `SNAKEPIT_WORKER` too.
 */
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs"
import { join } from "node:path"

/** One process; `started` in clock ticks since boot. */
export interface Identity {
  readonly pid: number
  readonly started: number
}

/** An identity as text. */
export const key = ({ pid, started }: Identity): string => `${pid}.${started}`

export interface Process extends Identity {
  readonly parent: number
  /** As in `/proc/<pid>/stat`: `R`, `S`, `T` (stopped), `Z` (dead, not yet reaped) … */
  readonly state: string
  readonly command: string
  readonly run: string | undefined
  /** `default/3#0`. */
  readonly worker: string | undefined
}

/** This observer sees nothing elsewhere than on Linux. */
export const canSee = (): boolean => stat(process.pid) !== undefined

const slurp = (pid: number, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1")
  } catch {
    return "" // it has just gone, or is somebody else's
  }
}

interface Stat extends Identity {
  readonly parent: number
  readonly state: string
}

const stat = (pid: number): Stat | undefined => {
  const text = slurp(pid, "stat")
  if (text === "") return undefined
  const [state, parent, ...fields] = text.slice(text.lastIndexOf(") ") + 2).split(" ") // a name may hold anything
  return { pid, state: state!, parent: Number(parent), started: Number(fields[17]) } // the 22nd field of all
}

const pids = (): ReadonlyArray<number> => readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number)

const markOf = (environment: ReadonlyArray<string>, name: string): string | undefined => {
  const value = environment.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1).trimEnd()
  return value === "" ? undefined : value
}

const detail = (found: Stat): Process => {
  const environment = slurp(found.pid, "environ").split("\0")
  return {
    ...found,
    command: slurp(found.pid, "cmdline").replaceAll("\0", " ").trim(),
    run: markOf(environment, "SNAKEPIT_RUN"),
    worker: markOf(environment, "SNAKEPIT_WORKER")
  }
}

const isDead = (state: string): boolean => state === "Z" || state === "X"

/** The process behind `pid`, a dead one left out. */
export const find = (pid: number): Process | undefined => {
  const found = stat(pid)
  return found === undefined || isDead(found.state) ? undefined : detail(found)
}

/** Exactly this process is there and not dead. */
export const isAlive = ({ pid, started }: Identity): boolean => {
  const found = stat(pid)
  return found !== undefined && found.started === started && !isDead(found.state)
}

/** Exactly this process is stopped by a signal. */
export const isStopped = ({ pid, started }: Identity): boolean => {
  const found = stat(pid)
  return found?.started === started && found.state === "T"
}

/** The living processes that carry the mark of this run. */
export const ofRun = (run: string): ReadonlyArray<Process> =>
  pids().flatMap((pid) => find(pid) ?? []).filter((process) => process.run === run)

const descendants = (root: number): ReadonlyArray<Stat> => {
  const children = new Map<number, Array<Stat>>()
  for (const found of pids().flatMap((pid) => stat(pid) ?? [])) {
    children.set(found.parent, [...children.get(found.parent) ?? [], found])
  }
  const all = [...children.get(root) ?? []]
  for (const { pid } of all) all.push(...children.get(pid) ?? [])
  return all
}

/** The living processes below this one, whatever they carry. */
export const below = (root: number): ReadonlyArray<Process> => descendants(root).filter(({ state }) => !isDead(state)).map(detail)

/** A worker's own process. */
export interface Worker extends Process {
  readonly pool: string
  readonly slot: number
}

/** The workers of a run: each the one process of its mark that was started by something without such a mark. */
export const workers = (processes: ReadonlyArray<Process>): ReadonlyArray<Worker> => {
  const marked = new Set(processes.filter(({ worker }) => isWorkerMark(worker)).map(({ pid }) => pid))
  return processes.flatMap((process) => {
    const [, pool, slot] = /^([a-z][\w-]*)\/(\d+)#\d+$/.exec(process.worker ?? "") ?? []
    const leads = pool !== undefined && !marked.has(process.parent) && process.command.includes("snakepit.worker")
    return leads ? [{ ...process, pool, slot: Number(slot) }] : []
  })
}

/** A process that serves a pool: its Forkserver, or its Reaper. */
export interface Helper extends Process {
  readonly pool: string
}

/** The Forkservers of a run, without what they have forked. */
export const forkservers = (processes: ReadonlyArray<Process>): ReadonlyArray<Helper> =>
  processes.flatMap((process) => {
    const [, pool] = /^([a-z][\w-]*)\/forkserver#\d+$/.exec(process.worker ?? "") ?? []
    const isForked = processes.some(({ pid, worker }) => pid === process.parent && worker === process.worker)
    return pool === undefined || isForked || !process.command.includes("snakepit.forkserver") ? [] : [{ ...process, pool }]
  })

/** The Reapers of a run: by their program, and of the pool that one of their children carries in its mark. */
export const reapers = (processes: ReadonlyArray<Process>): ReadonlyArray<Helper> =>
  processes.flatMap((process) => {
    if (!/snakepit_reaper(\/__main__\.py)?$/.test(process.command)) return []
    const mark = processes.find(({ parent, worker }) => parent === process.pid && worker !== undefined)?.worker
    return mark === undefined ? [] : [{ ...process, pool: mark.slice(0, mark.indexOf("/")) }]
  })

/** Every Unix socket that somebody listens on, by its path. */
export const listening = (): ReadonlySet<string> =>
  new Set(
    slurp(process.pid, "net/unix").split("\n").flatMap((line) => {
      const [, , , flags, , , , path] = line.trim().split(/ +/)
      return path !== undefined && (Number.parseInt(flags!, 16) & acceptsConnections) !== 0 ? [path] : []
    })
  )

const acceptsConnections = 0x10000 // __SO_ACCEPTCON of the kernel

/** The workers that have begun to start and do not listen yet: one that is ready does, at `<run folder>/<pool>.<slot>.<number>`. */
export const starting = (workers: ReadonlyArray<Worker>, listening: ReadonlySet<string>): ReadonlyArray<Worker> => {
  const ready = new Set([...listening].map((path) => path.slice(path.lastIndexOf("/") + 1)))
  return workers.filter(({ worker }) => !ready.has(worker!.replace(/[/#]/g, ".")))
}

/** What is dead below this process and nobody has reaped. */
export const zombies = (root: number): ReadonlyArray<Identity> => descendants(root).filter(({ state }) => state === "Z")

/** How many files and sockets it has open. */
export const openFiles = ({ pid }: Identity): number => readdirSync(`/proc/${pid}/fd`).length

/** Bytes of memory that it has in use. */
export const memory = ({ pid }: Identity): number => Number(/^VmRSS:\s+(\d+) kB$/m.exec(slurp(pid, "status"))?.[1]) * 1024

const isWorkerMark = (mark: string | undefined): boolean => mark !== undefined && /#\d+$/.test(mark)

/** Sends a signal to exactly this process; does nothing when it has gone. */
export const signal = (identity: Identity, name: NodeJS.Signals): void => {
  if (!isAlive(identity)) return
  try {
    process.kill(identity.pid, name)
  } catch {
    // it has gone by itself
  }
}

/** Where the cgroup of a run is, if there is one: beside this process, whose children the hosts are. */
export const cgroupOf = (run: string): string | undefined => {
  const own = slurp(process.pid, "cgroup").split("\n").find((line) => line.startsWith("0::"))?.slice(3)
  const mount = slurp(process.pid, "mounts").split("\n").find((line) => line.split(" ")[2] === "cgroup2")?.split(" ")[1]
  if (own === undefined || mount === undefined) return undefined
  const folder = join(mount, own, `snakepit-${run}`)
  return existsSync(folder) ? folder : undefined
}

/** Removes a cgroup with those below it; what holds a process stays. */
export const removeCgroup = (folder: string): void => {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) removeCgroup(join(folder, entry.name))
    rmdirSync(folder)
  } catch {
    // whoever removes it looks whether it is still there
  }
}
