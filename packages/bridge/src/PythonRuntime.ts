/**
 * Workers that are Python processes behind gRPC: the runtime that `@snakepit/pool` needs.
 *
 * **Details**
 *
 * One Reaper process a pool, one process a worker, one bidirectional stream each on a Unix socket of its own.
 */
import { RegisteredName } from "@snakepit/core"
import { PoolConfig, type PoolVersion, type WorkerRuntime } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import * as Channel from "./channel/Channel.ts"
import { Msgpack } from "./codec/Msgpack.ts"
import * as Forkserver from "./process/Forkserver.ts"
import * as KernelEvidence from "./process/KernelEvidence.ts"
import * as KernelMemory from "./process/KernelMemory.ts"
import type { Launcher } from "./process/Launch.ts"
import type { Run } from "./process/ProcessRegistry.ts"
import * as PythonProcess from "./process/PythonProcess.ts"
import * as Reaper from "./process/Reaper.ts"
import * as Spares from "./process/Spares.ts"
import { PythonConfig } from "./PythonConfig.ts"

/** What the runtime needs of the application's configuration. */
export interface PythonSettings {
  readonly pools: { readonly [pool: string]: PoolConfig.PoolConfig & { readonly python: PythonConfig } }
}

/** Stands in for the settings of a pool before there is a configuration, when only the shape of the tree is asked for. */
const nowhere = {
  ...Schema.decodeUnknownSync(PoolConfig.PoolConfig)({}),
  python: Schema.decodeUnknownSync(PythonConfig)({ adapter: "?" })
}

/** The runtime of one run. */
export const make = (
  run: Run,
  config: RegisteredName.RegisteredName<PythonSettings>
): Effect.Effect<WorkerRuntime.WorkerRuntime, never, ChildProcessSpawner> =>
  Effect.map(ChildProcessSpawner, (spawner) => {
    const settings = (pool: string) => config.latest?.pools[pool] ?? nowhere
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
    const launcher = (pool: string, version: PoolVersion.PoolVersion): Launcher => {
      const { python, ...config } = version.config as typeof nowhere // the pool's settings are those that it was configured with here
      return { pool, version, python, config, reaper: reapers(pool), registry: run.registry, forkserver: forkservers(pool), count }
    }
    return {
      codec: Msgpack,
      reaper: (pool) => Reaper.child({ pool, registry: run.registry, config: settings(pool).python, name: reapers(pool), spawner }),
      forkserver: (pool, version) => Forkserver.child(() => launcher(pool, version()), recent(pool)),
      spare: (pool, version) => Effect.suspend(() => Spares.start(spares(pool), launcher(pool, version))),
      process: (seat) =>
        PythonProcess.child({
          seat,
          launcher: () => launcher(seat.pool, seat.version()),
          spares: spares(seat.pool),
          name: processes(seat.name)
        }),
      channel: (seat) => Channel.child({ seat, process: processes(seat.name), reaper: reapers(seat.pool) }),
      evidence: (seat) => {
        const process = processes(seat.name).current
        return process === undefined ? undefined : KernelEvidence.of(process.pid)
      },
      memory: KernelMemory.of
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
