/**
 * Which processes belong to this run: reserved before a process starts, filled in when it has, taken out when nothing of it is left.
 *
 * **Details**
 *
 * A child of Foundation, above all pools. A crash of it touches no worker: the entries and the folder of the sockets belong to the run,
 * and the next generation finds them there. Every process of a run carries `SNAKEPIT_RUN=<run id>` in its environment, so that an
 * observer can find what belongs together.
 */
import { Child, RegisteredName } from "@snakepit/core"
import type { PoolDirectory } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import * as RunFolder from "./RunFolder.ts"

/** One process of this run. */
export interface ProcessEntry {
  /** `default/3#0`: pool, slot, generation; `default/forkserver#0`, `default/spare#0`. */
  readonly id: string
  readonly pool: string
  /** `undefined` while it is reserved and not yet started. */
  readonly pid: number | undefined
  /** Its start time in clock ticks since boot: with the pid, its identity. */
  readonly startTicks: number | undefined
  /** It was still there after SIGKILL and a wait. */
  readonly leaked: boolean
}

/** What a run knows of its processes. */
export interface ProcessRegistry {
  readonly runId: string
  /** The folder of the sockets. */
  readonly folder: string
  readonly entries: ReadonlyMap<string, ProcessEntry>
  /** Before the process is started. */
  readonly reserve: (id: string, pool: string) => void
  readonly started: (id: string, pid: number, startTicks: number) => void
  readonly leaked: (id: string) => void
  /** Nothing is left of it. */
  readonly gone: (id: string) => void
}

/** One run of an application: outlives the generations of its registry. */
export interface Run {
  readonly runId: string
  readonly registry: RegisteredName.RegisteredName<ProcessRegistry>
  readonly scope: Scope.Scope
  readonly entries: Map<string, ProcessEntry>
  folder: string | undefined
}

/** A run that ends with the current scope. */
export const makeRun: Effect.Effect<Run, never, Scope.Scope> = Effect.map(Effect.scope, (scope) => ({
  runId: randomUUID(),
  registry: RegisteredName.make("process_registry"),
  scope,
  entries: new Map(),
  folder: undefined
}))

/** The registry as a supervised child, to be started after the ConfigServer. */
export const child = (run: Run, config: RegisteredName.RegisteredName<PoolDirectory.PoolSettings>) =>
  Child.make("process_registry", {
    start: Effect.gen(function*() {
      const { pools } = yield* Effect.orDie(RegisteredName.whereis(config))
      const sizes = Object.entries(pools).map(([pool, { size }]) => ({ pool, size }))
      const folder = run.folder ?? (yield* Scope.provide(RunFolder.make(sizes), run.scope))
      run.folder = folder
      yield* RegisteredName.register(run.registry, make(run, folder))
      return Effect.never
    })
  })

const make = ({ entries, runId }: Run, folder: string): ProcessRegistry => {
  const change = (id: string, facts: Partial<ProcessEntry>) => {
    const entry = entries.get(id)
    if (entry !== undefined) entries.set(id, { ...entry, ...facts })
  }
  return {
    runId,
    folder,
    entries,
    reserve: (id, pool) => void entries.set(id, { id, pool, pid: undefined, startTicks: undefined, leaked: false }),
    started: (id, pid, startTicks) => change(id, { pid, startTicks }),
    leaked: (id) => change(id, { leaked: true }),
    gone: (id) => void entries.delete(id)
  }
}
