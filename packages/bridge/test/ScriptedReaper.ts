/** A Reaper in memory that does with each process what a script says, and a registry that notes in which order both were used. */
import { RegisteredName } from "@snakepit/core"
import { PoolConfig } from "@snakepit/pool"
import { Effect, Schema } from "effect"
import { Traffic } from "../src/channel/Traffic.ts"
import type { Forkserver } from "../src/process/Forkserver.ts"
import type { Launcher } from "../src/process/Launch.ts"
import type { ProcessEntry, ProcessRegistry } from "../src/process/ProcessRegistry.ts"
import type { Reaper } from "../src/process/Reaper.ts"
import type * as Protocol from "../src/process/ReaperProtocol.ts"
import { PythonConfig } from "../src/PythonConfig.ts"

type Event = Extract<Protocol.Event, { readonly id: string }>
type Start = Exclude<Protocol.Command, { readonly op: "signal" }>

/** What the Reaper does at each step. */
export interface Script {
  /** At a command that starts something; `boot` by default. */
  start: (command: Start) => void
  /** Whether a process ends at SIGTERM, and at SIGKILL. Both by default. */
  obeys: (signal: "TERM" | "KILL") => boolean
}

export interface ScriptedReaper {
  readonly script: Script
  readonly launcher: Launcher
  readonly name: RegisteredName.RegisteredName<Reaper>
  readonly forkserver: RegisteredName.RegisteredName<Forkserver>
  /** What was reserved, sent, started and forgotten, in order: `reserve default/0#0`, `spawn default/0#0`, `TERM default/0#0` … */
  readonly journal: Array<string>
  readonly commands: Array<Protocol.Command>
  readonly entries: ReadonlyMap<string, ProcessEntry>
  readonly say: (event: Event) => void
  /** It starts and is ready. */
  readonly boot: (id: string, more?: Partial<Protocol.Status>) => void
  /** It ends, and nothing of it is left. */
  readonly end: (id: string, how?: Partial<Extract<Event, { event: "exited" }>>) => void
  readonly exit: (id: string, how?: Partial<Extract<Event, { event: "exited" }>>) => void
  readonly pidOf: (id: string) => number
}

/** What {@link make} takes. */
export interface Options {
  readonly subreaper?: boolean
  readonly python?: Partial<typeof PythonConfig.Encoded>
  readonly config?: PoolConfig.PoolConfigInput
}

/** A Reaper of the pool "default" that is registered until the scope closes. */
export const make = Effect.fnUntraced(function*({ config = {}, python = {}, subreaper = true }: Options = {}) {
  const journal: Array<string> = []
  const commands: Array<Protocol.Command> = []
  const entries = new Map<string, ProcessEntry>()
  const listeners: Reaper["listeners"] = new Map()
  const pids = new Map<string, number>()
  const counts = new Map<string, number>()
  const note = (line: string) => void journal.push(line)
  const pidOf = (id: string) => pids.get(id) ?? 0

  const say: ScriptedReaper["say"] = (event) => listeners.get(event.id)?.(event)
  const boot: ScriptedReaper["boot"] = (id, more = {}) => {
    pids.set(id, 1000 + pids.size)
    say({ event: "spawned", id, pid: pidOf(id), started: 7 })
    say({ event: "status", id, status: { status: "ready", pid: pidOf(id), tools: ["add"], ...more } as Protocol.Status })
  }
  const exit: ScriptedReaper["exit"] = (id, how = {}) =>
    say({ event: "exited", id, pid: pidOf(id), code: 0, signal: null, sent: null, oom: null, ...how })
  const end: ScriptedReaper["end"] = (id, how) => {
    exit(id, how)
    say({ event: "gone", id })
  }
  const script: Script = { start: ({ id }) => boot(id), obeys: () => true }

  const reaper: Reaper = {
    pid: 1,
    subreaper,
    listeners,
    scope: yield* Effect.scope,
    catalogues: new Map(),
    traffic: new Traffic(),
    send: (command) => {
      commands.push(command)
      note(`${command.op === "signal" ? command.signal : command.op} ${command.id}`)
      if (command.op !== "signal") return script.start(command)
      if (!script.obeys(command.signal)) return
      end(command.id, command.signal === "TERM" ? { sent: "TERM" } : { code: null, signal: "SIGKILL", sent: "KILL" })
    }
  }
  const change = (id: string, facts: Partial<ProcessEntry>) => void entries.set(id, { ...entries.get(id)!, ...facts })
  const registry: ProcessRegistry = {
    runId: "run",
    folder: "/tmp/snakepit-scripted", // nothing is made there
    entries,
    reserve: (id, pool) => {
      note(`reserve ${id}`)
      entries.set(id, { id, pool, pid: undefined, startTicks: undefined, leaked: false })
    },
    started: (id, pid, startTicks) => {
      note(`started ${id}`)
      change(id, { pid, startTicks })
    },
    taken: (id, by) => change(id, { takenBy: by }),
    leaked: (id) => change(id, { leaked: true }),
    gone: (id) => {
      note(`gone ${id}`)
      entries.delete(id)
    },
    cgroup: () => ({ why: "there is none in memory" }),
    shared: { why: "a test" },
    journal: { why: "there is none in memory" },
    touch: () => {}
  }

  const name = RegisteredName.make<Reaper>("default/reaper")
  const registered = RegisteredName.make<ProcessRegistry>("process_registry")
  const forkserver = RegisteredName.make<Forkserver>("default/forkserver")
  yield* RegisteredName.register(name, reaper)
  yield* RegisteredName.register(registered, registry)
  const launcher: Launcher = {
    pool: "default",
    roll: 0,
    python: yield* Schema.decodeUnknownEffect(PythonConfig)({ adapter: "tools", executable: "python", ...python }),
    config: yield* Schema.decodeUnknownEffect(PoolConfig.PoolConfig)(config),
    reaper: name,
    registry: registered,
    forkserver,
    count: (worker) => {
      const counted = counts.get(worker) ?? 0
      counts.set(worker, counted + 1)
      return counted
    }
  }
  const scripted: ScriptedReaper = { script, launcher, name, forkserver, journal, commands, entries, say, boot, end, exit, pidOf }
  return scripted
})
