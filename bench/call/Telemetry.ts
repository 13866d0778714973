/**
 * What telemetry costs a call: an application that keeps a file of events and has one call in a hundred traced, against one that does neither.
 * The pool's own counters are part of its dispatch and cannot be switched off.
 */
import { Effect } from "effect"
import { join } from "node:path"
import { divide, measurement } from "../Bench.ts"
import * as Goal from "../Goal.ts"
import * as Python from "../Python.ts"
import * as Load from "./Load.ts"
import * as Ours from "./Ours.ts"
import { small, workers } from "./Throughput.ts"

export const telemetry = measurement({
  figures: {
    "telemetry.on": { unit: "per second", what: "calls, 64 in flight, events to a file, 1 % traced" },
    "telemetry.off": { unit: "per second", what: "the same, no file and no spans" }
  },
  sides: async (closing) => {
    const eventLog = join(Python.socketFolder(closing), "events.jsonl")
    const watched = await Ours.open(closing, { default: { size: workers } }, { eventLog })
    const watchedClient = await watched.client()
    const on = () => watched.run(Ours.echoes(watchedClient, 64, small))
    const unwatched = await Ours.open(closing, { default: { size: workers } })
    const { echo } = await unwatched.client()
    const off = () => unwatched.run(Load.fibers(64, () => Effect.orDie(echo({ data: small }))))
    return [async () => {
      await off() // whoever is first after another measurement is slower: that is nobody's
      // there and back: of a drift of the machine both get the same
      const runs = [await on(), await off(), await off(), await on()].map(({ perSecond }) => perSecond)
      return { "telemetry.on": (runs[0]! + runs[3]!) / 2, "telemetry.off": (runs[1]! + runs[2]!) / 2 }
    }]
  },
  ratios: {
    "telemetry.on.vs_off": {
      of: (round) => divide(round["telemetry.on"], round["telemetry.off"]),
      goal: Goal.atLeast({ must: 0.95, aim: 0.98 })
    }
  }
})
