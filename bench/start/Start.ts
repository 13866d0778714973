/** What starting, restarting and holding workers costs: forked from one process that has imported everything, against spawned anew. */
import { Effect } from "effect"
import { divide, type Measurement, measurement } from "../Bench.ts"
import * as Goal from "../Goal.ts"
import * as Application from "./Application.ts"
import { pss } from "./Memory.ts"

/** In a round: one fork of some milliseconds says little, a spawn takes a hundred times as long and varies less. */
const repeats = { fork: 5, spawn: 2 } as const

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!

/** Several times in one application; the median, in milliseconds. */
const repeated = (shape: Application.Shape, once: (application: Application.Application) => Effect.Effect<number>, pause = 0) =>
  Application.run(shape, (application) =>
    Effect.gen(function*() {
      const took: Array<number> = []
      for (let n = 0; n < repeats[shape.start]; n++) {
        yield* Effect.sleep(pause)
        took.push(yield* once(application))
      }
      return median(took)
    }))

const start = (adapter: Application.Shape["adapter"], start: Application.Shape["start"]) =>
  repeated({ adapter, start }, ({ startAnother }) => startAnother)

const one = measurement({
  figures: {
    "start.fork": { unit: "ms", what: "a forked worker, until it has answered on its stream; gRPC and numpy imported" },
    "start.spawn": { unit: "ms", what: "the same, spawned" },
    "start.fork_sklearn": { unit: "ms", what: "a forked worker with scikit-learn too" },
    "start.spawn_sklearn": { unit: "ms", what: "the same, spawned" }
  },
  sides: [
    async () => ({ "start.fork": await start("start_numpy", "fork") }),
    async () => ({ "start.spawn": await start("start_numpy", "spawn") }),
    async () => ({ "start.fork_sklearn": await start("start_sklearn", "fork") }),
    async () => ({ "start.spawn_sklearn": await start("start_sklearn", "spawn") })
  ],
  ratios: {
    "start.fork_vs_spawn": {
      of: (round) => divide(round["start.fork"], round["start.spawn"]),
      goal: Goal.atMost({ must: 0.15, aim: 0.1 })
    },
    "start.fork_vs_spawn_sklearn": {
      of: (round) => divide(round["start.fork_sklearn"], round["start.spawn_sklearn"]),
      goal: Goal.atMost({ must: 0.05 })
    }
  }
})

/** A whole pool, from the configuration to the last worker that is ready: Reaper and forkserver are started in that time too. */
const pool = (size: number) => Application.run({ adapter: "start_numpy", start: "fork", size }, (_, millis) => Effect.succeed(millis))

const many = measurement({
  figures: {
    "start.workers100": { unit: "ms", what: "a pool of 100 workers, its Reaper and forkserver included, until all are ready" },
    "start.workers250": { unit: "ms", what: "a pool of 250" }
  },
  sides: [
    async () => ({ "start.workers100": await pool(100) }),
    async () => ({ "start.workers250": await pool(250) })
  ],
  ratios: {
    "start.workers100_s": { of: (round) => divide(round["start.workers100"], 1000), goal: Goal.atMost({ must: 2 }) },
    "start.workers250_s": { of: (round) => divide(round["start.workers250"], 1000), goal: Goal.atMost({ aim: 3 }) }
  }
})

const size = 16
const callsEach = 10_000
const inFlight = 64

/**
 * Memory a worker after it has worked, in MB: pages that were shared at first may not be any more. The forkserver holds its part of what is
 * shared, so it counts among those that the sum is divided by the workers for.
 */
const memory = (start: Application.Shape["start"]) =>
  Application.run({ adapter: "start_numpy", start, size }, ({ processes, total }) =>
    Effect.gen(function*() {
      yield* Effect.forEach(Array.from({ length: size * callsEach }, (_, n) => n), (n) => total(n % 100), {
        concurrency: inFlight,
        discard: true
      })
      return (yield* processes).map(pss).reduce((sum, share) => sum + share, 0) / size
    }))

/** Measured once, for all rounds: it takes minutes, and memory is no time that varies from round to round. */
const once = (measure: () => Promise<number>): () => Promise<number> => {
  let measured: Promise<number> | undefined
  return () => measured ??= measure()
}
const forked = once(() => memory("fork"))
const spawned = once(() => memory("spawn"))

const shared = measurement({
  figures: {
    "start.pss_fork": { unit: "MB", what: `PSS a worker, forkserver included, at ${size} forked workers after ${callsEach} calls each` },
    "start.pss_spawn": { unit: "MB", what: "the same, spawned" }
  },
  sides: [
    async () => ({ "start.pss_fork": await forked() }),
    async () => ({ "start.pss_spawn": await spawned() })
  ],
  ratios: {
    "start.pss_fork_vs_spawn": {
      of: (round) => divide(round["start.pss_fork"], round["start.pss_spawn"]),
      goal: Goal.atMost({ must: 0.4, aim: 0.3 })
    }
  }
})

const untilSpare = 500 // ms between two kills: a spare is ready again within a tenth of it

const recover = (shape: Pick<Application.Shape, "start" | "spares">) =>
  repeated({ adapter: "start_numpy", ...shape }, ({ killOne }) => killOne, untilSpare)

const recovery = measurement({
  figures: {
    "recover.fork": { unit: "ms", what: "SIGKILL of a pool's one worker until the next reply, by fork" },
    "recover.spawn": { unit: "ms", what: "the same, by spawn" },
    "recover.spare": { unit: "ms", what: "the same, with a warm spare" }
  },
  sides: [
    async () => ({ "recover.fork": await recover({ start: "fork" }) }),
    async () => ({ "recover.spawn": await recover({ start: "spawn" }) }),
    async () => ({ "recover.spare": await recover({ start: "fork", spares: 1 }) })
  ],
  ratios: {
    "recover.fork_vs_spawn": {
      of: (round) => divide(round["recover.fork"], round["recover.spawn"]),
      goal: Goal.atMost({ must: 0.15, aim: 0.1 })
    },
    "recover.spare_ms": { of: (round) => round["recover.spare"], goal: Goal.atMost({ must: 5, aim: 1.5 }) }
  }
})

export const measurements: ReadonlyArray<Measurement> = [one, many, recovery, shared]

export const facts = {}
