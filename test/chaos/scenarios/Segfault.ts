/** Native code ends its process in the middle of a call. */
import { check } from "../Check.ts"
import { sleep } from "../Host.ts"
import { type Crash, crashes } from "../host/Tools.ts"
import type { Scenario } from "../Session.ts"
import { allUp, beganOn, exitOf, outcomeOf, plenty, successor } from "./Settings.ts"

const size = 3
const pools = { default: { size, restart: plenty } }
const kinds = Object.keys(crashes) as ReadonlyArray<Crash>

export const segfault: Scenario = {
  name: "segfault",
  about: "a tool that is not idempotent crashes in native code, by a null pointer, an illegal instruction or abort(3), beside other" +
    " calls: its caller is told which, it ran once, and its worker alone is replaced",
  mustSee: {
    events: ["snakepit.process.exit", "snakepit.call.fail", "snakepit.worker_supervisor.restart", "snakepit.worker_supervisor.recover"],
    holds: [
      "`snakepit.process.exit` has the class `Segfault`, or `Abort`",
      "the caller is told `WorkerCrashed`",
      "`twice` and `lost` are 0"
    ]
  },
  byHand: [
    "`kill -SEGV <pid>` to a worker while calls run; or call a tool that does `ctypes.string_at(0)`.",
    "The error of the call names the signal and the next step; the worker's last words (faulthandler's stack) stand in" +
    " `snakepit.process.exit`."
  ],
  touches: { ends: ["snakepit/pools/<key>/fleet/<key>/process"], tries: [] },
  runs: 30,
  shortRuns: kinds.length,
  sharesHost: true,
  run: (session) =>
    session.each(60_000, async (chance, seed) => {
      const how = kinds[seed % kinds.length]! // seeds follow each other: every kind has its turn
      const host = await session.shared(pools)
      await host.ask("keepBusy", { callersPerPool: size - 1, seed })
      await sleep(chance.between(0, 200))
      const workers = await allUp(host, "default", size)
      const id = await host.ask("call", { pool: "default", tool: "crash", how })
      const { cause, outcome } = await outcomeOf(host, id)
      check(
        outcome === "unknown" && cause.startsWith("WorkerCrashed"),
        () => `a call that crashed by ${how} came to "${outcome}": ${cause}`
      )
      const victim = beganOn(host, id, workers)
      const exit = await exitOf(host, victim)
      check(exit["exitClass"] === crashes[how], () => `a crash by ${how} is told to be ${exit["exitClass"]}: ${JSON.stringify(exit)}`)
      const next = await successor(host, victim)
      session.add("found", 1)
      return `${how} of ${victim.worker} found to be ${exit["exitClass"]}, ${next.worker} in its place`
    })
}
