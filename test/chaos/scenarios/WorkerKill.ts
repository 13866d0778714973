/** Workers are killed at random moments, twenty calls for each kill. */
import { check } from "../Check.ts"
import { sleep, until } from "../Host.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import { plenty } from "./Settings.ts"

const callsPerKill = 20
const pools = { default: { size: 4, restart: plenty } }

export const workerKill: Scenario = {
  name: "worker-kill",
  about: "SIGKILL to a worker at a random moment of 20 calls, half of them not idempotent: none lost, none run twice",
  runs: 300,
  shortRuns: 20,
  run: (session) =>
    session.each(60_000, async (chance) => {
      const host = await session.shared(pools)
      const load = host.ask("load", { calls: callsPerKill, callers: callsPerKill / 2 })
      await sleep(chance.between(0, 40)) // about what the calls take
      const workers = await until(() => host.workers(), (workers) => workers.length > 0, 30_000)
      check(workers.length > 0, () => "no worker came up within 30 s")
      const atWork = new Set(host.journal().slice(-callsPerKill).map(({ pid }) => pid))
      const served = workers.filter(({ pid }) => atWork.has(pid))
      const victim = chance.of(served.length > 0 && chance.between(0, 4) > 0 ? served : workers) // now and then one that is starting
      Observer.signal(victim, "SIGKILL")
      await load
      session.add("kills", 1)
      return `killed ${victim.worker}, pid ${victim.pid}; ${workers.length} workers were there`
    })
}
