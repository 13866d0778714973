/** Journals as hosts leave them, and real processes (`sleep`) that they name. Every process is started here and ended by its pid. */
import { assert, describe, it } from "@effect/vitest"
import { Event } from "@snakepit/core"
import { Effect, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs"
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
const deadHost = (runId: string): RunJournal.Header => ({
  runId,
  machine: place!.machine,
  bootId: place!.bootId,
  pidNamespace: place!.pidNamespace,
  pid: process.pid,
  startTicks: 1
})

const age = (folder: string, runId: string, modified: number) =>
  utimesSync(JournalFile.pathOf(folder, runId), modified / 1000, modified / 1000)

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
  it.live("kills what a dead run left: named by an entry, by a reservation's mark alone, or below these; and removes its journal and sockets", () =>
    Effect.gen(function*() {
      const folder = yield* dataFolder
      const named = yield* sleeper({})
      const marked = yield* sleeper({ SNAKEPIT_RUN: "dead-run" })
      const stranger = yield* sleeper({ SNAKEPIT_RUN: "another-run" })
      const sockets = mkdtempSync(join(tmpdir(), "snakepit-"))
      write(folder, { ...deadHost("dead-run"), folder: sockets }, [seen(named)])
      const [event] = yield* sweep(folder)
      assert.deepStrictEqual([named, marked, stranger].map(isAlive), [false, false, true])
      assert.deepStrictEqual(files(folder), [])
      assert.isFalse(existsSync(sockets))
      assert.deepInclude(event?.measurements, { dead: 1, killed: 2, left: 0, living: 0, foreign: 0, rebooted: 0, unreadable: 0, unread: 0 })
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
      age(folder, "old-run", place!.bootedAt - 1000)
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

  it.live("leaves alone what another machine of the same image has written since this one was started, and removes it after a month", () =>
    Effect.gen(function*() {
      const folder = yield* dataFolder
      write(folder, { ...deadHost("twin"), bootId: "another" })
      write(folder, { ...deadHost("forsaken"), machine: "another" })
      age(folder, "forsaken", Date.now() - 31 * 24 * 3600 * 1000)
      const [event] = yield* sweep(folder)
      assert.deepStrictEqual(files(folder), ["twin.jsonl"])
      assert.deepInclude(event?.measurements, { foreign: 1, forsaken: 1, rebooted: 0 })
    }))

  it.live("believes no journal that is a link or no file, kills nobody for it, says so and leaves it where it is", () =>
    Effect.gen(function*() {
      const folder = yield* dataFolder
      const elsewhere = yield* dataFolder
      const stranger = yield* sleeper({})
      write(elsewhere, deadHost("planted"), [seen(stranger)])
      symlinkSync(JournalFile.pathOf(elsewhere, "planted"), JournalFile.pathOf(folder, "planted"))
      mkdirSync(JournalFile.pathOf(folder, "folder"))
      const events = yield* sweep(folder)
      assert.isTrue(isAlive(stranger))
      assert.deepStrictEqual(files(folder), ["folder.jsonl", "planted.jsonl"])
      assert.deepStrictEqual(events.map(({ attributes, name }) => [name, attributes["file"]]), [
        ["snakepit.process_registry.unread", JournalFile.pathOf(folder, "folder")],
        ["snakepit.process_registry.unread", JournalFile.pathOf(folder, "planted")],
        ["snakepit.process_registry.sweep", undefined]
      ])
      assert.deepInclude(events.at(-1)?.measurements, { unread: 2, unreadable: 0, dead: 0, killed: 0 })
    }))

  it.live.skipIf(process.getuid?.() === 0)("leaves alone what it may not read", () =>
    // root may read all
    Effect.gen(function*() {
      const folder = yield* dataFolder
      write(folder, deadHost("closed"))
      chmodSync(JournalFile.pathOf(folder, "closed"), 0)
      const events = yield* sweep(folder)
      assert.deepStrictEqual(files(folder), ["closed.jsonl"])
      assert.include(events[0]?.attributes["why"], "EACCES")
    }))

  it.live("touches no cgroup that a journal names and that is none of its run's", () =>
    Effect.gen(function*() {
      const folder = yield* dataFolder
      const named = join(folder, "snakepit-dead-run") // no cgroup: a folder of files
      mkdirSync(join(named, "below"), { recursive: true })
      writeFileSync(join(named, "cgroup.procs"), "")
      write(folder, { ...deadHost("dead-run"), cgroup: named })
      yield* sweep(folder)
      assert.deepStrictEqual(files(folder), [])
      assert.isTrue(existsSync(join(named, "below")))
    }))
})
