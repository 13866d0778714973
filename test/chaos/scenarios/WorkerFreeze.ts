/** Workers are stopped by a signal under load. */
import { check } from "../Check.ts"
import { sleep } from "../Host.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import { allUp, plenty, replaced, stopGrace, successor } from "./Settings.ts"

const foundMillis = 15_000 // far beyond any threshold: a run that takes longer has found nothing
const size = 4
const pools = { default: { size, restart: plenty, stopGrace, heartbeat: { interval: "1 second" } } } as const

export const workerFreeze: Scenario = {
  name: "worker-freeze",
  about: "SIGSTOP to a worker under load: it is found to be stopped, ended and replaced; millis is the time until it was found",
  mustSee: {
    events: ["snakepit.heartbeat.miss", "snakepit.watchdog.verdict", "snakepit.watchdog.bite", "snakepit.process.exit"],
    holds: ["each is found to be `WorkerStopped` and no other", "`lost`, `twice` and `survivors` are 0"]
  },
  byHand: [
    "`kill -STOP <pid>` to a worker while calls run.",
    "Within `heartbeat.interval` × 2.5 another process is in its place. The stopped one is gone: `ps -o pid,stat,args -p <pid>` is empty."
  ],
  touches: {
    ends: ["snakepit/pools/<key>/fleet/<key>/process"],
    tries: ["snakepit/pools/<key>/fleet/<key>/heartbeat", "snakepit/pools/<key>/fleet/<key>/watchdog"]
  },
  runs: 20,
  shortRuns: 2,
  sharesHost: true,
  run: (session) =>
    session.each(60_000, async (chance, seed) => {
      const host = await session.shared(pools)
      await host.ask("keepBusy", { callersPerPool: size, seed })
      await sleep(chance.between(0, 300))
      const victim = chance.of(await allUp(host, "default", size))
      const began = Date.now()
      Observer.signal(victim, "SIGSTOP")
      const restart = await replaced(host, victim, began, foundMillis)
      check(restart !== undefined, () => `${victim.worker} was stopped and not found within ${foundMillis} ms`)
      check(restart.tag === "WorkerStopped", () => `${victim.worker} was stopped, and replaced for another reason: ${restart.cause}`)
      session.add("found", 1)
      session.millis.push(restart.at - began)
      const next = await successor(host, victim)
      return `${victim.worker} found after ${restart.at - began} ms, ${next.worker} in its place: ${restart.cause}`
    })
}
