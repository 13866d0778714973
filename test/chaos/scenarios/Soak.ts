/**
 * Everything, again and again, on one host that must not grow.
 *
 * Memory, open files and zombies are looked at twice, after the warm-up and at the end: at rest, with workers that have just been started, so
 * that no segment of theirs counts, and after the garbage was collected.
 */
import type * as Chance from "../Chance.ts"
import { check } from "../Check.ts"
import { type Host, sleep, until } from "../Host.ts"
import { type Asked, type Crash, crashes } from "../host/Tools.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import { allUp, plenty, stopGrace, successor } from "./Settings.ts"

const settings = { restart: plenty, stopGrace, cancelGrace: "500 millis", heartbeat: { interval: "1 second" } } as const
const pools = { default: { size: 4, ...settings }, other: { size: 2, ...settings } }
const usualSeconds = 15 * 60 // the issue's own
const shortSeconds = 10
const warmUpShare = 1 / 4
const enoughSeconds = 10 * 60 // of less, what a program takes in its first minutes is most
const mostGrowth = 0.05 // the issue's own
const settleMillis = 2000 // timers of what is over, the last frames, the kernel's own clearing up
const harmMillis = 3 * 60_000
const stoppedMillis = 3500 // beyond what a silent worker is given
const foundationEveryMillis = 40_000 // its supervisor has three restarts a minute, and so has the root
const hour = 3_600_000

interface Harm {
  readonly name: string
  readonly act: (host: Host, chance: Chance.Chance) => Promise<unknown>
}

const victim = async (host: Host, chance: Chance.Chance) => chance.of(await allUp(host, "default", pools.default.size))

/** The end of a worker by this signal, and another one in its place. */
const signalled = (name: string, signal: NodeJS.Signals): Harm => ({
  name,
  act: async (host, chance) => {
    const worker = await victim(host, chance)
    Observer.signal(worker, signal)
    await successor(host, worker)
  }
})

/** A call, to its end. */
const called = (name: string, ask: (chance: Chance.Chance) => Asked): Harm => ({
  name,
  act: async (host, chance) => await host.ask("outcome", { id: await host.ask("call", ask(chance)) })
})

/** A child is failed through its supervisor. */
const failed = (supervisor: string, child: string): Harm => ({
  name: `${child} fails`,
  act: (host) => host.ask("fail", { supervisor: `snakepit/${supervisor}`, child })
})

const harms: ReadonlyArray<Harm> = [
  signalled("kill", "SIGKILL"),
  signalled("segfault", "SIGSEGV"),
  signalled("stop", "SIGSTOP"),
  called("crash", (chance) => ({ pool: "default", tool: "crash", how: chance.of(Object.keys(crashes) as ReadonlyArray<Crash>) })),
  called("poison", () => ({ pool: "default", tool: "again_crash", how: "abort" })),
  called("deadlock", () => ({ pool: "default", tool: "deadlock" })),
  called("deadlock holding the lock", () => ({ pool: "default", tool: "deadlock_holding_lock" })),
  called("endless", () => ({ pool: "default", tool: "endless" })),
  called("holding the lock", () => ({ pool: "default", tool: "hold_lock", seconds: 1 })),
  called("socket cut", (chance) => ({ pool: "default", tool: "cut", millis: chance.between(0, 100) })),
  called("large payload", (chance) => ({ pool: "default", tool: "again_copy", bytes: chance.between(1, 4) << 20 })),
  {
    name: "grandchildren",
    act: async (host, chance) => {
      const worker = await victim(host, chance)
      const id = await host.ask("call", { pool: "default", tool: "grandchildren", seconds: 600 })
      const find = () => host.journal().findLast((execution) => execution.id === id)?.pid
      const pid = await until(find, (pid) => pid !== undefined, 10_000)
      const parent = host.workers().find((worker) => worker.pid === pid) ?? worker
      Observer.signal(parent, "SIGKILL")
      await successor(host, parent)
    }
  },
  {
    name: "storm",
    act: async (host) => {
      const workers = await allUp(host, "other", pools.other.size)
      for (const worker of workers) Observer.signal(worker, "SIGKILL")
      await Promise.all(workers.map((worker) => successor(host, worker)))
    }
  },
  {
    name: "slow start",
    act: async (host, chance) => {
      const worker = await victim(host, chance)
      host.turn("default", "slow", 1)
      Observer.signal(worker, "SIGKILL")
      await successor(host, worker)
      host.turn("default", "slow", undefined)
    }
  },
  {
    name: "forkserver killed",
    act: async (host, chance) => Observer.signal(chance.of(Observer.forkservers(host.look())), "SIGKILL")
  },
  {
    name: "reaper killed",
    act: async (host) => {
      const workers = await allUp(host, "other", pools.other.size)
      const reaper = Observer.reapers(host.look()).find(({ pool }) => pool === "other")
      if (reaper !== undefined) Observer.signal(reaper, "SIGKILL")
      await Promise.all(workers.map((worker) => successor(host, worker)))
    }
  },
  {
    name: "host stopped",
    act: async (host) => {
      Observer.signal(host.identity, "SIGSTOP")
      await sleep(stoppedMillis)
      Observer.signal(host.identity, "SIGCONT")
    }
  },
  { name: "clock set", act: (host, chance) => host.ask("setClock", { millis: chance.of([-hour, hour]) }) },
  failed("pools/default/control", "dispatcher"),
  failed("pools/default/control", "launcher"),
  failed("telemetry", "event_log"),
  failed("bridge", "gateway")
]

