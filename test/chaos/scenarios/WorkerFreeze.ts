/** Workers are stopped by a signal under load. */
import { check } from "../Check.ts"
import { sleep, until } from "../Host.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import { plenty, replaced, stopGrace } from "./Settings.ts"

const foundMillis = 15_000 // far beyond any threshold: a run that takes longer has found nothing
const pools = { default: { size: 4, restart: plenty, stopGrace } }

export const workerFreeze: Scenario = {
  name: "worker-freeze",
  about: "SIGSTOP to a worker under load: it is found, ended and replaced; millis is the time until it was found",
  runs: 20,
  shortRuns: 2,
  run: (session) =>
    session.each(60_000, async (chance) => {
      const host = await session.shared(pools)
      await host.ask("keepBusy", { callersPerPool: 4 })
      await sleep(chance.between(0, 300))
      const workers = await until(() => host.workers(), (workers) => workers.length === 4, 30_000)
      const victim = chance.of(workers)
      const began = Date.now()
      Observer.signal(victim, "SIGSTOP")
      const restart = await replaced(host, victim, began, foundMillis)
      check(restart !== undefined, () => `${victim.worker} was stopped and not found within ${foundMillis} ms`)
      session.millis.push(restart.at - began)
      const gone = await until(() => Observer.isAlive(victim), (alive) => !alive, 10_000)
      check(!gone, () => `${victim.worker} was found and its process ${victim.pid} is still there 10 s later`)
      await until(() => host.workers().filter(({ slot }) => slot === victim.slot), (there) => there.length === 1, 10_000)
      return `${victim.worker} found after ${restart.at - began} ms: ${restart.attributes["cause"]}`
    })
}
