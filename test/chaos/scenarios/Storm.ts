/**
 * All workers of a pool die at once.
 *
 * With the limits that pools have by default: storm after storm spends the budgets of the workers, then of the fleet, then of the pool, which
 * is then down until its next attempt. Nothing of it may reach what stands above, or beside.
 */
import { check } from "../Check.ts"
import { type Host, sleep } from "../Host.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import { identities, notCompleted } from "./Settings.ts"

const size = 16
const governor = 4 // below the default of 8, which two cores hardly reach
const pools = { default: { size, launch: { concurrency: governor } }, other: { size: 2 } }
/** So long each start takes at least: many looks. */
const startSeconds = 0.4
const wholeMillis = 60_000 // beyond the capped backoff of every level, and the starts of all
const lookMillis = 5

/** Until all workers are back: how many processes were starting, the same ones at two looks in a row. */
const startsUntilWhole = async (host: Host): Promise<number> => {
  const end = performance.now() + wholeMillis
  const ready = new Set<string>() // who closes its socket at its end is not starting again
  let last = new Set<string>()
  let most = 0
  for (;;) {
    const workers = Observer.workers(Observer.below(host.identity.pid)).filter(({ pool }) => pool === "default") // quicker than by mark
    const starting = new Set(Observer.starting(workers, Observer.listening()).map(Observer.key).filter((key) => !ready.has(key)))
    for (const key of workers.map(Observer.key)) if (!starting.has(key)) ready.add(key)
    most = Math.max(most, [...starting].filter((key) => last.has(key)).length)
    last = starting
    if (workers.length === size && starting.size === 0) return most
    check(
      performance.now() < end,
      () => `${workers.length} of ${size} workers were there ${wholeMillis / 1000} s later, ${starting.size} of them starting`
    )
    await sleep(lookMillis)
  }
}

/** What gives up above a pool, or in the other one. */
const isAbove = ({ attributes, name }: ReturnType<Host["events"]>[number]): boolean =>
  name.endsWith("_supervisor.give_up") &&
  (attributes["pool"] === "other" || !["worker", "fleet", "pool"].some((level) => name === `snakepit.${level}_supervisor.give_up`))

export const storm: Scenario = {
  name: "storm",
  about: "SIGKILL to all 16 workers of a pool at once, under load, again and again: nothing escalates above the pool, the other pool" +
    " fails no call, and atOnce, the processes that start at a time, is at most launch.concurrency",
  mustSee: {
    events: [
      "snakepit.process.exit",
      "snakepit.worker_supervisor.restart",
      "snakepit.worker_supervisor.recover",
      "snakepit.worker_supervisor.give_up",
      "snakepit.fleet_supervisor.give_up"
    ],
    holds: ["`above` and `others` are 0", "`atOnce` is at most `launch.concurrency`, which is 4 here", "`lost` and `twice` are 0"]
  },
  byHand: [
    "`pkill -KILL -f 'snakepit.worker default/'`, some times within half a minute.",
    "`watch -n 0.1 \"pgrep -fc 'snakepit.worker default/'\"`: they come back, `launch.concurrency` at a time; calls to other pools" +
    " complete.",
    "When the pool has given up its callers are told `PoolDown`, and within seconds it is up again by itself."
  ],
  touches: {
    ends: [
      "snakepit/pools/<key>/fleet/<key>/process",
      "snakepit/pools/<key>/fleet/<key>",
      "snakepit/pools/<key>/fleet",
      "snakepit/pools/<key>"
    ],
    tries: ["snakepit/pools", "snakepit/pools/<key>/control/launcher"]
  },
  runs: 50,
  shortRuns: 3,
  sharesHost: true,
  run: async (session) => {
    session.together = () => {
      const atOnce = session.figure("atOnce")
      check(atOnce > 1, () => `at most ${atOnce} processes were seen to start at a time: too few to show a limit of ${governor}`)
      check(session.figure("others") === 0, () => `${session.figure("others")} calls of the other pool did not complete`)
    }
    session.add("above", 0)
    session.add("others", 0)
    await session.each(wholeMillis + 30_000, async (chance, seed) => {
      const host = await session.shared(pools)
      host.turn("default", "slow", startSeconds)
      await startsUntilWhole(host)
      await host.ask("keepBusy", { callersPerPool: 12, seed })
      await sleep(chance.between(0, 200))
      const bystanders = identities(host.workers().filter(({ pool }) => pool === "other"))
      const lines = host.ledger().length
      const victims = host.workers().filter(({ pool }) => pool === "default")
      for (const victim of victims) Observer.signal(victim, "SIGKILL")
      const atOnce = await startsUntilWhole(host)
      const above = host.events().filter(isAbove)
      const bad = notCompleted(host, "other", lines)
      session.most("atOnce", atOnce)
      session.add("above", above.length)
      session.add("others", bad.length)
      check(atOnce <= governor, () => `${atOnce} processes were starting at a time, of at most ${governor}`)
      check(above.length === 0, () => `above the pool these gave up: ${JSON.stringify(above)}`)
      check(bad.length === 0, () => `calls of the other pool did not complete: ${JSON.stringify(bad.slice(0, 5))}`)
      const now = identities(host.workers().filter(({ pool }) => pool === "other"))
      check(now === bystanders, () => `the workers of the other pool were ${bystanders} and are ${now}`)
      const gaveUp = host.events().filter(({ name }) => name === "snakepit.pool_supervisor.give_up").length
      return `${victims.length} workers killed and back, ${atOnce} starting at a time; the pool has given up ${gaveUp} times by now`
    })
  }
}
