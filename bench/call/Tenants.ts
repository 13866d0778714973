/** A tenant with one call in flight, alone and beside one with 256: what its p99 suffers. */
import { Effect } from "effect"
import { divide, measurement } from "../Bench.ts"
import * as Goal from "../Goal.ts"
import * as Load from "./Load.ts"
import * as Ours from "./Ours.ts"
import { small, workers } from "./Throughput.ts"

const heavyCallers = 256

export const tenants = measurement({
  figures: {
    "dispatch.light.alone": { unit: "µs", what: "p99 of a tenant with one call in flight, alone" },
    "dispatch.light.beside": { unit: "µs", what: `the same beside a tenant with ${heavyCallers}` },
    "dispatch.heavy.beside": { unit: "per second", what: "calls of the heavy tenant meanwhile" }
  },
  sides: async (closing) => {
    const application = await Ours.open(closing, { default: { size: workers } })
    const { echo } = await application.client()
    const load = (tenant: string, callers: number) =>
      Load.fibers(callers, Ours.traced(() => Effect.orDie(echo({ data: small }, { tenant }))))
    return [
      async () => ({ "dispatch.light.alone": (await application.run(load("light", 1))).p99 }),
      async () => {
        const [light, heavy] = await application.run(Effect.all([load("light", 1), load("heavy", heavyCallers)], { concurrency: 2 }))
        return { "dispatch.light.beside": light.p99, "dispatch.heavy.beside": heavy.perSecond }
      }
    ]
  },
  ratios: {
    "dispatch.light_tenant.p99": {
      of: (round) => divide(round["dispatch.light.beside"], round["dispatch.light.alone"]),
      goal: Goal.atMost({ must: 5, aim: 2 })
    }
  }
})
