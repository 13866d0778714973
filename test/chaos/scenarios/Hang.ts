/** Workers that will never answer again, each in its own way. */
import { check } from "../Check.ts"
import type { Host } from "../Host.ts"
import { limitMillis } from "../host/Tools.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import * as Spread from "../Spread.ts"
import { allUp, plenty, replaced, stopGrace, successor, workerOf } from "./Settings.ts"

const cancelGraceMillis = 500
const foundMillis = 20_000 // far beyond any threshold: a run that takes longer has found nothing
const bound = 3000 // of the 99th percentile
const enough = 40 // runs: of fewer, the percentile is the one that the machine held up longest
/** Each kind, and as what it must be found. */
const causes = { SIGSTOP: "WorkerStopped", deadlock_holding_lock: "WorkerHung", deadlock: "CallOverran", endless: "CallOverran" } as const
const kinds = ["SIGSTOP", "deadlock_holding_lock", "deadlock", "endless"] as const
/** Those that leave the interpreter lock free are found by the call's limit alone: their time counts from there. */
const afterLimit: ReadonlySet<string> = new Set(["deadlock", "endless"])
const pools = {
  default: {
    size: 5,
    restart: plenty,
    stopGrace,
    cancelGrace: `${cancelGraceMillis} millis`,
    heartbeat: { interval: "1 second" } // the issue's own
  }
} as const

interface Begun {
  readonly worker: Observer.Worker
  readonly began: number
}

/** Each kind on a worker of its own. The signal comes last: a stopped worker would be given a call, and never begin it. */
const begin = async (host: Host, round: ReadonlyArray<typeof kinds[number]>): Promise<ReadonlyMap<string, Begun>> => {
  await allUp(host, "default", pools.default.size)
  const begun = new Map<string, Begun>()
  for (const tool of round) {
    if (tool === "SIGSTOP") continue
    const began = Date.now()
    begun.set(tool, { worker: await workerOf(host, await host.ask("call", { pool: "default", tool })), began })
  }
  if (!round.includes("SIGSTOP")) return begun
  const hung = new Set([...begun.values()].map(({ worker }) => worker.slot))
  const worker = host.workers().find(({ slot }) => !hung.has(slot))!
  begun.set("SIGSTOP", { worker, began: Date.now() })
  Observer.signal(worker, "SIGSTOP")
  return begun
}

export const hang: Scenario = {
  name: "hang",
  about: "SIGSTOP, a deadlock holding the interpreter lock; a deadlock and an endless loop, after their limit: all found, and of 40 runs" +
    " p99 of millis ≤ 3 s",
  mustSee: {
    events: [
      "snakepit.watchdog.verdict",
      "snakepit.watchdog.bite",
      "snakepit.worker_supervisor.restart",
      "snakepit.worker_supervisor.recover"
    ],
    holds: [
      "each kind is found as what it is: `WorkerStopped`, `WorkerHung`, `CallOverran`",
      "the 99th percentile of 40 `millis` is at most 3 s"
    ]
  },
  byHand: [
    "Call a tool that takes a `threading.Lock` twice, with `Tool.CallTimeout` in its contract; or `kill -STOP` its worker.",
    "`snakepit.watchdog.bite` says what it was found to be and by which evidence."
  ],
  touches: {
    ends: ["snakepit/pools/<key>/fleet/<key>/process"],
    tries: ["snakepit/pools/<key>/fleet/<key>/heartbeat", "snakepit/pools/<key>/fleet/<key>/watchdog"]
  },
  runs: 40,
  shortRuns: 4,
  sharesHost: true,
  run: async (session) => {
    session.together = () => {
      if (session.millis.length < enough) return
      const p99 = Spread.of(session.millis)?.p99 ?? 0
      check(p99 <= bound, () => `the 99th percentile of the times until found is ${p99} ms, and must be at most ${bound} ms`)
    }
    const { runs = 0 } = session.options
    for (let first = 0; first < runs && !session.isOver; first += kinds.length) {
      // seeds follow each other: a round has one of each kind
      const round = kinds.map((_, offset) => kinds[session.seedOf(first + offset) % kinds.length]!).slice(0, runs - first)
      const host = session.shared(pools)
      const begun = host.then((host) => begin(host, round))
      begun.catch(() => {}) // each run is told
      await Promise.all(round.map((kind, offset) =>
        session.run(first + offset, 60_000, async () => {
          const { began, worker } = (await begun).get(kind)!
          const restart = await replaced(await host, worker, began, foundMillis)
          check(restart !== undefined, () => `${kind} of ${worker.worker} was not found within ${foundMillis} ms`)
          check(restart.tag === causes[kind], () => `${kind} must be found as ${causes[kind]}, and was as: ${restart.cause}`)
          session.add("found", 1)
          const took = restart.at - began - (afterLimit.has(kind) ? limitMillis + cancelGraceMillis : 0)
          session.millis.push(took)
          await successor(await host, worker)
          return `${kind} of ${worker.worker} found ${took} ms after ${afterLimit.has(kind) ? "its limit" : "it began"}: ${restart.cause}`
        })
      ))
    }
  }
}
