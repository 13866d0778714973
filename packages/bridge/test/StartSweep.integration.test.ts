/** Journals as hosts leave them, and real processes (`sleep`) that they name. Every process is started here and ended by its pid. */
import { assert, describe, it } from "@effect/vitest"
import { Event } from "@snakepit/core"
import { Effect, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as DataFolder from "../src/process/DataFolder.ts"
import * as HostPlace from "../src/process/HostPlace.ts"
import * as JournalFile from "../src/process/JournalFile.ts"
import * as ProcessTable from "../src/process/ProcessTable.ts"
import * as RunJournal from "../src/process/RunJournal.ts"
import * as StartSweep from "../src/process/StartSweep.ts"

const place = HostPlace.here()

const dataFolder = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "snakepit-sweep-"))
    mkdirSync(DataFolder.runsFolder(folder))
    return folder
  }),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

/** A process that would sleep for ten minutes, marked as one of a run. */
const sleeper = (env: NodeJS.ProcessEnv): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => spawn("/bin/sleep", ["600"], { env, stdio: "ignore" })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

const seen = (child: ChildProcess): ProcessTable.SeenProcess => ProcessTable.look(child.pid!)!

const isAlive = (child: ChildProcess): boolean => ProcessTable.look(child.pid!)?.zombie === false

/** The journal of a run whose host is dead: it has the pid of this process and another start time. */
const deadHost = (runId: string): RunJournal.Header => ({ runId, ...place!, pid: process.pid, startTicks: 1 })

const write = (folder: string, header: RunJournal.Header, entries: ReadonlyArray<ProcessTable.SeenProcess> = [], more = "") =>
  writeFileSync(
    JournalFile.pathOf(folder, header.runId),
    RunJournal.encode(
      header,
      entries.map(({ pid, startTicks }) => ({ id: `default/${pid}#0`, pool: "default", pid, startTicks, leaked: false }))
    ) + more
  )

const sweep = (folder: string) => {
  const events: Array<Event.Event> = []
  return StartSweep.sweep(folder, place!).pipe(
    Effect.provideService(Event.EventSink, { emit: (event) => void events.push(event) }),
    Effect.as(events)
  )
}

const files = (folder: string) => readdirSync(DataFolder.runsFolder(folder)).toSorted()

describe.skipIf(place === undefined)("the sweep at the start of a run", () => {
  it.live("kills what a dead run left: named by an entry, by a reservation's mark alone, or below these; and removes its journal", () =>
    Effect.gen(function*() {
      const folder = yield* dataFolder
      const named = yield* sleeper({})
      const marked = yield* sleeper({ SNAKEPIT_RUN: "dead-run" })
      const stranger = yield* sleeper({ SNAKEPIT_RUN: "another-run" })
      write(folder, deadHost("dead-run"), [seen(named)])
      const [event] = yield* sweep(folder)
      assert.deepStrictEqual([named, marked, stranger].map(isAlive), [false, false, true])
      assert.deepStrictEqual(files(folder), [])
      assert.deepInclude(event?.measurements, { dead: 1, killed: 2, left: 0, living: 0, foreign: 0, rebooted: 0, unreadable: 0 })
    }))

  it.live("does not kill a process that was given the pid of one of the run", () =>
    Effect.gen(function*() {
      const folder = yield* dataFolder
      const stranger = yield* sleeper({})
      write(folder, deadHost("dead-run"), [{ ...seen(stranger), startTicks: seen(stranger).startTicks - 1 }])
      const [event] = yield* sweep(folder)
      assert.isTrue(isAlive(stranger))
      assert.deepInclude(event?.measurements, { dead: 1, killed: 0 })
    }))

  it.live("touches nothing of a living host, of another pid namespace, of another machine; even when the journal is damaged", () =>
    Effect.gen(function*() {
      const folder = yield* dataFolder
      const worker = yield* sleeper({ SNAKEPIT_RUN: "living-run" })
      const living = { ...deadHost("living-run"), startTicks: ProcessTable.look(process.pid)!.startTicks }
      write(folder, living, [seen(worker)], "no line\n")
      write(folder, { ...deadHost("contained"), pidNamespace: "pid:[1]" }, [seen(worker)])
      write(folder, { ...deadHost("elsewhere"), machine: "another", bootId: "another" }, [seen(worker)])
      const [event] = yield* sweep(folder)
      assert.isTrue(isAlive(worker))
      assert.deepStrictEqual(files(folder), ["contained.jsonl", "elsewhere.jsonl", "living-run.jsonl"])
      assert.deepInclude(event?.measurements, { living: 1, foreign: 2, killed: 0 })
    }))

  it.live("removes the journal of a system that was started anew, and kills nobody for it", () =>
    Effect.gen(function*() {
      const folder = yield* dataFolder
      const stranger = yield* sleeper({})
      write(folder, { ...deadHost("old-run"), bootId: "before" }, [seen(stranger)])
      const [event] = yield* sweep(folder)
      assert.isTrue(isAlive(stranger))
      assert.deepStrictEqual(files(folder), [])
      assert.deepInclude(event?.measurements, { rebooted: 1, killed: 0 })
    }))

  it.live("sets a damaged journal aside and says why; what it still names of a dead run is killed", () =>
    Effect.gen(function*() {
      const folder = yield* dataFolder
      const worker = yield* sleeper({})
      write(folder, deadHost("damaged"), [seen(worker)], "\0\0\0\n")
      writeFileSync(JournalFile.pathOf(folder, "unreadable"), "\0\0\0\n")
      const events = yield* sweep(folder)
      assert.isFalse(isAlive(worker))
      assert.deepStrictEqual(files(folder), ["damaged.jsonl.corrupt", "unreadable.jsonl.corrupt"])
      assert.deepStrictEqual(events.map(({ name }) => name), [
        "snakepit.process_registry.set_aside",
        "snakepit.process_registry.set_aside",
        "snakepit.process_registry.sweep"
      ])
      assert.isTrue(existsSync(String(events[0]?.attributes["file"])))
      assert.isNotEmpty(events[1]?.attributes["why"])
    }))
})
