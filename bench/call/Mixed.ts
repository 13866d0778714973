/**
 * Short calls among some that hold their worker: what must not happen is that short ones wait behind a long one while another worker is idle.
 *
 * ```text
 *  ideal  = workers ÷ (share of long calls × how long they hold)   calls/s if workers did nothing but hold: 2 ÷ (0.01 × 5 ms) = 40,000
 *  share  = calls/s ÷ ideal
 * ```
 */
import { Effect } from "effect"
import { divide, measurement } from "../Bench.ts"
import * as Goal from "../Goal.ts"
import * as Load from "./Load.ts"
import * as Ours from "./Ours.ts"
import { small, workers } from "./Throughput.ts"

const longEvery = 100
const longSeconds = 0.005
const ideal = workers * longEvery / longSeconds

export const mixed = measurement({
  figures: {
    "dispatch.mixed": { unit: "per second", what: `calls, 64 in flight; every ${longEvery}th holds its worker ${longSeconds * 1000} ms` },
    "dispatch.mixed.p99": { unit: "µs", what: "p99 of these calls" }
  },
  sides: async (closing) => {
    const application = await Ours.open(closing, { default: { size: workers } })
    const { echo, hold } = await application.client()
    let calls = 0
    const call = Ours.traced(() =>
      Effect.orDie<unknown, unknown, never>(++calls % longEvery === 0 ? hold({ seconds: longSeconds }) : echo({ data: small }))
    )
    return [async () => {
      const { p99, perSecond } = await application.run(Load.fibers(64, call))
      return { "dispatch.mixed": perSecond, "dispatch.mixed.p99": p99 }
    }]
  },
  ratios: {
    "dispatch.mixed.share": { of: (round) => divide(round["dispatch.mixed"], ideal), goal: Goal.atLeast({ must: 0.75, aim: 0.95 }) }
  }
})
