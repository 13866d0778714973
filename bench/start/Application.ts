/** One application with one pool, as its user has it, and what the measurements do to it. */
import type { Child, SupervisorHandle } from "@snakepit/core"
import { Effect, Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { fileURLToPath } from "node:url"
import { EventLog, Pool, Snakepit, type SnakepitConfig, Tool } from "snakepit"

class Tools extends RpcGroup.make(
  Rpc.make("total", { payload: { n: Schema.Int }, success: Schema.Int }).annotate(Tool.Idempotent, true)
) {}

/** How a pool of the benchmark differs. */
export interface Shape {
  readonly adapter: "start_numpy" | "start_sklearn"
  readonly start: "fork" | "spawn"
  readonly size?: number
  readonly spares?: number
}

/** What is measured is a first restart: never the last one, and one that the delay before it has been forgotten for. */
const first = { maxRestarts: 1000, within: "100 millis" }

const config = ({ adapter, size = 1, spares = 0, start }: Shape): SnakepitConfig.SnakepitConfigInput => ({
  pools: {
    default: {
      size,
      queue: { capacity: 100_000 },
      launch: { spares },
      restart: { worker: first, fleet: first, pool: first },
      python: { adapter, start, path: [fileURLToPath(new URL("python", import.meta.url))] }
    }
  }
})

/** The running application, seen by a measurement. */
export interface Application {
  readonly total: (n: number) => Effect.Effect<number>
  /** Stops the worker in slot 0 as planned, and starts another there; succeeds when that has answered. Milliseconds from start to answer. */
  readonly startAnother: Effect.Effect<number>
  /** Kills the worker in slot 0 by SIGKILL; milliseconds until the next call has its reply. */
  readonly killOne: Effect.Effect<number>
  /** Host pids of the workers that fill the slots, and of the forkserver that they share memory with. */
  readonly processes: Effect.Effect<ReadonlyArray<number>>
}

const fleet = "snakepit/pools/default/fleet"
type Fleet = SupervisorHandle.SupervisorHandle & SupervisorHandle.AddsChildren<Child.Any>

/** Runs `use` in an application of this shape; tells how many milliseconds it took to come up. */
export const run = <A>(shape: Shape, use: (application: Application, startedMillis: number) => Effect.Effect<A>): Promise<A> => {
  const began = performance.now()
  return Effect.gen(function*() {
    const startedMillis = performance.now() - began
    const { root } = yield* Snakepit.Snakepit
    const log = yield* EventLog.EventLog
    const client = yield* Effect.orDie(Pool.client(Tools))
    const total = (n: number) => Effect.orDie(client.total({ n }))
    /** The present worker of each slot. */
    const pids = Effect.map(
      log.recent("snakepit.process.start"),
      (events) => new Map(events.map(({ attributes }) => [Number(attributes["slot"]), Number(attributes["pid"])]))
    )
    return yield* use({
      total,
      processes: Effect.gen(function*() {
        const forkservers = (yield* log.recent("snakepit.forkserver.start")).flatMap(({ attributes: { pid } }) =>
          typeof pid === "number" ? [pid] : []
        )
        return [...(yield* pids).values(), ...forkservers]
      }),
      startAnother: Effect.gen(function*() {
        const workers = (yield* Effect.orDie(root.at(fleet))) as Fleet
        yield* Effect.orDie(workers.terminateChild("0"))
        const began = performance.now()
        yield* Effect.orDie(workers.startChild("0"))
        yield* total(3)
        return performance.now() - began
      }),
      killOne: Effect.gen(function*() {
        const pid = (yield* pids).get(0)!
        const began = performance.now()
        process.kill(pid, "SIGKILL")
        yield* total(3)
        return performance.now() - began
      })
    }, startedMillis)
  }).pipe(Effect.scoped, Effect.provide(Snakepit.layer(config(shape))), Effect.orDie, Effect.runPromise)
}
