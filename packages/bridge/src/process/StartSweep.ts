/**
 * At the start of a run: what other runs in the data folder left behind when their hosts died is killed, and their journals are removed. A
 * living host's is never touched, nor one of another machine or pid namespace. A damaged journal is set aside; one that cannot be read, or that
 * this user has not written, is told and left alone.
 */
import { Event } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import * as BridgeEvent from "../BridgeEvent.ts"
import * as Cgroup from "./Cgroup.ts"
import { runsFolder } from "./DataFolder.ts"
import { draftOf } from "./JournalFile.ts"
import * as ProcessTable from "./ProcessTable.ts"
import * as RunFolder from "./RunFolder.ts"
import * as RunJournal from "./RunJournal.ts"
import * as SharedFolder from "./SharedFolder.ts"
import * as StaleRun from "./StaleRun.ts"

/** The journal of another run, and how that run stands. */
export type Found =
  | { readonly file: string; readonly standing: StaleRun.Standing; readonly journal: RunJournal.RunJournal }
  | { readonly file: string; readonly standing: "unreadable"; readonly damage: string }
  /** Nothing is known of it, so nothing is done about it. */
  | { readonly file: string; readonly standing: "unread"; readonly why: string }

const describe = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

const isMissing = (cause: unknown): boolean => cause instanceof Error && "code" in cause && cause.code === "ENOENT"

/** Reads a file that this user has written; a link to one is none. */
const readOwn = (file: string): { readonly text: string; readonly modified: number } | { readonly why: string } => {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK) // a pipe would be waited for
  try {
    const stats = fstatSync(fd)
    const uid = process.getuid?.()
    if (!stats.isFile()) return { why: "it is no file" }
    if (uid !== undefined && stats.uid !== uid) return { why: `it belongs to another user (uid ${stats.uid}, this is ${uid})` }
    return { text: readFileSync(fd, "utf8"), modified: stats.mtimeMs }
  } finally {
    closeSync(fd)
  }
}

const judge = (file: string, here: StaleRun.Place, now: number): Found | undefined => {
  let read: ReturnType<typeof readOwn>
  try {
    read = readOwn(file)
  } catch (cause) {
    return isMissing(cause) ? undefined : { file, standing: "unread", why: describe(cause) } // missing: another start has removed it
  }
  if ("why" in read) return { file, standing: "unread", why: read.why }
  const journal = RunJournal.parse(read.text)
  if (journal.header === undefined) return { file, standing: "unreadable", damage: journal.damage }
  const owner = ProcessTable.look(journal.header.pid)
  return { file, journal, standing: StaleRun.standing(journal.header, here, owner, { modified: read.modified, now }) }
}

/** The journals in a data folder. Looks only. */
export const survey = (dataFolder: string, here: StaleRun.Place, now: number): ReadonlyArray<Found> => {
  const folder = runsFolder(dataFolder)
  let names: ReadonlyArray<string>
  try {
    names = readdirSync(folder)
  } catch (cause) {
    return isMissing(cause) ? [] : [{ file: folder, standing: "unread", why: describe(cause) }]
  }
  return names.filter((name) => name.endsWith(".jsonl")).flatMap((name) => judge(join(folder, name), here, now) ?? [])
}

/** What is left of a dead run. Looks only. */
export const remains = ({ entries, header }: RunJournal.RunJournal): ReadonlyArray<StaleRun.MarkedProcess> =>
  StaleRun.remains(
    header.runId,
    entries.values(),
    ProcessTable.all().map((seen) => ({ ...seen, run: ProcessTable.runOf(seen.pid) })),
    process.pid
  )

interface Ended {
  readonly killed: number
  readonly left: number
}

/** Kills what is left of a dead run until nothing is. */
const finish = (journal: RunJournal.RunJournal): Effect.Effect<Ended> =>
  Effect.gen(function*() {
    const { cgroup, runId } = journal.header
    const killed = new Set<number>()
    let left = 0
    const strike = Effect.sync(() => {
      const found = remains(journal)
      for (const seen of found) {
        ProcessTable.kill(seen)
        killed.add(seen.pid)
      }
      left = found.length
      return left
    })
    yield* strike.pipe(
      Effect.repeat({ while: (left) => left > 0, schedule: Schedule.spaced("5 millis") }),
      Effect.timeoutOption("2 seconds") // longer only for one stuck in the kernel, which nobody can end
    )
    // after those that can be named: what is still in there has hidden from everything else
    const hidden = cgroup === undefined ? 0 : yield* Cgroup.end(cgroup, runId)
    const { folder } = journal.header
    yield* Effect.sync(() => {
      if (folder !== undefined) RunFolder.removeOf(folder)
      SharedFolder.removeOf(runId)
    })
    return { killed: killed.size + hidden, left }
  })

const remove = (file: string): void => {
  for (const path of [file, draftOf(file)]) rmSync(path, { force: true })
}

const setAside = Effect.fnUntraced(function*(file: string, why: string) {
  yield* Effect.sync(() => {
    try {
      renameSync(file, `${file}.corrupt`)
    } catch {
      // another start was faster
    }
  })
  yield* Event.emit(BridgeEvent.process_registry_set_aside, {}, { file: `${file}.corrupt`, why })
})

/** Sweeps a data folder, and tells what it found. */
export const sweep = (dataFolder: string, here: StaleRun.Place): Effect.Effect<void> =>
  Effect.gen(function*() {
    const began = yield* Clock.currentTimeMillis
    const counts = { living: 0, foreign: 0, forsaken: 0, rebooted: 0, dead: 0, unreadable: 0, unread: 0 }
    let killed = 0
    let left = 0
    for (const found of survey(dataFolder, here, began)) {
      counts[found.standing]++
      if (found.standing === "unread") {
        yield* Event.emit(BridgeEvent.process_registry_unread, {}, { file: found.file, why: found.why })
        continue
      }
      if (found.standing === "unreadable") {
        yield* setAside(found.file, found.damage)
        continue
      }
      if (found.standing === "living" || found.standing === "foreign") continue
      if (found.standing === "dead") {
        const ended = yield* finish(found.journal)
        killed += ended.killed
        left += ended.left
        if (ended.left > 0) continue // the next start tries again
      }
      if (found.journal.damage === undefined) remove(found.file)
      else yield* setAside(found.file, found.journal.damage)
    }
    const tookMillis = (yield* Clock.currentTimeMillis) - began
    yield* Event.emit(BridgeEvent.process_registry_sweep, { ...counts, killed, left, tookMillis }, { folder: dataFolder })
  })
