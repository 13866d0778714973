/**
 * A tool takes more memory than there is.
 *
 * Where this process may make a memory cgroup, the host and all that it starts have 768 MiB together, as in a container, and the kernel kills.
 * Elsewhere each worker has a limit on its address space (`python.limits.addressSpace`), and the allocation fails.
 */
import { check } from "../Check.ts"
import { sleep } from "../Host.ts"
import * as MemoryGroup from "../MemoryGroup.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import { allUp, beganOn, exitOf, identities, notCompleted, outcomeOf, plenty, successor } from "./Settings.ts"

const limit = 768 * 2 ** 20 // host, Reapers, Forkservers and workers have some 400 MiB of their own
const tooMuch = 2 * limit
const size = 2

export const outOfMemory: Scenario = {
  name: "oom",
  about: "a tool takes more memory than there is, by a kill of the kernel in a memory cgroup or by a limit on its address space: it is" +
    " told as what it is, and nobody else goes",
  mustSee: {
    events: ["snakepit.process.exit", "snakepit.call.fail", "snakepit.worker_supervisor.restart", "snakepit.worker_supervisor.recover"],
    holds: [
      "`by` says which of the two it was",
      "in a cgroup: the exit has the class `OutOfMemory`, by the cgroup's own counter, and host, Reaper and all other workers are" +
      " the same processes",
      "by a limit: the caller is told `MemoryError`, and its worker goes on"
    ]
  },
  byHand: [
    "`systemd-run --user --scope -p MemoryMax=1G -p MemorySwapMax=0 node main.ts`, and call a tool that does `[bytearray(b\"x\" *" +
    " 2**24) for _ in range(128)]`.",
    "Or, without a cgroup, set `python.limits.addressSpace` to 1073741824.",
    "`snakepit.process.exit` has `exitClass` OutOfMemory; `grep oom_kill` in the cgroup's `memory.events` has risen by one."
  ],
  touches: {
    ends: ["snakepit/pools/<key>/fleet/<key>/process"],
    tries: ["snakepit/pools/<key>/reaper", "snakepit/pools/<key>/control/launcher/forkserver"]
  },
  runs: 20,
  shortRuns: 2,
  sharesHost: true,
  run: async (session) => {
    const group = MemoryGroup.make(limit)
    session.fact("by", group === undefined ? "limit on the address space" : `kill in a memory ${group.kind}`)
    if (group === undefined) session.mustBeTold = [] // nobody ends
    else session.atEnd(group.remove)
    const python = group === undefined ? { limits: { addressSpace: limit } } : {}
    const pools = { default: { size, restart: plenty, python }, other: { size: 1, restart: plenty, python } }
    await session.each(60_000, async (chance, seed) => {
      const host = await session.shared(pools, group === undefined ? {} : { through: () => group.through })
      await host.ask("keepBusy", { callersPerPool: 1, seed })
      const workers = await allUp(host, "default", size)
      const others = () => {
        const all = host.look()
        return [...Observer.reapers(all), ...Observer.forkservers(all), host.identity].map(Observer.key).toSorted().join()
      }
      const before = { kills: group?.kills() ?? 0, others: others(), lines: host.ledger().length }
      const bystanders = identities(await allUp(host, "other", 1))
      await sleep(chance.between(0, 200))
      const id = await host.ask("call", { pool: "default", tool: "eat", bytes: tooMuch })
      const { cause, outcome } = await outcomeOf(host, id)
      const victim = beganOn(host, id, workers)
      if (group === undefined) {
        check(outcome === "failed" && cause.includes("MemoryError"), () => `a call for too much memory came to "${outcome}": ${cause}`)
        check(Observer.isAlive(victim), () => `${victim.worker} could not allocate, and is gone`)
      } else {
        check(outcome === "unknown" && cause.startsWith("WorkerCrashed"), () => `a call for too much memory came to "${outcome}": ${cause}`)
        const exit = await exitOf(host, victim)
        check(exit["exitClass"] === "OutOfMemory", () => `the end of ${victim.worker} is told as ${JSON.stringify(exit)}`)
        const kills = group.kills() - before.kills
        check(kills === 1, () => `by the cgroup's counter the kernel has killed ${kills} processes, and one was to go`)
        await successor(host, victim)
      }
      await allUp(host, "default", size)
      check(others() === before.others, () => `host, Reapers and Forkservers were ${before.others} and are ${others()}`)
      const now = identities(await allUp(host, "other", 1))
      check(now === bystanders, () => `the worker of the other pool was ${bystanders} and is ${now}`)
      const bad = notCompleted(host, "other", before.lines)
      check(bad.length === 0, () => `calls of the other pool did not complete: ${JSON.stringify(bad.slice(0, 5))}`)
      return `${victim.worker} had no memory left: ${cause.slice(0, 140)}…`
    })
  }
}
