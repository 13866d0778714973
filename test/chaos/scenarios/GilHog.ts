/** Healthy workers that cannot answer, because they compute and hold the interpreter lock. */
import { check } from "../Check.ts"
import type { Scenario } from "../Session.ts"
import { plenty } from "./Settings.ts"

const atOnce = 2 // a third would only wait for a core
const pools = { default: { size: 3, restart: plenty } }

export const gilHog: Scenario = {
  name: "gil-hog",
  about: "a computation that holds the interpreter lock for --seconds: its result arrives and no worker is misjudged",
  runs: 100,
  shortRuns: 2,
  run: async (session) => {
    const { runs, seconds } = session.options
    for (let first = 0; first < runs; first += atOnce) {
      await Promise.all(
        Array.from(
          { length: Math.min(atOnce, runs - first) },
          (_, offset) =>
            session.run(first + offset, 60_000 + seconds * 6000, async () => {
              const host = await session.shared(pools)
              const began = performance.now()
              const id = await host.ask("call", { pool: "default", tool: "hold_lock", seconds })
              const outcome = await host.ask("outcome", { id })
              const took = Math.round(performance.now() - began)
              const ends = host.events().filter(({ name }) => name === "snakepit.process.exit")
              const cause = host.ledger().findLast((line) => line.id === id && "outcome" in line)
              session.add("misjudged", outcome === "completed" ? 0 : 1)
              check(outcome === "completed", () => `the call came to "${outcome}" after ${took} ms: ${JSON.stringify(cause)}`)
              check(ends.length === 0, () => `healthy workers were ended: ${JSON.stringify(ends)}`)
              return `held the lock and answered after ${took} ms`
            })
        )
      )
    }
  }
}
