/** An adapter that worked is broken on the disk, and its workers die: one, then all. */
import { check } from "../Check.ts"
import { sleep, until } from "../Host.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import { allUp, identities, notCompleted, outcomeOf, workerOf } from "./Settings.ts"

const size = 2
/** Forked workers have imported before: it would be found out when the Forkserver dies. */
const pools = { default: { size, python: { start: "spawn" } }, other: { size: 1 } } as const
const missingMillis = 2000 // the start that cannot succeed has failed by then
const downMillis = 30_000
const backMillis = 60_000 // the next attempt comes within 5 s, and imports anew

export const importError: Scenario = {
  name: "import-error",
  about:
    "the adapter of a pool does not import any more. A worker of it is killed: the others serve. They are killed too: the pool goes down" +
    " with the reason, is not restarted in a loop, and is up again by itself when the adapter is mended; the other pool notices nothing",
  mustSee: {
    events: [
      "snakepit.worker_supervisor.give_up",
      "snakepit.fleet_supervisor.give_up",
      "snakepit.pool_supervisor.give_up",
      "snakepit.pools_supervisor.restart",
      "snakepit.pools_supervisor.recover"
    ],
    holds: [
      "while one worker is left, calls complete",
      "then callers of the pool are told `PoolDown`, and the exception that the import raised",
      "`refused` calls did not run",
      "calls to the other pool complete"
    ]
  },
  byHand: [
    "Write `raise ImportError(\"broken\")` into the adapter of a pool with `python.start: \"spawn\"`, and `kill -KILL <pid>` one of" +
    " its workers: the others go on. Then all of them.",
    "`snakepit.pool_supervisor.give_up` names the exception. Take the line out: within seconds the pool is up."
  ],
  touches: {
    ends: [
      "snakepit/pools/<key>/fleet/<key>/process",
      "snakepit/pools/<key>/fleet/<key>",
      "snakepit/pools/<key>/fleet",
      "snakepit/pools/<key>"
    ],
    tries: ["snakepit/pools"]
  },
  runs: 10,
  shortRuns: 1,
  sharesHost: true,
  run: (session) =>
    session.each(120_000, async (chance, seed) => {
      const host = await session.shared(pools)
      await host.ask("keepBusy", { callersPerPool: 1, seed, pools: ["other"] })
      const victim = chance.of(await allUp(host, "default", size))
      const bystanders = identities(await allUp(host, "other", pools.other.size))
      const events = host.events().length
      const since = () => host.events().slice(events)
      const lines = host.ledger().length
      host.turn("default", "broken", 1)
      Observer.signal(victim, "SIGKILL")
      const gaveUp = () => since().find(({ name }) => name === "snakepit.pool_supervisor.give_up")
      const isMissed = () => since().some(({ attributes, name }) => name === "snakepit.worker.detach" && attributes["slot"] === victim.slot)
      check(await until(isMissed, (missed) => missed, downMillis), () => `nobody was told that ${victim.worker} is gone`)
      await sleep(missingMillis)
      const alone = await outcomeOf(host, await host.ask("call", { pool: "default", tool: "nap", seconds: 0 }))
      check(alone.outcome === "completed", () => `with one worker left, a call came to "${alone.outcome}": ${alone.cause}`)
      check(gaveUp() === undefined, () => `one worker cannot be started any more, and the pool gave up: ${JSON.stringify(gaveUp())}`)
      for (const worker of host.workers()) if (worker.pool === "default") Observer.signal(worker, "SIGKILL")
      const down = await until(gaveUp, (event) => event !== undefined, downMillis, 20)
      check(down !== undefined, () => `the adapter does not import, and the pool was not down within ${downMillis / 1000} s`)
      const why = String(down.attributes["cause"])
      check(why.includes("chaos has broken this adapter"), () =>
        `the pool went down, and does not say that its adapter does not import: ${why}`)
      const { cause, outcome } = await outcomeOf(host, await host.ask("call", { pool: "default", tool: "nap", seconds: 0 }))
      check(outcome === "refused" && cause.startsWith("PoolDown"), () =>
        `a call of the pool that is down came to "${outcome}": ${cause}`)
      host.turn("default", "broken", undefined)
      const recovered = () => since().some(({ name }) => name === "snakepit.pools_supervisor.recover")
      check(
        await until(
          recovered,
          (up) => up,
          backMillis,
          20
        ),
        () => `the adapter was mended, and the pool was not up ${backMillis / 1000} s later`
      )
      await allUp(host, "default", size)
      const id = await host.ask("call", { pool: "default", tool: "nap", seconds: 0 })
      await workerOf(host, id)
      const after = await outcomeOf(host, id)
      check(after.outcome === "completed", () => `the pool is up again, and a call of it came to "${after.outcome}": ${after.cause}`)
      const attempts = since().filter(({ name }) => name === "snakepit.pools_supervisor.restart").length
      const above = since().filter(({ name }) =>
        name === "snakepit.pools_supervisor.give_up" || name === "snakepit.root_supervisor.restart"
      )
      check(above.length === 0, () => `it went above the pool: ${JSON.stringify(above)}`)
      const now = identities(await allUp(host, "other", pools.other.size))
      check(now === bystanders, () => `the workers of the other pool were ${bystanders} and are ${now}`)
      const bad = notCompleted(host, "other", lines)
      check(bad.length === 0, () => `calls of the other pool did not complete: ${JSON.stringify(bad.slice(0, 5))}`)
      return `the pool went down, and was up again after ${attempts} attempts: ${why.slice(0, 100)}…`
    })
}
