/** The host is killed at each step of its shutdown in turn. */
import { check } from "../Check.ts"
import { until } from "../Host.ts"
import * as Observer from "../Observer.ts"
import type { Scenario, Session } from "../Session.ts"
import { plenty, stopGrace, workerOf } from "./Settings.ts"

const mostSteps = 200 // far more than a shutdown of two workers has
const usualSteps = 19 // what it has at least, and a step beyond the end only ends the host in order
const shortSteps = 3
const moments = 10
const reachMillis = 20_000
const pools = { default: { size: 3, restart: plenty, stopGrace } }

/** Kills a host at the step of this number. `undefined` when its shutdown was over before. */
const killAt = async (session: Session, seed: number, step: number, afterMillis: number): Promise<string | undefined> => {
  const host = await session.start(pools, seed)
  for (const tool of ["grandchildren", "ignore_sigterm"] as const) {
    await workerOf(host, await host.ask("call", { pool: "default", tool, seconds: 600 }))
  }
  await host.ask("keepBusy", { callersPerPool: 2 })
  const before = host.events().length
  host.look()
  host.ask("end", { stopAt: step, afterMillis }).catch(() => {}) // it may stop before it has answered
  let over = false
  void host.ended.then(() => {
    over = true
  })
  const reached = await until(
    () => over ? "over" : Observer.isStopped(host.identity) ? "stopped" : "goes on",
    (now) => now !== "goes on",
    reachMillis,
    1
  )
  check(reached !== "goes on", () => `the shutdown was neither over nor at step ${step} within ${reachMillis} ms${host.said}`)
  if (reached === "over") {
    await session.ended(host, 0)
    return undefined
  }
  const at = host.events().slice(before).at(-1)
  const there = host.look().length
  const took = await session.kill(host)
  session.millis.push(took)
  const name = step === 0 || at === undefined
    ? "before anything"
    : `${at.name} ${at.attributes["path"] ?? at.attributes["slot"] ?? ""}`.trimEnd()
  return `step ${step}${afterMillis === 0 ? "" : ` and ${afterMillis} ms`} (${name}): ${there} processes gone after ${Math.round(took)} ms`
}

export const hostKillDuringShutdown: Scenario = {
  name: "host-kill-during-shutdown",
  about: "SIGKILL to the host at every step of its shutdown, and at random moments between: nothing is left",
  runs: 1,
  shortRuns: 1,
  run: (session) =>
    session.each(mostSteps * 3000, async (chance, seed) => {
      let killed = 0
      const at = async (step: number, afterMillis: number) => {
        const line = await killAt(session, seed, step, afterMillis)
        if (line === undefined) return false
        killed++
        session.options.say(`host-kill-during-shutdown  ${line}`)
        return true
      }
      if (!session.options.short) {
        let step = 0
        while (step < mostSteps && await at(step, 0)) step++
        check(step < mostSteps, () => `the shutdown had no end within ${mostSteps} steps`)
        session.add("steps", step)
      } else {
        for (const step of chance.shuffled(Array.from({ length: usualSteps }, (_, step) => step)).slice(0, shortSteps)) await at(step, 0)
      }
      for (let moment = 0; moment < (session.options.short ? 1 : moments); moment++) {
        await at(chance.between(0, usualSteps - 1), chance.between(1, 400))
      }
      session.add("kills", killed)
      return `killed at ${killed} moments`
    })
}
