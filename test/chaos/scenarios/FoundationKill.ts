/** What does not belong to a worker dies beneath busy workers. */
import { Tree } from "snakepit"
import { check } from "../Check.ts"
import { sleep, until } from "../Host.ts"
import type { Scenario } from "../Session.ts"
import { identities } from "../Victims.ts"
import { plenty } from "./Settings.ts"

const pools = { default: { size: 2, restart: plenty } }

export const foundationKill: Scenario = {
  name: "foundation-kill",
  about: "each part of Foundation, and each of the root's other children that are not pools, dies: no worker is touched, no call fails",
  runs: 20,
  shortRuns: 4,
  run: (session) =>
    session.each(60_000, async (chance, seed) => {
      let host = await session.shared(pools)
      let tree = await host.ask("tree", {})
      // what is not a pool, and what is in it; a supervisor below the root whose own supervisor has no restart left would end it all
      const parts = tree.children.filter(({ supervisor }) => supervisor !== undefined && supervisor.strategy !== "dynamic")
      const mortal = parts.flatMap((part) => [part, ...Tree.flatten(part.supervisor!)])
      const victim = mortal[seed % mortal.length]! // seeds follow each other: every one has its turn
      const above = victim.path.slice(0, victim.path.lastIndexOf("/"))
      const budget = above === tree.path ? tree.budgetLeft : parts.find(({ path }) => path === above)!.supervisor!.budgetLeft
      if (budget === 0) {
        await session.closeShared()
        host = await session.shared(pools)
        tree = await host.ask("tree", {})
      }
      await host.ask("keepBusy", { callersPerPool: 4 })
      await sleep(chance.between(0, 100))
      const workers = host.workers().map(({ pid, started, worker }) => `${worker} ${pid} ${started}`)
      const before = identities(tree)
      await host.ask("fail", { supervisor: above, child: victim.id })
      const isBack = async () => {
        const now = await host.ask("tree", {})
        return identities(now).get(victim.path) !== before.get(victim.path) && Tree.flatten(now).every(({ status }) => status === "running")
      }
      check(await until(isBack, (back) => back, 20_000), () => `${victim.path} was not up again within 20 s`)
      const now = host.workers().map(({ pid, started, worker }) => `${worker} ${pid} ${started}`)
      check(workers.join() === now.join(), () => `workers were ${workers.join(", ")} and are ${now.join(", ")}`)
      const { failed, problems, unknown } = host.account()
      check(failed + unknown === 0, () => `${failed} calls failed and of ${unknown} nobody knows: ${problems.join("; ")}`)
      return `${victim.path} died; ${workers.length} workers went on`
    })
}
