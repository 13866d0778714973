/** A tool that keeps memory at every call, for minutes. */
import { readFileSync } from "node:fs"
import { check } from "../Check.ts"
import { type Host, sleep } from "../Host.ts"
import type { Scenario } from "../Session.ts"
import { plenty } from "./Settings.ts"

const size = 2
const perSecond = 10 // calls, of 5 MB each, for each worker: as the issue has it
const watchMillis = 200 // in which a worker leaks 10 MB
const mega = 1_000_000
const allowed = 1.1 // of the limit: the issue's own bound
/** In the short form the limit is lower, so that workers reach it in seconds. */
const whole = { seconds: 300, limit: 512 * mega }
const short = { seconds: 9, limit: 256 * mega }

const poolsOf = (limit: number) => ({
  default: { size, restart: plenty, recycle: { rss: limit, jitter: 0.2, every: "100 millis" } }
})

/** Bytes of the largest worker, as the kernel says. */
const largest = (host: Host): number =>
  Math.max(
    0,
    ...host.workers().map(({ pid }) => {
      try {
        return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0) * 1024
      } catch {
        return 0 // it has gone since
      }
    })
  )

export const leak: Scenario = {
  name: "leak",
  about:
    "5 MB a call, 10 calls a second for each worker: each is replaced before it is a tenth above its limit, and no call fails; largestMB: the" +
    " largest that was seen, recycled: workers that were replaced",
  mustSee: {
    events: ["snakepit.lifecycle.start", "snakepit.lifecycle.ready", "snakepit.lifecycle.drain", "snakepit.lifecycle.stop"],
    holds: [
      "`largestMB` is at most a tenth above `recycle.rss`",
      "`failed`, `unknown` and `refused` are 0: no call notices",
      "no restart is spent"
    ]
  },
  byHand: [
    "Give the pool `recycle: { rss: 512_000_000, every: \"100 millis\" }`, and a tool that appends 5 MB to a list at module level.",
    "Call it, and watch `VmRSS` in `/proc/<pid>/status` of the workers, or `memory` in `PoolControl.status`."
  ],
  touches: { ends: [], tries: ["snakepit/pools/<key>/control/lifecycle"] },
  runs: 1,
  shortRuns: 1,
  sharesHost: false,
  run: async (session) => {
    session.together = () => {
      const bad = session.count("failed") + session.count("unknown") + session.count("refused")
      check(bad === 0, () => `${bad} calls did not complete`)
    }
    const { limit, seconds } = session.options.short ? short : whole
    await session.each(seconds * 1000 + 60_000, async () => {
      const host = await session.start(poolsOf(limit))
      const calls = seconds * size * perSecond
      const began = performance.now()
      let most = 0
      const watch = setInterval(() => {
        most = Math.max(most, largest(host))
      }, watchMillis)
      try {
        for (let call = 1; call <= calls; call++) {
          await host.ask("call", { pool: "default", tool: "leak" })
          await sleep(Math.max(0, began + (call * 1000) / (size * perSecond) - performance.now()))
        }
        await host.ask("rest", {})
      } finally {
        clearInterval(watch)
      }
      const recycled = host.events().filter(({ attributes, name }) =>
        name === "snakepit.lifecycle.stop" && attributes["because"] === "memory"
      ).length
      const restarts = host.events().filter(({ name }) => name.endsWith("_supervisor.restart"))
      check(most <= allowed * limit, () => `a worker had ${Math.round(most / mega)} MB, and its limit was ${limit / mega}`)
      check(recycled > 0, () => `no worker was replaced, and the largest had ${Math.round(most / mega)} MB`)
      check(restarts.length === 0, () => `restarts were spent: ${JSON.stringify(restarts)}`)
      session.add("largestMB", Math.round(most / mega))
      session.add("recycled", recycled)
      await session.close(host)
      return `${recycled} workers were replaced at ${limit / mega} MB; the largest had ${Math.round(most / mega)} MB`
    })
  }
}
