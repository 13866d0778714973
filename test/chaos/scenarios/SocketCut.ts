/**
 * The connection to a worker that lives is cut under load.
 *
 * A thread of the worker's own process shuts down the socket that it has accepted, with shutdown(2): both ends see end of file at any moment of
 * what they do. From outside it takes a privilege: pidfd_getfd(2) is refused by Yama and in containers.
 */
import { check } from "../Check.ts"
import { sleep, until } from "../Host.ts"
import * as Ledger from "../Ledger.ts"
import type { Scenario } from "../Session.ts"
import { allUp, beganOn, identities, outcomeOf, plenty } from "./Settings.ts"

const size = 3
const pools = { default: { size, prefetch: 2, restart: plenty } } // calls that were sent ahead are cut off too
const mostMillis = 60 // after the answer: some ten calls later

export const socketCut: Scenario = {
  name: "socket-cut",
  about: "shutdown(2) of a worker's accepted socket at a random moment of calls and streams: known, the calls whose outcome a living" +
    " worker knew and the caller did not get, is 0, and no worker is replaced",
  mustSee: {
    events: ["snakepit.worker_supervisor.restart", "snakepit.worker_supervisor.recover"],
    holds: [
      "`known` is 0, and every call completes",
      "`cuts` restarts have `child` channel and `ChannelLost` as their cause",
      "no worker is another process"
    ]
  },
  byHand: [
    "In a tool: `threading.Timer(0.1, shut_accepted).start()`, with `shut_accepted` of `test/chaos/python/chaos_tools.py`.",
    "Or from outside, where ptrace is allowed: `gdb -p <pid> -batch -ex 'call (int)shutdown(<fd>, 2)'`, with the descriptor from `ss" +
    " -xp | grep snakepit-`."
  ],
  touches: { ends: ["snakepit/pools/<key>/fleet/<key>/channel"], tries: [] },
  runs: 100,
  shortRuns: 10,
  sharesHost: true,
  run: async (session) => {
    session.add("known", 0)
    await session.each(60_000, async (chance, seed) => {
      const host = await session.shared(pools)
      await host.ask("keepBusy", { callersPerPool: 2 * size, seed })
      const before = await allUp(host, "default", size)
      const cuts = () =>
        host.events().filter(({ attributes, name }) =>
          name === "snakepit.worker_supervisor.restart" && attributes["child"] === "channel" &&
          String(attributes["cause"]).startsWith("ChannelLost")
        ).length
      const already = cuts()
      const id = await host.ask("call", { pool: "default", tool: "cut", millis: chance.between(0, mostMillis) })
      const { cause, outcome } = await outcomeOf(host, id)
      check(outcome === "completed", () => `the call that was to cut came to "${outcome}": ${cause}`)
      const victim = beganOn(host, id, before)
      const cut = await until(cuts, (now) => now > already, 10_000)
      check(cut === already + 1, () => `the socket of ${victim.worker} was cut once, and ${cut - already} channels were told to be lost`)
      await sleep(chance.between(20, 120)) // what was on its way is settled, and more follows
      const finished = new Set(host.finished().map(({ id }) => id))
      const told = host.ledger().filter(Ledger.isTold)
      const known = told.filter(({ id, outcome }) => outcome !== "completed" && finished.has(id))
      const bad = told.filter(({ outcome }) => outcome !== "completed")
      session.add("cuts", 1)
      session.add("known", known.length)
      check(
        bad.length === 0,
        () => `the outcome of ${known.length} calls was known to a living worker; not completed: ${JSON.stringify(bad.slice(0, 5))}`
      )
      const [was, is] = [identities(before), identities(await allUp(host, "default", size))]
      check(was === is, () => `the workers were ${was} and are ${is}`)
      return `${victim.worker} was cut off and went on`
    })
  }
}
