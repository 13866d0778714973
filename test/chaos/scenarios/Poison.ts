/** A call that ends every worker that runs it. */
import type { Event } from "snakepit"
import { check } from "../Check.ts"
import { sleep } from "../Host.ts"
import { type Crash, crashes } from "../host/Tools.ts"
import type { Scenario } from "../Session.ts"
import { allUp, identities, notCompleted, outcomeOf, plenty } from "./Settings.ts"

const size = 4
const poisonAfter = 3
const pools = { default: { size, restart: plenty, barrier: { poisonAfter } }, other: { size: 1 } }
/** So many calls of the same tool before it and behind it: enough for every worker to have some that are sent ahead. */
const around = 100
const kinds = Object.keys(crashes) as ReadonlyArray<Crash>

export const poison: Scenario = {
  name: "poison",
  about: "an idempotent call that ends every worker that runs it, made among 200 that are over at once: these complete, and after" +
    " `barrier.poisonAfter` workers it is quarantined and its caller told, and the same call once more is refused; executions is how often it" +
    " ran, lostBeside how often others lost their worker to it",
  mustSee: {
    events: ["snakepit.process.exit", "snakepit.call.retry", "snakepit.call.quarantine", "snakepit.call.fail"],
    holds: [
      "`executions` is `poisonAfter`, which is 3 here, times `runs`",
      "the caller is told `CallPoisoned` with the digest of its arguments, and the next one with the same arguments too, at once",
      "the calls of the same tool that were in flight beside it complete, and so do calls to another pool"
    ]
  },
  byHand: [
    "Declare a tool `Tool.Idempotent` that does `ctypes.string_at(0)`, and call it twice.",
    "`snakepit.call.retry` is told twice, then `snakepit.call.quarantine`; both callers are told `CallPoisoned`, the second at once." +
    " `pgrep -af snakepit.worker` shows as many workers as before.",
    "`Pool.quarantine()` lists it, and `Pool.release` with the tool and the digest lets it run again."
  ],
  touches: { ends: ["snakepit/pools/<key>/fleet/<key>/process"], tries: ["snakepit/pools/<key>/control/dispatcher"] },
  runs: 20,
  shortRuns: 2,
  sharesHost: true,
  run: async (session) => {
    session.together = () => {
      const { executions, wanted } = { executions: session.figure("executions"), wanted: poisonAfter * session.figure("poisons") }
      check(executions === wanted, () => `the calls ran ${executions} times together, and must run ${wanted} times`)
    }
    await session.each(60_000, async (chance, seed) => {
      const how = kinds[seed % kinds.length]!
      const host = await session.shared(pools)
      await host.ask("keepBusy", { callersPerPool: 2, seed })
      await sleep(chance.between(0, 200))
      const bystanders = identities(await allUp(host, "other", pools.other.size))
      const lines = host.ledger().length
      const told = host.events().length
      const ask = (how: Crash | "none") => host.ask("call", { pool: "default", tool: "again_crash", how })
      const crowd = () => Array.from({ length: around }, () => ask("none"))
      const [before, poisonous, behind] = [crowd(), ask(how), crowd()]
      const id = await poisonous
      const { cause, outcome } = await outcomeOf(host, id)
      for (const neighbour of await Promise.all([...before, ...behind])) {
        const { cause, outcome } = await outcomeOf(host, neighbour)
        check(outcome === "completed", () => `call ${neighbour} beside the poisonous call ${id} came to "${outcome}": ${cause}`)
      }
      const isRetry = ({ attributes, name }: Event.Event) => name === "snakepit.call.retry" && attributes["tool"] === "again_crash"
      session.add("lostBeside", host.events().slice(told).filter(isRetry).length - (poisonAfter - 1))
      const again = await outcomeOf(host, await host.ask("call", { pool: "default", tool: "again_crash", how, as: id }))
      const executions = host.journal().filter((execution) => execution.id === id)
      session.add("executions", executions.length)
      session.add("poisons", 1)
      check(
        outcome === "unknown" && cause.startsWith("CallPoisoned"),
        () => `a call that ended ${executions.length} workers came to "${outcome}": ${cause}`
      )
      check(
        executions.length === poisonAfter && new Set(executions.map(({ pid }) => pid)).size === poisonAfter,
        () => `it ran on pids ${executions.map(({ pid }) => pid).join(", ")}, and was to end ${poisonAfter} workers`
      )
      check(
        again.outcome === "refused" && again.cause.startsWith("CallPoisoned"),
        () => `the same call once more came to "${again.outcome}": ${again.cause}`
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
