/**
 * Which processes belong to this run: reserved before a process starts, filled in when it has, taken out when nothing of it is left; kept in
 * a file too, so that the next start finds what a killed host left behind.
 *
 * ```text
 *  start    sweep what dead runs left ─ cgroup of the run (where delegated) ─ folder of the sockets ─ journal ─ register
 *  crash    the next generation finds it all in the run: nothing is swept again, no worker is touched
 *  end      folder, cgroup and journal are removed; with an entry left, the journal stays for the next start
 * ```
 *
 * **Details**
 *
 * A child of Foundation, above all pools. Every process of a run carries `SNAKEPIT_RUN=<run id>` in its environment, so that it can be found
 * when only its reservation was written. Two hosts may share a data folder: each writes a file of its own and touches none of a living host.
 */
import { Child, Event, RegisteredName } from "@snakepit/core"
import type { PoolDirectory } from "@snakepit/pool"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import * as BridgeEvent from "../BridgeEvent.ts"
import * as Cgroup from "./Cgroup.ts"
import * as DataFolder from "./DataFolder.ts"
import * as HostPlace from "./HostPlace.ts"
import * as JournalFile from "./JournalFile.ts"
import * as ProcessTable from "./ProcessTable.ts"
import * as RunFolder from "./RunFolder.ts"
import * as RunJournal from "./RunJournal.ts"
import * as SharedFolder from "./SharedFolder.ts"
import * as StaleRun from "./StaleRun.ts"
import * as StartSweep from "./StartSweep.ts"

export type { ProcessEntry } from "./RunJournal.ts"

/** What the registry needs of the application's configuration. */
export interface RegistrySettings extends PoolDirectory.PoolSettings {
  readonly dataFolder?: string | undefined
  readonly cgroup: "auto" | "off"
}

/** Something that is there, or why it is not. */
export type Present<A> = A | { readonly why: string }

/** What a run knows of its processes. Its functions are synchronous, do not throw, and work whatever becomes of the registry's child. */
export interface ProcessRegistry {
  readonly runId: string
  /** The folder of the sockets. */
  readonly folder: string
  readonly entries: ReadonlyMap<string, RunJournal.ProcessEntry>
  /** Before a process is asked for. `id` is unique in the run, whatever was restarted in it: `default/3#0`. */
  readonly reserve: (id: string, pool: string) => void
  /** The process exists. `pid` as the host counts; 0 when it had ended before the host could see it. */
  readonly started: (id: string, pid: number, startTicks: number) => void
  /** Nothing of it is left. */
  readonly gone: (id: string) => void
  /** A slot has taken the spare. */
  readonly taken: (id: string, by: string) => void
  /** It was still there after SIGKILL and a wait: its entry stays, and so does the journal, for the next start to end it. */
  readonly leaked: (id: string) => void
  /** The cgroup for the workers of a pool, to be handed to its Reaper. */
  readonly cgroup: (pool: string) => Present<{ readonly folder: string }>
  /** The folder of the run in shared memory. */
  readonly shared: Present<{ readonly folder: string }>
  /** Where the entries are kept for the next start. */
  readonly journal: Present<{ readonly path: string }>
  /** Says in the journal that the host lives. */
  readonly touch: () => void
}

/** One run of an application: outlives the generations of its registry. */
export interface Run {
  readonly runId: string
  readonly registry: RegisteredName.RegisteredName<ProcessRegistry>
  readonly scope: Scope.Scope
}

/** The processes that SIGKILL did not end and that are still there. */
export const leaks = ({ registry }: Pick<Run, "registry">): Effect.Effect<ReadonlyArray<RunJournal.ProcessEntry>> =>
  Effect.sync(() => [...registry.latest?.entries.values() ?? []].filter(({ leaked }) => leaked))

/** A run that ends with the current scope, after everything that is added to that scope later: the tree. */
export const makeRun: Effect.Effect<Run, never, Scope.Scope> = Effect.gen(function*() {
  const scope = yield* Scope.fork(yield* Effect.scope)
  return { runId: randomUUID(), registry: RegisteredName.make<ProcessRegistry>("process_registry"), scope }
})

/** Where the run's cgroup is to be. */
const placeCgroup = (runId: string, setting: RegistrySettings["cgroup"]): Present<{ readonly folder: string }> => {
  if (setting === "off") return { why: "it is turned off: cgroup is \"off\"" }
  const parent = Cgroup.find()
  return "why" in parent ? parent : { folder: Cgroup.ofRun(parent.folder, runId) }
}

