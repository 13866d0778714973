/** New code is rolled out under load, good and bad by turns. */
import type { Event } from "snakepit"
import { check } from "../Check.ts"
import { type Host, sleep, until } from "../Host.ts"
import * as Observer from "../Observer.ts"
import type { Scenario, Session } from "../Session.ts"
import { plenty } from "./Settings.ts"

const size = 3
/** The adapter, told apart by its version: the tools of all scenarios, `healthy` as it is given, and whatever follows. */
const code = (version: number, healthy: string, more: string) =>
  `from chaos_tools import *\n\nVERSION = ${version}\n\n\n@tool\ndef healthy() -> bool:\n    ${healthy}\n\n\n${more}\n`
const extra = "@tool\ndef extra() -> int:\n    return VERSION"
const good = (version: number) => code(version, "return True", extra)

/** What is wrong with a bad version, and where it must be found. */
const faults = [
  { bad: (version: number) => code(version, "return True", "raise RuntimeError('a bad version')"), stage: "boot" },
  { bad: (version: number) => code(version, "return True", ""), stage: "catalogue" },
  { bad: (version: number) => code(version, "raise RuntimeError('a bad version')", extra), stage: "probe" }
] as const

const pools = {
  default: {
    size,
    restart: plenty,
    code: good(0),
    reload: { probe: { tool: "healthy" }, hold: "300 millis" } // so that twenty of them take two minutes
  }
} as const

/** How many workers served at least, by what the host tells; when its first call is made they are all up. */
const leastServing = (events: ReadonlyArray<Event.Event>): number => {
  const serving = new Set<unknown>(Array.from({ length: size }, (_, slot) => slot))
  const tried = new Set<unknown>()
  let least = size
  for (const { attributes: { slot }, name } of events) {
    if (name === "snakepit.rollout.try") tried.add(slot)
    if (name === "snakepit.lifecycle.stop") tried.delete(slot)
    if (name === "snakepit.lifecycle.ready" || (name === "snakepit.worker.attach" && !tried.has(slot))) serving.add(slot)
    if (name === "snakepit.lifecycle.ready") tried.delete(slot)
    if (name === "snakepit.lifecycle.drain" || name === "snakepit.worker.detach") serving.delete(slot)
    least = Math.min(least, serving.size)
  }
  return least
}

const who = (host: Host) => host.workers().map(Observer.key).toSorted().join()

const together = (session: Session) => {
  const bad = session.count("failed") + session.count("unknown") + session.count("refused")
  // a probe that fails is no call of the ledger
  check(bad === 0, () => `${bad} calls did not complete`)
}

export const reloadUnderLoad: Scenario = {
  name: "reload-under-load",
  about:
    "a bad version of the adapter (it does not import, lacks a tool, or fails its probe), then a good one, under load: no call fails, never" +
    " fewer than all workers serve; rolledBack, rolledOut: versions",
  mustSee: {
    events: [
      "snakepit.rollout.fail",
      "snakepit.rollout.promote",
      "snakepit.lifecycle.drain",
      "snakepit.lifecycle.stop",
      "snakepit.rollout.finish"
    ],
    holds: [
      "`failed`, `unknown` and `refused` are 0: no call notices",
      "as many workers serve all the while as the pool has",
      "`rolledBack` is the number of runs: each bad version is found at the stage where it is bad, and the workers of before go on",
      "no restart is spent"
    ]
  },
  byHand: [
    "Spoil the adapter: `raise` at its end, delete a tool, or let the tool that `reload.probe` names fail. `PoolControl.reload` fails with `RolloutFailed`.",
    "Put it right and reload again: `PoolControl.status` shows one worker of the new version, then all."
  ],
  touches: { ends: [], tries: ["snakepit/pools/<key>/control/lifecycle", "snakepit/pools/<key>/fleet"] },
  runs: 20,
  shortRuns: faults.length,
  sharesHost: true,
  run: async (session) => {
    session.together = () => together(session)
    await session.each(90_000, async (chance, seed, index) => {
      const host = await session.shared(pools)
      await host.ask("keepBusy", { callersPerPool: 2 * size, seed })
      await sleep(chance.between(0, 200))
      const before = who(host)
      const { bad, stage } = faults[seed % faults.length]! // seeds follow each other: each fault has its turn
      host.deploy("default", bad(2 * index + 1))
      const failed = await host.ask("reload", { pool: "default" })
      check("stage" in failed && failed.stage === stage, () => `a version that is bad at its ${stage} came to ${JSON.stringify(failed)}`)
      session.add("rolledBack", 1)
      await until(() => host.workers().length, (there) => there === size, 10_000)
      check(who(host) === before, () => `after a roll-back the workers were ${before} and are ${who(host)}`)

      host.deploy("default", good(2 * index + 2))
      const done = await host.ask("reload", { pool: "default" })
      check("version" in done, () => `a good version was rolled back: ${JSON.stringify(done)}`)
      session.add("rolledOut", 1)
      await until(() => host.workers().length, (there) => there === size, 10_000)
      const old = new Set(before.split(","))
      check(host.workers().length === size, () => `${host.workers().length} workers were there, of ${size}`)
      check(host.workers().every((worker) => !old.has(Observer.key(worker))), () => "a worker of the version before is still there")
      const least = leastServing(host.events())
      check(least === size, () => `at one time ${least} workers served, of ${size}`)
      const restarts = host.events().filter(({ name }) => name.endsWith("_supervisor.restart"))
      check(restarts.length === 0, () => `restarts were spent: ${JSON.stringify(restarts)}`)
      return `rolled back at its ${stage}; then ${"version" in done ? done.version : ""} on all ${size} workers, ${least} serving at least`
    })
  }
}
