/** Every supervisor of the live tree: its fiber killed, and its budget spent. Who goes with it, beside what the contract says. */
import { type Contract, Tree } from "snakepit"
import type { Chance } from "../Chance.ts"
import { check } from "../Check.ts"
import { type Host, sleep, until, within } from "../Host.ts"
import type { Scenario, Session } from "../Session.ts"
import * as Victims from "../Victims.ts"
import { stopGrace } from "./Settings.ts"

/** How often the child of a supervisor that never gives up is failed. */
const often = 4
/** A budget of two is spent in three starts; a pool's takes some seconds each. */
const doneMillis = 30_000
/** Beyond the capped backoff of every policy. */
const backMillis = 60_000
const shortHarms = 6

// budgets small enough to be spent in a moment, but more than one for what is above
const budget = { maxRestarts: 2, within: "1 minute" } as const
const pool = { size: 2, stopGrace, restart: { worker: budget, fleet: budget, pool: budget } }
const pools = { default: pool, other: { ...pool, size: 1 } }

interface Harm {
  readonly path: string
  readonly how: "kill" | "spend"
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"))
const idOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

/** The paths of the tree whose processes the observer can tell, each with the identity of its process. */
const processes = (host: Host, tree: Tree.SupervisorNode): ReadonlyMap<string, string> => {
  const all = host.look()
  const pathOf = (pool: string, ...last: ReadonlyArray<string>) =>
    Tree.flatten(tree).find(({ path }) => path.includes(`/${pool}/`) && path.endsWith(`/${last.join("/")}`))?.path
  const workers = host.workers()
  const found = new Map<string, string>()
  for (const worker of workers) {
    const path = pathOf(worker.pool, String(worker.slot), "process")
    if (path !== undefined) found.set(path, `${worker.pid}.${worker.started}`)
    const reaper = all.find(({ pid }) => pid === worker.parent)
    const reaperPath = pathOf(worker.pool, "reaper")
    if (reaper !== undefined && reaperPath !== undefined) found.set(reaperPath, `${reaper.pid}.${reaper.started}`)
  }
  return found
}

/** One harm to a host, and what became of its tree, its processes and its calls. */
const harm = async (session: Session, host: Host, contract: Contract.Contract, { how, path }: Harm, chance: Chance): Promise<string> => {
  await host.ask("keepBusy", { callersPerPool: 3 })
  await sleep(chance.between(50, 250))
  const tree = await host.ask("tree", {})
  const before = Victims.identities(tree)
  const processesBefore = processes(host, tree)
  const calls = host.ledger().length
  const child = chance.of(Victims.supervisors(tree).get(path)!.children).id
  const prediction = how === "kill" ? Victims.ofExit(contract, tree, path) : Victims.ofSpending(contract, tree, `${path}/${child}`)
  const what = how === "kill" ? `${path} killed` : `${path} spent by its child ${child}`

  if (how === "kill" && path === tree.path) {
    host.interrupt()
    await session.ended(host, 130)
    return `${what}: the program has ended with code 130`
  }
  const done = how === "kill"
    ? host.ask("fail", { supervisor: parentOf(path), child: idOf(path) })
    : host.ask("spend", { supervisor: path, child, most: Number.isFinite(budgetOf(tree, path)) ? 1000 : often })
  if (prediction._tag === "End") {
    done.catch(() => {}) // the program may end before it answers
    await session.ended(host, 70)
    return `${what}: the program has ended with code 70`
  }
  const answered = await within(doneMillis, done.then(() => true))
  const standing = answered === true ? "" : Tree.render(await host.ask("tree", {}))
  check(answered === true, () => `${what}: not done within ${doneMillis} ms. The tree then:\n${standing}`)

  const look = async () => {
    const now = await host.ask("tree", {})
    return { now, changed: Victims.observed(before, Victims.identities(now)), there: processes(host, now) }
  }
  const isBack = ({ changed, now, there }: Awaited<ReturnType<typeof look>>) =>
    [...before.keys()].every((path) => Tree.flatten(now).some((child) => child.path === path && child.status === "running")) &&
    [...prediction.paths].every((path) => changed.has(path)) && [...processesBefore.keys()].every((path) => there.has(path))
  await until(look, isBack, backMillis, 20)
  await sleep(100) // whoever goes without being named goes now
  const { changed, now, there } = await look()
  const victims = new Set([
    ...changed,
    ...[...processesBefore].filter(([path, identity]) => there.get(path) !== identity).map(([path]) => path)
  ])
  const tooMany = [...victims].filter((path) => !prediction.paths.has(path))
  const tooFew = [...prediction.paths].filter((path) => !victims.has(path))
  const untouched = [...prediction.paths].filter((path) => processesBefore.has(path) && there.get(path) === processesBefore.get(path))
  session.add("victims", victims.size)
  session.add("differing", tooMany.length + tooFew.length + untouched.length)
  check(tooMany.length === 0, () => `${what}: not by contract, and gone all the same: ${tooMany.join(", ")}\n${Tree.render(now)}`)
  check(tooFew.length === 0, () => `${what}: by contract, and still there or not back: ${tooFew.join(", ")}\n${Tree.render(now)}`)
  check(untouched.length === 0, () => `${what}: these processes should have been replaced: ${untouched.join(", ")}`)

  const innocent = new Set(Victims.unharmed(contract, tree, prediction.paths))
  const lines = host.ledger()
  const poolOf = new Map(lines.flatMap((line) => "tool" in line ? [[line.id, line.pool] as const] : []))
  const bad = lines.slice(calls).filter((line) =>
    "outcome" in line && line.outcome !== "completed" && innocent.has(poolOf.get(line.id) ?? "")
  )
  check(bad.length === 0, () => `${what}: calls of a pool that should not notice ended so: ${JSON.stringify(bad.slice(0, 5))}`)
  return `${what}: ${victims.size} victims, as the contract says`
}

const budgetOf = (tree: Tree.SupervisorNode, path: string): number =>
  Victims.supervisors(tree).get(path)?.budgetLeft ?? Number.POSITIVE_INFINITY // JSON has null for it

/** The supervisor has a restart left above it, so that its own end goes no further. */
const hasRoom = (tree: Tree.SupervisorNode, path: string): boolean => path === tree.path || budgetOf(tree, parentOf(path)) >= 1

export const supervisorKill: Scenario = {
  name: "supervisor-kill",
  about: "every supervisor by path, its fiber killed and its budget spent: the victims are those that its contract names",
  runs: 1,
  shortRuns: 1,
  run: (session) =>
    session.each(30 * 60_000, async (chance) => {
      let host = await session.shared(pools)
      const contract = await host.ask("contract", {})
      const first = await host.ask("tree", {})
      const paths = [...Victims.supervisors(first).keys()]
      for (const path of paths) Victims.contractAt(contract, path) // each has one, or this throws
      const below = paths.filter((path) => path !== first.path)
      const harms = chance.shuffled(below.flatMap((path): ReadonlyArray<Harm> => [{ path, how: "kill" }, { path, how: "spend" }]))
      const chosen: ReadonlyArray<Harm> = [
        ...(session.options.short ? harms.slice(0, shortHarms) : harms),
        { path: first.path, how: "spend" },
        { path: first.path, how: "kill" }
      ]
      for (const next of chosen) {
        host = await session.shared(pools)
        if (!hasRoom(await host.ask("tree", {}), next.path)) {
          await session.closeShared()
          host = await session.shared(pools)
        }
        const line = await harm(session, host, contract, next, chance)
        session.options.say(`supervisor-kill  ${line}`)
      }
      session.add("harms", chosen.length)
      return `${chosen.length} harms to ${paths.length} supervisors`
    })
}
