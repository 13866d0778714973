/**
 * Workers that are Python processes behind gRPC: the runtime that `@snakepit/pool` needs.
 *
 * **Details**
 *
 * One Reaper process a pool, one process a worker, one bidirectional stream each on a Unix socket of its own.
 */
import { RegisteredName } from "@snakepit/core"
import type { PoolConfig, WorkerRuntime } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Channel from "./channel/Channel.ts"
import { Msgpack } from "./codec/Msgpack.ts"
import type { Run } from "./process/ProcessRegistry.ts"
import * as PythonProcess from "./process/PythonProcess.ts"
import * as Reaper from "./process/Reaper.ts"
import type { PythonConfig } from "./PythonConfig.ts"

/** What the runtime needs of the application's configuration. */
export interface PythonSettings {
  readonly pools: { readonly [pool: string]: PoolConfig.PoolConfig & { readonly python: PythonConfig } }
}

/** Stands in for the settings of a pool before there is a configuration, when only the shape of the tree is asked for. */
const nowhere: PythonConfig = { adapter: "?", path: [], env: {}, threads: 1, containment: "process" }

/** The runtime of one run. */
export const make = (
  run: Run,
  config: RegisteredName.RegisteredName<PythonSettings>
): Effect.Effect<WorkerRuntime.WorkerRuntime, never, ChildProcessSpawner> =>
  Effect.map(ChildProcessSpawner, (spawner) => {
    const python = (pool: string) => config.latest?.pools[pool]?.python ?? nowhere
    const reapers = named<Reaper.Reaper>("reaper")
    const processes = named<PythonProcess.PythonProcess>("process")
    return {
      codec: Msgpack,
      reaper: (pool) => Reaper.child({ pool, registry: run.registry, config: python(pool), name: reapers(pool), spawner }),
      process: (seat) =>
        PythonProcess.child({
          seat,
          config: python(seat.pool),
          reaper: reapers(seat.pool),
          registry: run.registry,
          name: processes(seat.name)
        }),
      channel: (seat) => Channel.child({ seat, process: processes(seat.name) })
    }
  })

/** One registered name a key, made at its first use. */
const named = <A>(what: string) => {
  const names = new Map<string, RegisteredName.RegisteredName<A>>()
  return (key: string): RegisteredName.RegisteredName<A> => {
    const present = names.get(key)
    if (present !== undefined) return present
    const name = RegisteredName.make<A>(`${key}/${what}`)
    names.set(key, name)
    return name
  }
}
