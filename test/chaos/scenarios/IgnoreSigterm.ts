/** Tools that do not listen to SIGTERM, and what they have started. */
import { check } from "../Check.ts"
import { until } from "../Host.ts"
import type { Scenario } from "../Session.ts"
import { plenty, workerOf } from "./Settings.ts"

const graceMillis = 500
const beyondMillis = 3000 // from SIGKILL to the end of the program: sweeping, closing, Node's own exit
const pools = { default: { size: 2, restart: plenty, stopGrace: `${graceMillis} millis` } } as const

export const ignoreSigterm: Scenario = {
  name: "ignore-sigterm",
  about: "a tool that ignores SIGTERM: the stop ends by SIGKILL after the grace, verified; millis is the time that the stop took",
  mustSee: {
    events: ["snakepit.worker_supervisor.terminate", "snakepit.process.exit"],
    holds: ["the worker's end is told with `signal` SIGKILL", "`survivors` is 0 when the program has ended"]
  },
  byHand: [
    "Call a tool that does `signal.signal(signal.SIGTERM, signal.SIG_IGN)` and sleeps.",
    "Stop the program: Ctrl-C, or `kill -TERM <pid of the host>`. It ends after `stopGrace`, and `pgrep -f snakepit.worker` finds nothing."
  ],
  touches: { ends: ["snakepit"], tries: [] },
  runs: 10,
  shortRuns: 1,
  sharesHost: false,
  run: (session) =>
    session.each(60_000, async () => {
      const host = await session.start(pools)
      const id = await host.ask("call", { pool: "default", tool: "ignore_sigterm", seconds: 600 })
      const worker = await workerOf(host, id)
      const own = await until(
        () => host.look().filter((process) => process.worker === worker.worker),
        (own) => own.length >= 2,
        5000
      )
      check(own.length >= 2, () => "the tool did not start its grandchild within 5 s")
      const began = performance.now()
      await host.ask("end", {})
      await host.ended
      const took = performance.now() - began
      session.millis.push(took)
      const left = host.survivors()
      const exit = host.events().find(({ attributes, name }) => name === "snakepit.process.exit" && attributes["pid"] === worker.pid)
      await session.ended(host, 0)
      check(left.length === 0, () => `the program had ended and ${left.length} processes were there`)
      check(exit?.attributes["signal"] === "SIGKILL", () => `the worker's end is told as ${JSON.stringify(exit)}`)
      check(
        took >= graceMillis && took <= graceMillis + beyondMillis,
        () => `the stop took ${Math.round(took)} ms, with a grace of ${graceMillis} ms`
      )
      return `stopped after ${Math.round(took)} ms with a grace of ${graceMillis} ms`
    })
}
