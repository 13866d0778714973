/** A call that ends every worker that runs it. */
import { check } from "../Check.ts"
import { sleep } from "../Host.ts"
import { type Crash, crashes } from "../host/Tools.ts"
import type { Scenario } from "../Session.ts"
import { allUp, identities, notCompleted, outcomeOf, plenty } from "./Settings.ts"

const size = 4
const attempts = 3
const pools = { default: { size, attempts, restart: plenty }, other: { size: 1 } }
const kinds = Object.keys(crashes) as ReadonlyArray<Crash>

export const poison: Scenario = {
  name: "poison",
  about: "an idempotent call that ends every worker that runs it: it is tried `attempts` times and no more, then its caller is told;" +
    " executions is how often it ran",
  mustSee: {
    events: ["snakepit.process.exit", "snakepit.call.retry", "snakepit.call.fail"],
    holds: [
      "`executions` is `attempts` times `runs`",
      "the caller is told `WorkerCrashed` with the number of attempts",
      "calls to another pool complete"
    ]
  },
  byHand: [
    "Declare a tool `Tool.Idempotent` that does `ctypes.string_at(0)`, and call it.",
    "`snakepit.call.retry` is told twice, then the caller is told `WorkerCrashed`; `pgrep -af snakepit.worker` shows as many workers" +
    " as before."
  ],
  touches: { ends: ["snakepit/pools/<key>/fleet/<key>/process"], tries: ["snakepit/pools/<key>/control/dispatcher"] },
  runs: 20,
  shortRuns: 2,
  sharesHost: true,
  run: async (session) => {
    session.together = () => {
      const { executions, wanted } = { executions: session.figure("executions"), wanted: attempts * session.figure("poisons") }
      check(executions === wanted, () => `the calls ran ${executions} times together, and must run ${wanted} times`)
    }
    await session.each(60_000, async (chance, seed) => {
      const how = kinds[seed % kinds.length]!
      const host = await session.shared(pools)
      await host.ask("keepBusy", { callersPerPool: 2, seed })
      await sleep(chance.between(0, 200))
      const bystanders = identities(await allUp(host, "other", pools.other.size))
      const lines = host.ledger().length
      const id = await host.ask("call", { pool: "default", tool: "again_crash", how })
      const { cause, outcome } = await outcomeOf(host, id)
      const executions = host.journal().filter((execution) => execution.id === id)
      session.add("executions", executions.length)
      session.add("poisons", 1)
      check(
        outcome === "unknown" && cause.startsWith("WorkerCrashed") && cause.includes(`attempt ${attempts}`),
        () => `a call that ended ${executions.length} workers came to "${outcome}": ${cause}`
      )
      check(
        executions.length === attempts && new Set(executions.map(({ pid }) => pid)).size === attempts,
        () => `it ran on pids ${executions.map(({ pid }) => pid).join(", ")}, and was to end ${attempts} workers`
      )
      await allUp(host, "default", size)
      const now = identities(await allUp(host, "other", pools.other.size))
      check(now === bystanders, () => `the workers of the other pool were ${bystanders} and are ${now}`)
      const bad = notCompleted(host, "other", lines)
      check(bad.length === 0, () => `calls of the other pool did not complete: ${JSON.stringify(bad.slice(0, 5))}`)
      return `${how} ended ${executions.length} workers, then its caller was told: ${cause.slice(0, 80)}…`
    })
  }
}
