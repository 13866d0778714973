/** The time of the host does what time must not: its wall clock is set, or the host stands still for longer than a worker may be silent. */
import { check } from "../Check.ts"
import { type Host, sleep, until } from "../Host.ts"
import * as Ledger from "../Ledger.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import { allUp, identities, plenty, successor } from "./Settings.ts"

const size = 3
const beatMillis = 1000
const maxMissed = 2
/** `quiet` has no calls of its own accord: a worker of it can be killed without harm to a call. */
const heartbeat = { interval: `${beatMillis} millis`, maxMissed } as const
const pools = { default: { size, heartbeat }, quiet: { size: 1, heartbeat, restart: plenty } }
const hour = 3_600_000
const kinds = ["ahead", "back", "stopped"] as const
/** Beyond what a silent worker is given. */
const silentMillis = 1.5 * beatMillis * (maxMissed + 0.5)
const settleMillis = beatMillis * (maxMissed + 1) // by then whoever is to be found has been
const goesOnMillis = 10_000

/** A worker dies and is replaced whatever the clock says; and the host does see another time, by what it tells. */
const dies = async (host: Host, ahead: number): Promise<void> => {
  const [victim] = await allUp(host, "quiet", pools.quiet.size)
  const real = Date.now()
  Observer.signal(victim!, "SIGKILL")
  await successor(host, victim!)
  const told = host.events().findLast(({ attributes, name }) => name === "snakepit.process.exit" && attributes["pid"] === victim!.pid)
  const off = told === undefined ? Number.NaN : told.at - real - ahead
  check(Math.abs(off) < hour / 2, () => `the clock was set ${ahead} ms ahead, and a death at ${real} was told at ${told?.at}`)
}

export const clockJump: Scenario = {
  name: "clock-jump",
  about: "the host's wall clock is set an hour ahead or back, or the host is stopped for longer than a worker may be silent and goes on:" +
    " no call fails, no worker is taken for lost, and one that dies then is replaced",
  mustSee: {
    events: [],
    holds: ["`restarts` is 0, and no worker is another process", "every call completes", "calls go on after it"]
  },
  byHand: [
    "`kill -STOP <pid of the host>; sleep 5; kill -CONT <pid of the host>` while calls run.",
    "On a machine of your own: `date -s '+1 hour'`, and back.",
    "`pgrep -af snakepit.worker` shows the same pids; no `snakepit.watchdog.bite` is told."
  ],
  touches: {
    ends: [],
    tries: [
      "snakepit/pools/<key>/fleet/<key>/heartbeat",
      "snakepit/pools/<key>/fleet/<key>/watchdog",
      "snakepit/pools/<key>/reaper",
      "snakepit/pools/<key>/control/dispatcher"
    ]
  },
  runs: 30,
  shortRuns: kinds.length,
  sharesHost: true,
  run: async (session) => {
    const ahead = new WeakMap<Host, number>()
    session.add("restarts", 0)
    await session.each(60_000, async (chance, seed) => {
      const kind = kinds[seed % kinds.length]!
      const host = await session.shared(pools)
      await host.ask("keepBusy", { callersPerPool: size, seed, pools: ["default"] })
      const workers = identities(await allUp(host, "default", size))
      await sleep(chance.between(0, 1000)) // anywhere between two beats
      const events = host.events().length
      if (kind === "stopped") {
        Observer.signal(host.identity, "SIGSTOP")
        check(await until(() => Observer.isStopped(host.identity), (stopped) => stopped, 5000), () => "the host was not stopped by SIGSTOP")
        await sleep(silentMillis)
        Observer.signal(host.identity, "SIGCONT")
      } else {
        const millis = kind === "ahead" ? hour : -hour
        ahead.set(host, (ahead.get(host) ?? 0) + millis)
        await host.ask("setClock", { millis })
      }
      await sleep(settleMillis)
      const lines = host.ledger().length
      const completed = () => host.ledger().slice(lines).filter((line) => Ledger.isTold(line) && line.outcome === "completed").length
      check(
        await until(completed, (some) => some > 0, goesOnMillis) > 0,
        () => `${kind}: no call has completed since then for ${goesOnMillis} ms`
      )
      const told = host.events().slice(events).filter(({ name }) => /_supervisor\.(restart|give_up)$|watchdog\.bite$/.test(name))
      session.add("restarts", told.length)
      check(told.length === 0, () => `${kind}: nothing was wrong with anybody, and this was done: ${JSON.stringify(told.slice(0, 5))}`)
      const now = identities(await allUp(host, "default", size))
      check(now === workers, () => `${kind}: the workers were ${workers} and are ${now}`)
      const bad = host.ledger().filter((line) => Ledger.isTold(line) && line.outcome !== "completed")
      check(bad.length === 0, () => `${kind}: calls did not complete: ${JSON.stringify(bad.slice(0, 5))}`)
      await dies(host, ahead.get(host) ?? 0)
      session.add(kind, 1)
      return kind === "stopped"
        ? `the host stood still for ${silentMillis} ms, and nobody was taken for lost`
        : `the clock was set ${kind} an hour`
    })
  }
}