/** The run's cgroup, killed and removed at the end of the scope. */
const openCgroup = (runId: string, place: Present<{ readonly folder: string }>, pools: RegistrySettings["pools"]) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      if ("why" in place) return place
      const why = Cgroup.make(place.folder, Object.keys(pools))
      return why === undefined ? place : { why }
    }),
    (cgroup) => "folder" in cgroup ? Cgroup.end(cgroup.folder, runId) : Effect.void
  )

/** The run's journal, after the sweep of the others'. */
const openJournal = (
  runId: string,
  dataFolder: DataFolder.DataFolder,
  folder: string,
  cgroup: Present<{ readonly folder: string }>,
  entries: ReadonlyMap<string, RunJournal.ProcessEntry>
) =>
  Effect.withFiber<Present<JournalFile.JournalFile>>((fiber) => {
    if ("why" in dataFolder) return Effect.succeed(dataFolder)
    const place = HostPlace.here()
    const self = ProcessTable.look(process.pid)
    if (place === undefined || self === undefined) return Effect.succeed({ why: "this system has no /proc to know a process again by" })
    const sink = fiber.getRef(Event.EventSink)
    const clock = fiber.getRef(Clock.Clock)
    const file = JournalFile.pathOf(dataFolder.folder, runId)
    const journal = JournalFile.make({
      folder: dataFolder.folder,
      entries,
      header: {
        runId,
        machine: place.machine,
        bootId: place.bootId,
        pidNamespace: place.pidNamespace,
        pid: process.pid,
        startTicks: self.startTicks,
        folder,
        ...("folder" in cgroup ? { cgroup: cgroup.folder } : {})
      },
      onTrouble: (detail) =>
        Event.tell(sink, Event.make(BridgeEvent.process_registry_write_failed, clock.currentTimeMillisUnsafe(), {}, { file, detail }))
    })
    return Effect.succeed(journal)
  })

/** What belongs to the run and not to one generation of its registry. */
const open = Effect.fnUntraced(function*(runId: string, settings: RegistrySettings) {
  const dataFolder = yield* DataFolder.make(settings.dataFolder)
  const place = HostPlace.here()
  if ("folder" in dataFolder && place !== undefined) yield* StartSweep.sweep(dataFolder.folder, place)
  const entries = new Map<string, RunJournal.ProcessEntry>()
  // written before the cgroup is made and removed after all else: a host that is killed between two of them leaves nothing that no start finds
  let journal: Present<JournalFile.JournalFile> = { why: "it is not open yet" }
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      if ("why" in journal) return
      if (entries.size === 0) journal.remove()
      else journal.close()
    })
  )
  const folder = yield* RunFolder.make(Object.entries(settings.pools).map(([pool, { size }]) => ({ pool, size })))
  const cgroupPlace = placeCgroup(runId, settings.cgroup)
  journal = yield* openJournal(runId, dataFolder, folder, cgroupPlace, entries)
  const cgroup = yield* openCgroup(runId, cgroupPlace, settings.pools)
  const shared = yield* SharedFolder.make(runId) // after the journal, which a start finds it by
  const change = (line: RunJournal.Line): void => {
    RunJournal.apply(entries, line)
    if ("append" in journal) journal.append(line)
  }
  const registry: ProcessRegistry = {
    runId,
    folder,
    entries,
    reserve: (id, pool) => change({ reserved: id, pool }),
    started: (id, pid, startTicks) => {
      if (pid > 0) change({ started: id, pid, startTicks })
    },
    gone: (id) => change({ gone: id }),
    taken: (id, by) => change({ taken: id, by }),
    leaked: (id) => change({ leaked: id }),
    cgroup: (pool) => "folder" in cgroup ? { folder: join(cgroup.folder, pool) } : cgroup,
    shared,
    journal,
    touch: () => "touch" in journal ? journal.touch() : undefined
  }
  return registry
})

/** The registry as a supervised child, to be started after the ConfigServer. */
export const child = (run: Run, config: RegisteredName.RegisteredName<RegistrySettings>) =>
  Child.make("process_registry", {
    start: Effect.gen(function*() {
      const settings = yield* Effect.orDie(RegisteredName.whereis(config))
      const registry = run.registry.latest ?? (yield* Scope.provide(open(run.runId, settings), run.scope))
      yield* RegisteredName.register(run.registry, registry)
      return Effect.forever(Effect.andThen(Effect.sleep(StaleRun.touchMillis), Effect.sync(registry.touch)))
    })
  })
