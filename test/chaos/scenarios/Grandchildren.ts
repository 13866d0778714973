/** What a worker has started goes with it, in whatever session it is. */
import { check } from "../Check.ts"
import { until } from "../Host.ts"
import * as Observer from "../Observer.ts"
import { goneMillis, type Scenario, told } from "../Session.ts"
import { plenty, stopGrace, workerOf } from "./Settings.ts"

const familySize = 4 // the worker, a grandchild in a session of its own, and two whose parent has ended
const pools = { default: { size: 2, restart: plenty, stopGrace } }

export const grandchildren: Scenario = {
  name: "grandchildren",
  about: "a worker with grandchildren in sessions of their own is killed: none is left; millis is the time until then",
  mustSee: {
    events: ["snakepit.process.exit", "snakepit.worker_supervisor.restart"],
    holds: ["nothing of the worker's family is left within 2 s", "`snakepit.process.leak` is not told"]
  },
  byHand: [
    "Call a tool that does `subprocess.Popen([\"sleep\", \"600\"], start_new_session=True)` and goes on.",
    "`kill -KILL <pid>` to its worker; `pgrep sleep` finds nothing."
  ],
  touches: { ends: ["snakepit/pools/<key>/fleet/<key>/process"], tries: ["snakepit/pools/<key>/reaper"] },
  runs: 20,
  shortRuns: 2,
  sharesHost: true,
  run: (session) =>
    session.each(60_000, async (_, seed) => {
      const host = await session.shared(pools)
      const id = await host.ask("call", { pool: "default", tool: "grandchildren", seconds: 600 })
      const worker = await workerOf(host, id)
      const own = () => host.look().filter((process) => process.worker === worker.worker)
      const members = await until(own, (own) => own.length >= familySize, 5000)
      check(members.length >= familySize, () => `only these of the worker's family were there after 5 s:\n    ${told(members)}`)
      const inOrder = seed % 4 === 0 // now and then it is the host that ends, with the call still running
      const began = performance.now()
      if (inOrder) await host.ask("end", {})
      else Observer.signal(worker, "SIGKILL")
      if (inOrder) await session.ended(host, 0)
      const left = await until(() => members.filter(Observer.isAlive), (left) => left.length === 0, goneMillis, 1)
      check(left.length === 0, () => `${left.length} of ${worker.worker} were left after ${goneMillis} ms:\n    ${told(left)}`)
      if (!inOrder) session.millis.push(performance.now() - began)
      return `${members.length} processes of ${worker.worker} were gone ${Math.round(performance.now() - began)} ms after ${
        inOrder ? "the host was asked to end" : "its SIGKILL"
      }`
    })
}
