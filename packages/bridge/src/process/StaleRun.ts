/** What to do about the journal of another run, and which processes are left of it. Pure: all that is known of the system is an argument. */
import type { SeenProcess } from "./ProcessTable.ts"
import type { Header, ProcessEntry } from "./RunJournal.ts"

/** Where a process runs, as far as its pid means anything. */
export interface Place {
  /** `/etc/machine-id`, empty where there is none: a data folder can be shared between machines. */
  readonly machine: string
  readonly bootId: string
  readonly pidNamespace: string
  /** When this system was started, in Unix milliseconds. */
  readonly bootedAt: number
}

/** The times of a journal's file, in Unix milliseconds. A living host touches its own every {@link touchMillis}. */
export interface Age {
  readonly modified: number
  readonly now: number
}

/** Half a day: so that one touch may fail. */
export const touchMillis = 12 * 3600 * 1000

/** 30 days: a machine that was switched off for its owner's holidays comes back. */
const forsakenMillis = 30 * 24 * 3600 * 1000

/**
 * - `living`: its host runs. Nothing of it is touched.
 * - `foreign`: of another machine or pid namespace, so nothing can be said. Nothing of it is touched.
 * - `forsaken`: foreign, and no host has touched it for 30 days.
 * - `rebooted`: the system has been started anew since, so nothing of it can be left.
 * - `dead`: its host is gone; whatever is left of it is to be killed.
 */
export type Standing = "living" | "foreign" | "forsaken" | "rebooted" | "dead"

/**
 * How a run stands. `owner` is the process that has the pid of its host now. Machines made of one image share its id: what another boot has
 * written since this one began is another machine's.
 */
export const standing = (header: Header, here: Place, owner: SeenProcess | undefined, { modified, now }: Age): Standing => {
  const foreign = now - modified > forsakenMillis ? "forsaken" : "foreign"
  if (header.machine !== here.machine) return foreign
  if (header.bootId !== here.bootId) return modified < here.bootedAt ? "rebooted" : foreign
  if (header.pidNamespace !== here.pidNamespace) return foreign
  return owner !== undefined && owner.startTicks === header.startTicks && !owner.zombie ? "living" : "dead"
}

/** A process with the run that its environment names. */
export interface MarkedProcess extends SeenProcess {
  readonly run: string | undefined
}

/**
 * What is left of a dead run: processes with its mark, processes that an entry names by pid and start time (one may have erased its
 * environment, but none that carries the mark of another run), and whatever descends from these. Never this process or one above it.
 */
export const remains = (
  runId: string,
  entries: Iterable<ProcessEntry>,
  processes: ReadonlyArray<MarkedProcess>,
  self: number
): ReadonlyArray<MarkedProcess> => {
  const byPid = new Map(processes.map((seen) => [seen.pid, seen]))
  const children = new Map<number, Array<MarkedProcess>>()
  for (const seen of processes) {
    const siblings = children.get(seen.parent)
    if (siblings === undefined) children.set(seen.parent, [seen])
    else siblings.push(seen)
  }
  const spared = new Set<number>()
  for (let at: number | undefined = self; at !== undefined && !spared.has(at); at = byPid.get(at)?.parent) spared.add(at)

  const found = new Set<MarkedProcess>()
  const add = (seen: MarkedProcess | undefined): void => {
    if (seen !== undefined && !spared.has(seen.pid)) found.add(seen)
  }
  for (const seen of processes) {
    if (seen.run === runId) add(seen)
  }
  for (const { pid, startTicks } of entries) {
    const seen = pid === undefined ? undefined : byPid.get(pid)
    if (seen?.startTicks === startTicks && (seen?.run === undefined || seen.run === runId)) add(seen)
  }
  for (const seen of found) { // a set's iteration meets what is added on the way
    for (const child of children.get(seen.pid) ?? []) add(child)
  }
  return [...found].filter(({ zombie }) => !zombie)
}
