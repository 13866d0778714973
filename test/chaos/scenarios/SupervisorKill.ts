/**
 * Every supervisor of the live tree is killed, and its budget is spent by each of its children. Who goes with it, beside what the contract
 * says: by the tree's own generations, and by the processes of workers, Forkservers and Reapers as `/proc` has them.
 *
 * "Killed" is `failChild` on its own supervisor: law 2's form of OTP's `exit(Pid, Reason)`. A fiber has no kill from outside. Nothing
 * stands above the root, so that nothing can do this to it: a signal to the program is a stop in order. What can is that it gives up itself: its
 * budget is spent by each of its children, and the program ends with code 70 and leaves nothing.
 *
 * One harm a run, in an order that is always the same: run K of seed S does harm S+K of it, so that each can be repeated alone.
 */
import { Tree } from "snakepit"
import * as Chance from "../Chance.ts"
import { check } from "../Check.ts"
import { type Host, sleep, until, within } from "../Host.ts"
import { isMade } from "../Ledger.ts"
import * as Observer from "../Observer.ts"
import type { Scenario, Session } from "../Session.ts"
import * as Victims from "../Victims.ts"
import { stopGrace } from "./Settings.ts"

/** How often the child of a supervisor that never gives up is failed. */
const often = 4
/** A budget of two is spent in three starts; a pool's takes some seconds each. */
const doneMillis = 30_000
/** Beyond the capped backoff of every policy. */
const backMillis = 60_000
const harmMillis = 3 * 60_000
const exitGaveUp = 70
const order = 1 // any seed: neighbours in the tree shall not be neighbours in time

// budgets small enough to be spent in a moment, but more than one for what is above
const budget = { maxRestarts: 2, within: "1 minute" } as const
const pool = { size: 2, stopGrace, restart: { worker: budget, fleet: budget, pool: budget } }
const pools = { default: pool, other: { ...pool, size: 1 } }

/** `child`: the one by which the budget is spent. `undefined`: the supervisor is killed. */
interface Harm {
  readonly path: string
  readonly child: string | undefined
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"))
const idOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)
const inWords = ({ child, path }: Harm): string => child === undefined ? `${path} killed` : `${path} spent by its child ${child}`

/** All there are, in order. */
const harmsTo = (tree: Tree.SupervisorNode): ReadonlyArray<Harm> =>
  Chance.make(order).shuffled(
    [...Victims.supervisors(tree)].flatMap(([path, { children }]) => [
      ...(path === tree.path ? [] : [{ path, child: undefined }]),
      ...children.map(({ id }) => ({ path, child: id }))
    ])
  )

/** The paths of the tree that stand for a process, each with its identity as the observer sees it. */
const processes = (host: Host, tree: Tree.SupervisorNode): ReadonlyMap<string, string> => {
  const all = host.look()
  const nodes = Tree.flatten(tree)
  const pathOf = (pool: string, ...last: ReadonlyArray<string>) =>
    nodes.find(({ path }) => path.includes(`/${pool}/`) && path.endsWith(`/${last.join("/")}`))?.path
  const found = [
    ...Observer.workers(all).map((worker) => [pathOf(worker.pool, "fleet", String(worker.slot), "process"), worker] as const),
    ...Observer.forkservers(all).map((forkserver) => [pathOf(forkserver.pool, "forkserver"), forkserver] as const),
    ...Observer.reapers(all).map((reaper) => [pathOf(reaper.pool, "reaper"), reaper] as const)
  ]
  return new Map(found.flatMap(([path, process]) => path === undefined ? [] : [[path, Observer.key(process)] as const]))
}

/** All that there must be: a process for each slot, one Forkserver and one Reaper for each pool. */
const allThere = (tree: Tree.SupervisorNode, there: ReadonlyMap<string, string>): boolean =>
  Tree.flatten(tree).filter(({ id }) => ["process", "forkserver", "reaper"].includes(id)).every(({ path }) => there.has(path))

