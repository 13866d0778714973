/** The host is killed while its workers do what makes an end hard. */
import { check } from "../Check.ts"
import { sleep } from "../Host.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import { plenty, workerOf } from "./Settings.ts"

const size = 8
const quarter = size / 4
const pools = { default: { size, restart: plenty } }

export const hostKill: Scenario = {
  name: "host-kill",
  about: "SIGKILL to a host of 8 workers, 2 holding the interpreter lock, 2 with grandchildren, 1 stopped: nothing is left within 2 s",
  runs: 100,
  shortRuns: 2,
  sharesHost: false,
  run: (session) => {
    session.together = () =>
      check(session.figure("segments") === 0, () => `${session.figure("segments")} hosts left their segments to the next start`)
    return session.each(120_000, async (chance, seed) => {
      const host = await session.start(pools)
      const call = (tool: "hold_lock_for_good" | "grandchildren") =>
        host.ask("call", tool === "grandchildren" ? { pool: "default", tool, seconds: 600 } : { pool: "default", tool })
      const harmed = new Set<number>()
      for (const tool of chance.shuffled(Array.from({ length: quarter }, () => ["hold_lock_for_good", "grandchildren"] as const).flat())) {
        harmed.add((await workerOf(host, await call(tool))).slot)
      }
      await host.ask("keepBusy", { callersPerPool: quarter, seed })
      const free = host.workers().filter(({ slot }) => !harmed.has(slot))
      Observer.signal(chance.of(free), "SIGSTOP")
      await sleep(chance.between(0, 400))
      const there = host.look().length
      const took = await session.kill(host)
      session.millis.push(took)
      return `${there} processes were gone ${Math.round(took)} ms after the host`
    })
  }
}