/** Harm that must be rare. */
const rare = failed("foundation", "process_registry")

/** The host at rest. `heap`: what its objects take of its memory. */
interface Rest {
  readonly memory: number
  readonly heap: number
  readonly files: number
  readonly zombies: number
}

const measure = async (host: Host): Promise<Rest> => {
  await host.ask("rest", {})
  for (const [pool, { size }] of Object.entries(pools)) {
    const workers = await allUp(host, pool, size)
    for (const worker of workers) Observer.signal(worker, "SIGKILL")
    await Promise.all(workers.map((worker) => successor(host, worker)))
  }
  await sleep(settleMillis)
  const heap = await host.ask("collect", {})
  const zombies = await until(() => Observer.zombies(host.identity.pid).length, (zombies) => zombies === 0, 5000)
  return { heap, memory: Observer.memory(host.identity), files: Observer.openFiles(host.identity), zombies }
}

const percent = (share: number): number => Math.round(share * 1000) / 10

const megabytes = (bytes: number): number => Math.round(bytes / 2 ** 20)

export const soak: Scenario = {
  name: "soak",
  about: "for 15 minutes (--seconds) everything that the other scenarios do, in random order under load: the host's memory grows by at" +
    " most 5 % after its warm-up, its open files are as many as before, no zombie is left",
  mustSee: {
    events: ["snakepit.process.exit", "snakepit.worker_supervisor.restart", "snakepit.worker_supervisor.recover"],
    holds: [
      "`growthPercent` is at most 5 after ten minutes or more",
      "`moreFiles` and `zombies` are 0",
      "`lost` and `twice` are 0",
      "every worker is back after each harm"
    ]
  },
  byHand: [
    "`npm run chaos -- --scenario soak --seconds 7200`",
    "Of an application of your own, before and after a day: `grep VmRSS /proc/<pid>/status`, `ls /proc/<pid>/fd | wc -l`, `ps --ppid" +
    " <pid> -o stat= | grep -c Z`."
  ],
  touches: {
    ends: [
      "snakepit/foundation/process_registry",
      "snakepit/telemetry/event_log",
      "snakepit/bridge/gateway",
      "snakepit/pools/<key>/reaper",
      "snakepit/pools/<key>/fleet/<key>/process",
      "snakepit/pools/<key>/fleet/<key>/channel",
      "snakepit/pools/<key>/control/dispatcher",
      "snakepit/pools/<key>/control/launcher",
      "snakepit/pools/<key>/control/launcher/forkserver"
    ],
    tries: ["snakepit/pools/<key>/fleet/<key>/heartbeat", "snakepit/pools/<key>/fleet/<key>/watchdog"]
  },
  runs: 1,
  shortRuns: 1,
  sharesHost: true,
  run: async (session) => {
    const { seconds = session.options.short ? shortSeconds : usualSeconds, say } = session.options
    session.add("zombies", 0)
    await session.each(seconds * 1000 + harmMillis, async (chance, seed) => {
      const host = await session.shared(pools, { flags: ["--expose-gc"] })
      let deck: Array<Harm> = []
      let done = 0
      let foundation = performance.now()
      const harmUntil = async (end: number) => {
        await host.ask("keepBusy", { callersPerPool: 4, seed: chance.between(0, seed) })
        while (performance.now() < end) {
          if (deck.length === 0) deck = chance.shuffled(harms)
          const isRare = performance.now() - foundation > foundationEveryMillis
          if (isRare) foundation = performance.now()
          const { act, name } = isRare ? rare : deck.pop()!
          await act(host, chance)
          for (const [pool, { size }] of Object.entries(pools)) await allUp(host, pool, size)
          await sleep(chance.between(0, 200))
          if (++done % 50 === 0) say(`soak  ${done} harms, the last: ${name}; ${megabytes(Observer.memory(host.identity))} MiB`)
        }
      }
      const began = performance.now()
      await harmUntil(began + seconds * 1000 * warmUpShare)
      const warm = await measure(host)
      await harmUntil(began + seconds * 1000)
      const end = await measure(host)
      const growth = end.memory / warm.memory - 1
      session.add("harms", done)
      session.add("growthPercent", percent(growth))
      session.add("heapGrowthPercent", percent(end.heap / warm.heap - 1))
      session.add("moreFiles", end.files - warm.files)
      session.add("zombies", end.zombies)
      const told = `${megabytes(warm.memory)} MiB after the warm-up and ${megabytes(end.memory)} MiB at the end`
      check(seconds < enoughSeconds || growth <= mostGrowth, () => `the host had ${told}`)
      check(end.files <= warm.files, () => `the host had ${warm.files} files open after the warm-up, and has ${end.files}`)
      check(warm.zombies + end.zombies === 0, () => `${warm.zombies} zombies were left after the warm-up, and ${end.zombies} at the end`)
      return `${done} harms; ${told}, ${warm.files} and ${end.files} open files`
    })
  }
}
