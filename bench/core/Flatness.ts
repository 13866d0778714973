/** One restart among 10,000 children and among 100: it must cost the same. */
import { Semantics } from "@snakepit/core"
import { Effect } from "effect"
import { divide, measurement } from "../Bench.ts"
import * as Crashing from "./Crashing.ts"

const restarts = 50_000

const among = (children: number): Promise<number> => {
  const crashing = Crashing.make(1, children, Semantics.production)
  const crashMany = (many: number) => {
    // 7,919 is prime: every child has its turn, its neighbour not the next
    for (let n = 0, child = 0; n < many; n++, child = (child + 7919) % children) crashing.crash(child)
  }
  return Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    yield* crashing.start
    crashMany(children)
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
    "restart.among_10k": { unit: "µs", what: "one restart among 10,000 children" },
    "restart.among_100": { unit: "µs", what: "one restart among 100 children" }
  },
  sides: [
    async () => ({ "restart.among_10k": await among(10_000) }),
    async () => ({ "restart.among_100": await among(100) })
  ],
  ratios: {
    "core.restart.10k_vs_100": (round) => divide(round["restart.among_10k"], round["restart.among_100"])
  }
})
