/**
 * Healthy workers that cannot answer, because they compute and hold the interpreter lock.
 *
 * Each run takes `--seconds` of CPU time. Two lanes share one host, so that two cores are busy throughout and no run waits for the slower
 * of a pair: 100 runs of 10 s take a little more than 500 s.
 */
import { check } from "../Check.ts"
import type { Host } from "../Host.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import { plenty } from "./Settings.ts"

const lanes = 2 // a third would only wait for a core
const usualSeconds = 10
const shortSeconds = 4
const pools = { default: { size: 3, restart: plenty } }

const identities = (host: Host): ReadonlySet<string> => new Set(host.workers().map(Observer.key))

export const gilHog: Scenario = {
  name: "gil-hog",
  about:
    "a computation that holds the interpreter lock for --seconds: its result arrives and no worker is killed; killed is by the observer",
  mustSee: {
    events: ["snakepit.heartbeat.miss", "snakepit.watchdog.verdict", "snakepit.heartbeat.recover"],
    holds: ["`killed` is 0", "every call completes"]
  },
  byHand: [
    "Call a tool that computes in C for ten seconds: `collections.deque(itertools.repeat(None, 4_000_000_000), maxlen=0)`.",
    "Watch `top -p <pid>`: its worker misses beats, uses a whole core, and is left alone."
  ],
  touches: { ends: [], tries: ["snakepit/pools/<key>/fleet/<key>/heartbeat", "snakepit/pools/<key>/fleet/<key>/watchdog"] },
  runs: 100,
  shortRuns: 2,
  sharesHost: true,
  run: async (session) => {
    const { runs = 0, seconds = session.options.short ? shortSeconds : usualSeconds } = session.options
    const killed = new Set<string>() // the lanes see the same workers: each counts once
    let next = 0
    const one = (index: number) =>
      session.run(index, 60_000 + seconds * 6000, async () => {
        const host = await session.shared(pools)
        const before = identities(host)
        check(before.size === pools.default.size, () => `${before.size} workers were there, of ${pools.default.size}`)
        const began = performance.now()
        const id = await host.ask("call", { pool: "default", tool: "hold_lock", seconds })
        const outcome = await host.ask("outcome", { id })
        const took = Math.round(performance.now() - began)
        const after = identities(host)
        const ends = host.events().filter(({ name }) => name === "snakepit.process.exit")
        for (const identity of before) {
          if (after.has(identity) || killed.has(identity)) continue
          killed.add(identity)
          session.add("killed", 1)
        }
        const cause = host.ledger().findLast((line) => "outcome" in line && line.id === id)
        check(outcome === "completed", () => `the call came to "${outcome}" after ${took} ms: ${JSON.stringify(cause)}`)
        check(
          [...before].join() === [...after].join(),
          () => `the workers were ${[...before].join(", ")} and are ${[...after].join(", ")}, by pid and start: ${JSON.stringify(ends)}`
        )
        check(ends.length === 0, () => `the host tells of ends: ${JSON.stringify(ends)}`)
        check(took >= seconds * 1000, () => `it took ${took} ms, and was to hold the lock for ${seconds} s`)
        session.millis.push(took)
        return `held the lock and answered after ${took} ms`
      })
    session.add("killed", 0)
    const lane = async () => {
      while (next < runs && !session.isOver) await one(next++)
    }
    await Promise.all(Array.from({ length: lanes }, lane))
  }
}
