/**
 * The host is killed during its shutdown.
 *
 * What is a step: what a shutdown must tell, by the contract of the live tree: every supervisor's `terminate`, every process's end, the end
 * of the roster; and the failures of the two calls that it ends. One shutdown without a kill must tell them all, and says how much time
 * lies between. The host stops itself right after it has told a step, and is killed there: each step is hit exactly, or the run fails.
 *
 * Much of a shutdown tells nothing: the end of channels, heartbeats and watchdogs, of the Dispatcher, of the Reaper, the removal of
 * sockets, folders, cgroup and journal, Node's own exit. For those the host is killed at a few moments of each gap between two steps, so many
 * milliseconds after the first. Which of them such a kill has hit nobody can say; a shutdown that is faster than the measured one may be over
 * before, and then it counts as missed: at most half of them may.
 */
import { Contract, type Tree } from "snakepit"
import type { Chance } from "../Chance.ts"
import { check } from "../Check.ts"
import { type Host, until } from "../Host.ts"
import { firstStep, lastStep, stepOf } from "../host/Protocol.ts"
import * as Observer from "../Observer.ts"
import type { Scenario, Session } from "../Session.ts"
import { plenty, stopGrace, workerOf } from "./Settings.ts"

const reachMillis = 20_000
const size = 3
const pools = { default: { size, restart: plenty, stopGrace } }
/** Its supervisors, the ends of its workers and of its Forkserver, its roster, before and after: a smaller contract is not this one. */
const fewestSteps = 15
/** Parts of a gap at which it is killed; of one too short for that, a millisecond after its beginning. */
const moments = [0.25, 0.5, 0.75]
const shortGapMillis = 4
const shortSteps = 2
const shortMoments = 1
const leastHit = 0.5
const wholeMillis = 20 * 60_000 // some sixty hosts, each up within seconds

/** A moment of a shutdown. */
interface Moment {
  readonly step: string
  readonly afterMillis: number
}

/** How the end of a child that is no supervisor is told, where it is. */
const endings: { readonly [child: string]: string } = {
  process: "snakepit.process.exit",
  forkserver: "snakepit.forkserver.exit",
  roster: "snakepit.pool.close"
}

/** What a shutdown must tell, by the contract of what runs. */
const promised = (root: Contract.Contract, tree: Tree.SupervisorNode): ReadonlyArray<string> => {
  const bound = Contract.bind(root, tree)
  const supervisors = Contract.flatten(bound).map(({ contract, path }) =>
    stepOf({ name: contract.events.find((name) => name.endsWith(".terminate"))!, attributes: { path } })
  )
  const others = Contract.children(bound).flatMap(({ child, path }) => {
    const name = endings[child.id]
    const [, pool, slot] = /\/pools\/([^/]+)(?:\/fleet\/(\d+))?\//.exec(path) ?? []
    return name === undefined || pool === undefined ? [] : [stepOf({ name, attributes: { pool, ...(slot === undefined ? {} : { slot }) } })]
  })
  return [firstStep, ...supervisors, ...others, lastStep]
}

const misbehaving = ["grandchildren", "ignore_sigterm"] as const

/** A host under load, with grandchildren and a worker that ignores SIGTERM. */
const laden = async (session: Session, seed: number): Promise<Host> => {
  const host = await session.start(pools)
  for (const tool of misbehaving) {
    await workerOf(host, await host.ask("call", { pool: "default", tool, seconds: 600 }))
  }
  await host.ask("keepBusy", { callersPerPool: 2, seed })
  return host
}

/** Something that is told, and how long nothing else is. `isSure`: every shutdown tells it. */
interface Step {
  readonly step: string
  readonly gap: number
  readonly isSure: boolean
}

