/** What does not belong to a worker dies beneath busy workers. */
import { Tree } from "snakepit"
import { check } from "../Check.ts"
import { type Host, sleep, until } from "../Host.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import { identities } from "../Victims.ts"
import { plenty, successor } from "./Settings.ts"

/** `quiet` has no calls of its own accord: a worker of it can be killed without harm to a call. */
const pools = { default: { size: 2, restart: plenty }, quiet: { size: 1, restart: plenty } }
const registryPath = "snakepit/foundation/process_registry"

const who = (host: Host): ReadonlyArray<string> => host.workers().map((worker) => `${worker.worker} ${Observer.key(worker)}`).toSorted()

/** A registry that was started anew knows the workers that it finds, and goes on: one that is started now stands in its file. */
const goesOn = async (host: Host): Promise<void> => {
  const stands = ({ pid, started }: Observer.Identity) =>
    host.registry().some((line) => typeof line["started"] === "string" && line["pid"] === pid && line["startTicks"] === started)
  for (const worker of host.workers()) check(stands(worker), () => `${worker.worker}, pid ${worker.pid}, is not in the registry's file`)
  const quiet = host.workers().find(({ pool }) => pool === "quiet")
  check(quiet !== undefined, () => "the quiet pool has no worker")
  Observer.signal(quiet, "SIGKILL")
  const next = await successor(host, quiet)
  const known = await until(() => stands(next), (known) => known, 5000)
  check(known, () => `${next.worker}, pid ${next.pid}, was started after the registry's death and is not in its file: ${inLines(host)}`)
  const gone = () => host.registry().some((line) => line["gone"] === quiet.worker)
  check(
    await until(gone, (gone) => gone, 5000),
    () => `${quiet.worker} has ended, and the registry's file does not say so: ${inLines(host)}`
  )
  const outcome = await host.ask("outcome", { id: await host.ask("call", { pool: "quiet", tool: "nap", seconds: 0 }) })
  check(outcome === "completed", () => `a call of ${next.worker} came to "${outcome}"`)
}

const inLines = (host: Host): string => host.registry().slice(1).map((line) => JSON.stringify(line)).join(" ")

/** Each part at least once. */
const shortRuns = 11

export const foundationKill: Scenario = {
  name: "foundation-kill",
  about: "each part of Foundation, and each of the root's other children that are not pools, dies: no worker is touched, no call fails;" +
    " after the registry's death its file goes on",
  mustSee: {
    events: ["snakepit.foundation_supervisor.restart", "snakepit.foundation_supervisor.recover", "snakepit.root_supervisor.restart"],
    holds: ["`failed`, `unknown` and `refused` are 0", "no worker is another process than before", "the registry's file goes on"]
  },
  byHand: [
    "In the program: `const handle = yield* root.at(\"snakepit/foundation\")`, then `yield* handle.failChild(\"process_registry\"," +
    " reason)`.",
    "`pgrep -af snakepit.worker` shows the same pids as before."
  ],
  touches: {
    ends: [
      "snakepit/foundation",
      "snakepit/foundation/config_server",
      "snakepit/foundation/process_registry",
      "snakepit/foundation/session_store",
      "snakepit/telemetry",
      "snakepit/telemetry/event_log",
      "snakepit/bridge",
      "snakepit/bridge/gateway"
    ],
    tries: []
  },
  runs: 20,
  shortRuns,
  sharesHost: true,
  run: async (session) => {
    const killed = new Set<string>()
    let parts = 0
    session.together = () => {
      const bad = session.count("failed") + session.count("unknown") + session.count("refused")
      check(bad === 0, () => `${bad} calls did not complete`)
      check(shortRuns >= parts, () => `the short form has ${shortRuns} runs, and there are ${parts} parts to kill`)
      const { runs = parts } = session.options
      check(killed.size >= Math.min(runs, parts), () => `of ${parts} parts only these were killed: ${[...killed].join(", ")}`)
      check(runs < parts || session.figure("registries") > 0, () => "no registry was started anew")
    }
    await session.each(60_000, async (chance, seed) => {
      let host = await session.shared(pools)
      let tree = await host.ask("tree", {})
      // what is not a pool, and what is in it; a supervisor below the root whose own supervisor has no restart left would end it all
      const upper = tree.children.filter(({ supervisor }) => supervisor !== undefined && supervisor.strategy !== "dynamic")
      const mortal = upper.flatMap((part) => [part, ...Tree.flatten(part.supervisor!)])
      const victim = mortal[seed % mortal.length]! // seeds follow each other: every one has its turn
      parts = mortal.length
      const above = victim.path.slice(0, victim.path.lastIndexOf("/"))
      const budget = above === tree.path ? tree.budgetLeft : upper.find(({ path }) => path === above)!.supervisor!.budgetLeft
      if (budget === 0) {
        await session.closeShared()
        host = await session.shared(pools)
        tree = await host.ask("tree", {})
      }
      await host.ask("keepBusy", { callersPerPool: 4, seed, pools: ["default"] })
      await sleep(chance.between(0, 100))
      const workers = who(host)
      const before = identities(tree)
      const calls = host.ledger().length
      await host.ask("fail", { supervisor: above, child: victim.id })
      const isBack = async () => {
        const now = await host.ask("tree", {})
        return identities(now).get(victim.path) !== before.get(victim.path) && Tree.flatten(now).every(({ status }) => status === "running")
      }
      check(await until(isBack, (back) => back, 20_000), () => `${victim.path} was not up again within 20 s`)
      await until(() => host.ledger().length - calls, (lines) => lines > 20, 5000) // calls that have met its death are over
      const now = who(host)
      check(workers.join() === now.join(), () => `workers were ${workers.join(", ")} and are ${now.join(", ")}`)
      const { failed, problems, refused, unknown } = host.account()
      check(
        failed + unknown + refused === 0,
        () => `${failed} calls failed, ${refused} were refused, of ${unknown} nobody knows: ${problems.join("; ")}`
      )
      const isNew = identities(await host.ask("tree", {})).get(registryPath) !== before.get(registryPath)
      if (isNew) {
        await goesOn(host)
        session.add("registries", 1)
      }
      killed.add(victim.path)
      return `${victim.path} died; ${workers.length} workers went on${isNew ? ", and so did the registry's file" : ""}`
    })
  }
}