/** One harm to a host, and what became of its tree, its processes and its calls. */
const harm = async (session: Session, host: Host, next: Harm, chance: Chance.Chance, seed: number): Promise<string> => {
  const { child, path } = next
  const what = inWords(next)
  const contract = await host.ask("contract", {})
  await host.ask("keepBusy", { callersPerPool: 3, seed })
  await sleep(chance.between(50, 250))
  const look = async () => {
    const tree = await host.ask("tree", {})
    return { tree, identities: Victims.identities(tree), there: processes(host, tree) }
  }
  const before = await until(look, ({ there, tree }) => allThere(tree, there), doneMillis, 20)
  const { tree } = before
  check(allThere(tree, before.there), () => `the observer does not see all processes: ${[...before.there.keys()].join(", ")}`)
  const calls = host.ledger().length
  const prediction = child === undefined ? Victims.ofExit(contract, tree, path) : Victims.ofSpending(contract, tree, `${path}/${child}`)

  const done = child === undefined
    ? host.ask("fail", { supervisor: parentOf(path), child: idOf(path) })
    : host.ask("spend", { supervisor: path, child, most: Number.isFinite(budgetOf(tree, path)) ? 1000 : often })
  if (prediction._tag === "End") {
    done.catch(() => {}) // the program may end before it answers
    await session.ended(host, exitGaveUp)
    return `${what}: the program has ended with code ${exitGaveUp}`
  }
  const answered = await within(doneMillis, done.then(() => true))
  const standing = answered === true ? "" : Tree.render(await host.ask("tree", {}))
  check(answered === true, () => `${what}: not done within ${doneMillis} ms. The tree then:\n${standing}`)

  const isBack = (now: Awaited<ReturnType<typeof look>>) => {
    const changed = Victims.observed(before.identities, now.identities)
    const running = new Set(Tree.flatten(now.tree).filter(({ status }) => status === "running").map(({ path }) => path))
    return [...before.identities.keys()].every((path) => running.has(path)) && [...prediction.paths].every((path) => changed.has(path)) &&
      allThere(now.tree, now.there)
  }
  await until(look, isBack, backMillis, 20)
  await sleep(100) // whoever goes without being named goes now
  const after = await look()
  const standsThen = () => `\n${Tree.render(after.tree)}`
  const changed = Victims.observed(before.identities, after.identities)
  const replaced = new Set([...before.there].filter(([path, identity]) => after.there.get(path) !== identity).map(([path]) => path))
  const victims = new Set([...changed, ...replaced])
  const tooMany = [...victims].filter((path) => !prediction.paths.has(path))
  const tooFew = [...prediction.paths].filter((path) => !changed.has(path))
  const untouched = [...prediction.paths].filter((path) => before.there.has(path) && !replaced.has(path))
  session.add("victims", victims.size)
  session.add("differing", tooMany.length + tooFew.length + untouched.length)
  check(tooMany.length === 0, () => `${what}: not by contract, and gone all the same: ${tooMany.join(", ")}${standsThen()}`)
  check(tooFew.length === 0, () => `${what}: by contract, and still there or not back: ${tooFew.join(", ")}${standsThen()}`)
  check(untouched.length === 0, () => `${what}: these processes should have been replaced: ${untouched.join(", ")}${standsThen()}`)
  check(isBack(after), () => `${what}: not whole again after ${backMillis} ms${standsThen()}`)

  const innocent = new Set(Victims.unharmed(contract, tree, prediction.paths))
  const lines = host.ledger()
  const poolOf = new Map(lines.filter(isMade).map((call) => [call.id, call.pool]))
  const bad = lines.slice(calls).filter((line) =>
    "outcome" in line && line.outcome !== "completed" && innocent.has(poolOf.get(line.id) ?? "")
  )
  check(bad.length === 0, () => `${what}: calls of a pool that should not notice ended so: ${JSON.stringify(bad.slice(0, 5))}`)
  return `${what}: ${victims.size} victims, ${replaced.size} of them processes, as the contract says`
}

const budgetOf = (tree: Tree.SupervisorNode, path: string): number =>
  Victims.supervisors(tree).get(path)?.budgetLeft ?? Number.POSITIVE_INFINITY // JSON has null for it

/** The supervisor has a restart left above it, so that its own end goes no further. */
const hasRoom = (tree: Tree.SupervisorNode, path: string): boolean => path === tree.path || budgetOf(tree, parentOf(path)) >= 1

export const supervisorKill: Scenario = {
  name: "supervisor-kill",
  about: "every supervisor by path, killed, and its budget spent by each of its children: the victims are those that its contract names",
  mustSee: {
    events: [
      "snakepit.root_supervisor.restart",
      "snakepit.pools_supervisor.restart",
      "snakepit.pool_supervisor.restart",
      "snakepit.fleet_supervisor.restart",
      "snakepit.worker_supervisor.give_up",
      "snakepit.fleet_supervisor.give_up",
      "snakepit.pool_supervisor.give_up"
    ],
    holds: ["`differing` is 0: the victims are those of the contract", "calls to pools that are no victims complete"]
  },
  byHand: [
    "In the program: `const handle = yield* root.at(\"snakepit/pools/default\")`, then `yield* handle.failChild(\"control\", reason)`.",
    "Compare `tree` before and after with [the supervision tree](../architecture/supervision.md): generations grow where the contract says."
  ],
  touches: {
    ends: [
      "snakepit",
      "snakepit/foundation",
      "snakepit/telemetry",
      "snakepit/bridge",
      "snakepit/pools",
      "snakepit/pools/<key>",
      "snakepit/pools/<key>/fleet",
      "snakepit/pools/<key>/fleet/<key>",
      "snakepit/pools/<key>/control",
      "snakepit/pools/<key>/control/launcher"
    ],
    tries: []
  },
  runs: undefined,
  shortRuns: 6,
  sharesHost: true,
  run: async (session) => {
    const done = new Set<string>()
    let all = 0
    session.together = () => {
      const { runs = all } = session.options
      check(done.size === Math.min(runs, all), () => `there are ${all} harms, and ${done.size} were done in ${runs} runs`)
    }
    session.add("differing", 0)
    await session.each(harmMillis, async (chance, seed) => {
      let host = await session.shared(pools)
      const tree = await host.ask("tree", {})
      const harms = harmsTo(tree)
      all = harms.length
      session.plan(all)
      const next = harms[seed % all]!
      if (!hasRoom(tree, next.path)) {
        await session.closeShared()
        host = await session.shared(pools)
      }
      const line = await harm(session, host, next, chance, seed)
      done.add(inWords(next))
      session.add("harms", 1)
      return line
    }, false)
  }
}
