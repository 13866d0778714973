/**
 * What telemetry from Python costs a call. On: samples each second, logs from INFO on, lines that tools print, and Python's spans of one call in a
 * hundred; off: none of it. The callers trace one call in a hundred on both sides: what that costs the host, `telemetry.on.vs_off` says. The tool is the
 * same and tells nothing itself: what it would tell is its own choice, and has a row of its own.
 */
import { Effect } from "effect"
import { divide, measurement } from "../Bench.ts"
import * as Goal from "../Goal.ts"
import * as Load from "./Load.ts"
import * as Ours from "./Ours.ts"
import { small, workers } from "./Throughput.ts"

const everything = { on: true, logs: "info", output: true, samples: "1 second" } as const

export const pythonTelemetry = measurement({
  figures: {
    "python_telemetry.on": { unit: "per second", what: "calls, 64 in flight, samples, logs and output told, 1 % traced into Python" },
    "python_telemetry.off": { unit: "per second", what: "the same, Python tells nothing" },
    "python_telemetry.event_a_call": { unit: "per second", what: "as on, by a tool that tells one event a call" }
  },
  sides: async (closing) => {
    const telling = await Ours.open(closing, { default: { size: workers, telemetry: everything } })
    const told = await telling.client()
    const on = () => telling.run(Ours.echoes(told, 64, small))
    const event = () => telling.run(Load.fibers(64, () => Effect.orDie(told.told({ data: small }))))
    const silent = await Ours.open(closing, { default: { size: workers, telemetry: { on: false } } })
    const untold = await silent.client()
    const off = () => silent.run(Ours.echoes(untold, 64, small))
    return [async () => {
      await off() // whoever is first after another measurement is slower: that is nobody's
      // there and back: of a drift of the machine both get the same
      const runs = [await on(), await off(), await off(), await on()].map(({ perSecond }) => perSecond)
      return {
        "python_telemetry.on": (runs[0]! + runs[3]!) / 2,
        "python_telemetry.off": (runs[1]! + runs[2]!) / 2,
        "python_telemetry.event_a_call": (await event()).perSecond
      }
    }]
  },
  ratios: {
    "python_telemetry.on.vs_off": {
      of: (round) => divide(round["python_telemetry.on"], round["python_telemetry.off"]),
      goal: Goal.atLeast({ must: 0.95, aim: 0.98 })
    }
  }
})
