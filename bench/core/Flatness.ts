/**
 * One restart among 10,000 children and among 100: it must cost the same.
 *
 * On both sides the same number of children crash, again and again, spread over the whole list. If instead each of the 10,000 has its
 * turn, bare fibers alone take more than twice as long as a hundred of them: that is the memory of the machine, and a figure of its own.
 */
import { Semantics } from "@snakepit/core"
import { Effect } from "effect"
import { divide, measurement } from "../Bench.ts"
import * as Goal from "../Goal.ts"
import * as Crashing from "./Crashing.ts"

const restarts = 50_000

const among = (children: number, victims: number): Promise<number> => {
  const crashing = Crashing.make(1, children, Semantics.production)
  const crashMany = (many: number) => {
    for (let n = 0; n < many; n++) crashing.crash((n * 37 % victims) * (children / victims)) // 37: the next victim is no neighbour
  }
  return Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    yield* crashing.start
    yield* Effect.yieldNow // out of the supervisor's own turn, which told us that it is up
    crashMany(restarts / 2)
    const before = crashing.ups()
    const start = performance.now()
    crashMany(restarts)
    const took = performance.now() - start
    if (crashing.ups() - before !== restarts) return yield* Effect.die(new Error("a restart did not happen at once: the time is not its"))
    return took * 1000 / restarts
  })))
}

export const flatness = measurement({
  figures: {
    "restart.among_10k": { unit: "µs", what: "one restart of one of 100 among 10,000 children" },
    "restart.among_100": { unit: "µs", what: "one restart of one of 100 among 100 children" },
    "restart.all_of_10k": { unit: "µs", what: "one restart when each of 10,000 has its turn" }
  },
  sides: [
    async () => ({ "restart.among_10k": await among(10_000, 100) }),
    async () => ({ "restart.among_100": await among(100, 100) }),
    async () => ({ "restart.all_of_10k": await among(10_000, 10_000) })
  ],
  ratios: {
    "core.restart.10k_vs_100": {
      of: (round) => divide(round["restart.among_10k"], round["restart.among_100"]),
      goal: Goal.atMost({ must: 1.5, aim: 1.2 })
    }
  }
})