/** One shutdown that nobody disturbs: its steps in order, each with the time until the next. */
const undisturbed = async (session: Session, seed: number): Promise<ReadonlyArray<Step>> => {
  const host = await laden(session, seed)
  const must = promised(await host.ask("contract", {}), await host.ask("tree", {}))
  check(must.length >= fewestSteps, () => `the contract promises only these steps: ${must.join(", ")}`)
  const before = host.events().length
  const began = Date.now()
  host.look()
  await host.ask("end", {})
  await host.ended
  const events = host.events().slice(before)
  await session.ended(host, 0)
  const told = [
    { step: firstStep, at: began },
    ...events.filter(({ at }) => at >= began).map((event) => ({ step: stepOf(event), at: event.at }))
  ]
  const sure = new Set([...must, ...misbehaving.map((tool) => stepOf({ name: "snakepit.call.fail", attributes: { tool } }))])
  const missing = [...sure].filter((step) => !told.some((one) => one.step === step))
  check(missing.length === 0, () => `a shutdown must have these steps, and told nothing of them: ${missing.join(", ")}`)
  const twice = must.filter((step) => told.filter((one) => one.step === step).length > 1)
  check(twice.length === 0, () => `these steps were told more than once: ${twice.join(", ")}`)
  return told.map(({ at, step }, index) => ({
    step,
    gap: (told[index + 1]?.at ?? at) - at,
    isSure: sure.has(step)
  }))
}

/** Kills a host there. `false` when its shutdown was over before. */
const killAt = async (session: Session, seed: number, { afterMillis, step }: Moment): Promise<boolean> => {
  const host = await laden(session, seed)
  host.look()
  host.ask("end", { stopAt: step, afterMillis }).catch(() => {}) // it may stop before it has answered
  const reached = await until(
    () => host.hasEnded ? "over" : Observer.isStopped(host.identity) ? "stopped" : "goes on",
    (now) => now !== "goes on",
    reachMillis,
    1
  )
  check(reached !== "goes on", () => `the shutdown was neither over nor at "${step}" within ${reachMillis} ms${host.said}`)
  if (reached === "over") {
    await session.ended(host, 0)
    return false
  }
  const last = host.events().at(-1)!
  check(afterMillis > 0 || step === firstStep || stepOf(last) === step, () => `it was to stop at "${step}", and did at "${stepOf(last)}"`)
  const there = host.look().length
  const took = await session.kill(host)
  session.millis.push(took)
  const when = afterMillis === 0 ? step : `${afterMillis} ms after "${step}", at "${stepOf(last)}"`
  session.options.say(`host-kill-during-shutdown  ${when}: ${there} processes gone after ${Math.round(took)} ms`)
  return true
}

/** So many of them in the short form, all otherwise. */
const some = <A>(session: Session, chance: Chance, all: ReadonlyArray<A>, short: number): ReadonlyArray<A> =>
  session.options.short ? chance.shuffled(all).slice(0, short) : all

export const hostKillDuringShutdown: Scenario = {
  name: "host-kill-during-shutdown",
  about: "SIGKILL to the host at every step of its shutdown that is told, and at moments between them: nothing is left",
  mustSee: {
    events: ["snakepit.root_supervisor.terminate", "snakepit.pool.close", "snakepit.process.exit"],
    holds: ["every step that the contracts promise is told once", "`survivors` is 0 whichever step was the last"]
  },
  byHand: [
    "`kill -TERM <pid of the host>; sleep 0.05; kill -KILL <pid of the host>`, with other times.",
    "`pgrep -af snakepit` finds nothing."
  ],
  touches: { ends: ["snakepit"], tries: [] },
  runs: 1,
  shortRuns: 1,
  sharesHost: false,
  run: (session) =>
    session.each(wholeMillis, async (chance, seed) => {
      const shutdown = await undisturbed(session, seed)
      const sure = shutdown.filter(({ isSure }) => isSure)
      const steps = some(session, chance, sure, shortSteps).map(({ step }): Moment => ({ step, afterMillis: 0 }))
      for (const moment of steps) {
        check(await killAt(session, seed, moment), () => `the shutdown was over and had not been at "${moment.step}"`)
      }
      const gaps = sure.flatMap(({ gap, step }): ReadonlyArray<Moment> => {
        if (gap >= shortGapMillis) return moments.map((part) => ({ step, afterMillis: Math.max(1, Math.round(gap * part)) }))
        return gap > 0 || step === lastStep ? [{ step, afterMillis: 1 }] : []
      })
      const between = some(session, chance, gaps, shortMoments)
      let hit = 0
      for (const moment of between) hit += await killAt(session, seed, moment) ? 1 : 0
      session.add("steps", steps.length)
      session.add("between", hit)
      session.add("missed", between.length - hit)
      check(
        session.options.short || hit >= between.length * leastHit,
        () => `of ${between.length} moments between two steps only ${hit} were hit`
      )
      return `killed at ${steps.length} of ${sure.length} steps, and at ${hit} moments between`
    })
}
