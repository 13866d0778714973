/** A worker dies when the next one takes long to start: within its limit, or for ever. */
import { check } from "../Check.ts"
import { until } from "../Host.ts"
import * as Ledger from "../Ledger.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import { allUp, notCompleted, plenty, replaced, successor } from "./Settings.ts"

const size = 3
const startSeconds = 6 // some times what a start takes on a busy machine
const pools = { default: { size, restart: plenty, startTimeout: `${startSeconds} seconds` }, other: { size: 1 } } as const
const slowSeconds = 1
const forEverSeconds = 600

export const slowStart: Scenario = {
  name: "slow-start",
  about: "a worker is killed, and its successor takes 1 s longer to start, or never comes up: the pool works on meanwhile, a start beyond" +
    " startTimeout is ended and tried again, and nothing escalates",
  mustSee: {
    events: ["snakepit.worker_supervisor.restart", "snakepit.process.start", "snakepit.worker_supervisor.recover"],
    holds: [
      "calls complete while it starts",
      "a start beyond its limit is told as `BootFailed`, and its process is gone",
      "`escalations` is 0"
    ]
  },
  byHand: [
    "Give an adapter class an `on_start` that sleeps as long as a file says (`@adapter`), and `kill -KILL <pid>` one of its workers.",
    "`ps -ef | grep snakepit.worker` shows the next one at once; calls go to the others until it is ready."
  ],
  touches: { ends: ["snakepit/pools/<key>/fleet/<key>/process"], tries: ["snakepit/pools/<key>/fleet/<key>"] },
  runs: 20,
  shortRuns: 2,
  sharesHost: true,
  run: (session) =>
    session.each(120_000, async (chance, seed) => {
      const isForEver = seed % 2 === 1
      const host = await session.shared(pools)
      await host.ask("keepBusy", { callersPerPool: size, seed })
      const victim = chance.of(await allUp(host, "default", size))
      host.turn("default", "slow", isForEver ? forEverSeconds : slowSeconds)
      const began = Date.now()
      Observer.signal(victim, "SIGKILL")
      const next = await successor(host, victim) // it has been started, and is not ready
      const lines = host.ledger().length
      const completed = () => {
        const made = host.ledger().slice(lines).filter((line) => Ledger.isMade(line) && line.pool === "default").map((call) =>
          (call as Ledger.Made).id
        )
        const told = new Set(
          host.ledger().slice(lines).flatMap((line) => Ledger.isTold(line) && line.outcome === "completed" ? [line.id] : [])
        )
        return made.filter((id) => told.has(id)).length
      }
      const served = await until(completed, (served) =>
        served > 0 || Observer.starting([next], Observer.listening()).length === 0, startSeconds * 1000)
      check(served > 0, () =>
        `no call completed while ${next.worker} was starting`)
      const bad = () =>
        notCompleted(host, "default", lines)
      if (isForEver) {
        const restart = await replaced(host, victim, began + 1, (startSeconds + 20) * 1000, "BootFailed")
        host.turn("default", "slow", undefined)
        check(restart !== undefined, () => `${next.worker} has not come up for ${startSeconds + 20} s, and nothing was told of it`)
        const alive = await until(() => Observer.isAlive(next), (alive) => !alive, 10_000)
        check(!alive, () => `${next.worker}, pid ${next.pid}, did not start in time and is still there`)
      }
      await allUp(host, "default", size)
      host.turn("default", "slow", undefined)
      check(bad().length === 0, () => `calls made while a worker started did not complete: ${JSON.stringify(bad().slice(0, 5))}`)
      check(notCompleted(host, "other").length === 0, () => "calls of the other pool did not complete")
      session.add(isForEver ? "ended" : "waitedFor", 1)
      return `${next.worker} took ${isForEver ? "too long and was ended" : `${slowSeconds} s`}; ${served} calls completed meanwhile`
    })
}
