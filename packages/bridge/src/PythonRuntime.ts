/**
 * Workers that are Python processes behind gRPC: the runtime that `@snakepit/pool` needs.
 *
 * **Details**
 *
 * One Reaper process a pool, one process a worker, one bidirectional stream each on a Unix socket of its own.
 */
import { RegisteredName } from "@snakepit/core"
import type { PoolConfig, PoolDirectory, PoolVersion, WorkerRuntime } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Channel from "./channel/Channel.ts"
import * as ArgumentDigest from "./codec/ArgumentDigest.ts"
import { Msgpack } from "./codec/Msgpack.ts"
import type { Inbox } from "./ingest/Inbox.ts"
import * as Forkserver from "./process/Forkserver.ts"
import * as KernelEvidence from "./process/KernelEvidence.ts"
import * as KernelMemory from "./process/KernelMemory.ts"
import type { Launcher } from "./process/Launch.ts"
import type { Run } from "./process/ProcessRegistry.ts"
import * as ProcessUsage from "./process/ProcessUsage.ts"
import * as PythonProcess from "./process/PythonProcess.ts"
import * as Reaper from "./process/Reaper.ts"
import * as Spares from "./process/Spares.ts"
import type { PythonConfig } from "./PythonConfig.ts"

/** What the settings of each pool have beside the pool's own. */
export interface PythonSettings {
  readonly python: PythonConfig
}

/** The runtime of one run. The settings of the pools in the directory have {@link PythonSettings}; `telemetry` takes what the workers tell. */
export const make = (
  run: Run,
  directory: PoolDirectory.PoolDirectory,
  telemetry: Inbox
): Effect.Effect<WorkerRuntime.WorkerRuntime, never, ChildProcessSpawner> =>
  Effect.map(ChildProcessSpawner, (spawner) => {
    const pythonOf = (version: PoolVersion.PoolVersion) => (version.config as PoolConfig.PoolConfig & PythonSettings).python
    const reapers = named<Reaper.Reaper>("reaper")
    const forkservers = named<Forkserver.Forkserver>("forkserver")
    const processes = named<PythonProcess.PythonProcess>("process")
    const spares = keyed(() => Spares.make())
    const recent = keyed((): Forkserver.Recent => ({ up: undefined }))
    const starts = new Map<string, number>()
    const count = (worker: string): number => {
      const counted = starts.get(worker) ?? 0
      starts.set(worker, counted + 1)
      return counted
    }
    const launcher = (pool: string, version: PoolVersion.PoolVersion, config: PoolConfig.PoolConfig): Launcher => ({
      pool,
      roll: version.roll,
      python: pythonOf(version),
      config,
      reaper: reapers(pool),
      registry: run.registry,
      forkserver: forkservers(pool),
      count
    })
    const forPool = (pool: string, version: PoolVersion.PoolVersion) => launcher(pool, version, directory.entry(pool).config())
    return {
      codec: Msgpack,
      digest: ArgumentDigest.of,
      reaper: (pool) => {
        const { versions } = directory.entry(pool)
        return Reaper.child({
          pool,
          registry: run.registry,
          config: () => pythonOf(versions.proven),
          name: reapers(pool),
          dropped: telemetry.droppedOf(pool),
          spawner
        })
      },
      forkserver: (pool, version) => Forkserver.child(() => forPool(pool, version()), recent(pool)),
      spare: (pool, version) => Effect.suspend(() => Spares.start(spares(pool), forPool(pool, version))),
      process: (seat) =>
        PythonProcess.child({
          seat,
          launcher: () => launcher(seat.pool, seat.version(), seat.config),
          spares: spares(seat.pool),
          name: processes(seat.name)
        }),
      channel: (seat) => Channel.child({ seat, process: processes(seat.name), reaper: reapers(seat.pool) }),
      evidence: (seat) => {
        const process = processes(seat.name).current
        return process === undefined ? undefined : KernelEvidence.of(process.pid)
      },
      usage: ProcessUsage.of,
      memory: KernelMemory.of,
      telemetry
    }
  })

/** One registered name a key, made at its first use. */
const named = <A>(what: string) => keyed((key) => RegisteredName.make<A>(`${key}/${what}`))

/** One value a key, made at its first use. */
const keyed = <A>(make: (key: string) => A) => {
  const values = new Map<string, A>()
  return (key: string): A => {
    const present = values.get(key)
    if (present !== undefined) return present
    const value = make(key)
    values.set(key, value)
    return value
  }
}
