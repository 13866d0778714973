/** Crash → restarted per second, 1,000 supervisors of 10 children, events on; and Erlang's own supervisor doing the same. */
import { Semantics } from "@snakepit/core"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import { divide, measurement } from "../Bench.ts"
import * as Goal from "../Goal.ts"
import * as Crashing from "./Crashing.ts"
import * as Erlang from "./Erlang.ts"

const supervisors = 1000
const children = 10
const warmUp = 3 // sweeps: Erlang has compiled its supervisor long ago
const sweeps = 10 // of all children: half a second and more on either side

const ours = (semantics: Semantics.Semantics): Promise<number> => {
  const crashing = Crashing.make(supervisors, children, semantics)
  const sweep = Effect.promise(async () => {
    const before = crashing.ups()
    for (let child = 0; child < supervisors * children; child++) crashing.crash(child)
    while (crashing.ups() - before < supervisors * children) await new Promise(setImmediate)
  })
  return Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    yield* crashing.start
    for (let n = 0; n < warmUp; n++) yield* sweep
    const start = performance.now()
    for (let n = 0; n < sweeps; n++) yield* sweep
    return supervisors * children * sweeps / ((performance.now() - start) / 1000)
  })))
}

const source = fileURLToPath(new URL("otp_restart.erl", import.meta.url))

const erlangs = (): number | null =>
  Erlang.release === null ? null : Number(Erlang.run(source, "otp_restart", `main(${supervisors}, ${children}, ${sweeps})`))

export const restart = measurement({
  figures: {
    "restart.production": { unit: "per second", what: `crash → restarted, ${supervisors} supervisors × ${children}` },
    "restart.erlang": { unit: "per second", what: "the same in Erlang's supervisor" },
    "restart.otp": { unit: "per second", what: "the same with the semantics of OTP" }
  },
  sides: [
    async () => ({ "restart.production": await ours(Semantics.production) }),
    async () => ({ "restart.erlang": erlangs() }),
    async () => ({ "restart.otp": await ours(Semantics.otp) })
  ],
  ratios: {
    "core.restart.vs_otp": {
      of: (round) => divide(round["restart.production"], round["restart.erlang"]),
      goal: Goal.atLeast({ must: 0.5, aim: 1 })
    }
  }
})
