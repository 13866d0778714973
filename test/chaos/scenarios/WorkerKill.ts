/** Workers are killed at random moments, twenty calls for each kill. */
import { check } from "../Check.ts"
import { type Host, sleep, until } from "../Host.ts"
import * as Ledger from "../Ledger.ts"
import * as Observer from "../Observer.ts"
import type { Scenario, Session } from "../Session.ts"
import { plenty } from "./Settings.ts"

const callsPerKill = 20
const mostMillis = 40 // long beside what the host takes to write an outcome down: who seems to run a call does
const pools = { default: { size: 4, restart: plenty } }
/** Of the kills, so many must hit a call that runs, and one that must not run twice: fewer show nothing. */
const hitShare = 1 / 3
const hitOnceShare = 1 / 10

/** The calls that have begun on this worker, and whose callers know nothing yet. */
const runningOn = (host: Host, { pid }: Observer.Worker): ReadonlyArray<Ledger.Made> =>
  Ledger.running({ ledger: host.ledger(), journal: host.journal() }).get(pid) ?? []

const bite = (session: Session): void => {
  const kills = session.figure("kills")
  for (const [figure, share] of [["hit", hitShare], ["hitOnce", hitOnceShare]] as const) {
    const floor = Math.floor(kills * share)
    const found = session.figure(figure)
    check(found >= floor, () => `${figure} is ${found} after ${kills} kills, and must be at least ${floor}`)
  }
  const felt = session.count("unknown") + session.count("failed")
  check(felt > 0 || Math.floor(kills * hitOnceShare) === 0, () => `after ${kills} kills no caller was told of any`)
}

export const workerKill: Scenario = {
  name: "worker-kill",
  about: "SIGKILL to a worker at a random moment of 20 calls, half of them not idempotent: none lost, none run twice; hit: kills of a" +
    " worker with a call, hitOnce: with one that is not idempotent",
  mustSee: {
    events: ["snakepit.process.exit", "snakepit.worker_supervisor.restart", "snakepit.worker_supervisor.recover", "snakepit.call.retry"],
    holds: ["`lost` and `twice` are 0", "`survivors` is 0", "`escalations` is 0, with restarts left"]
  },
  byHand: [
    "Find a worker: `pgrep -af snakepit.worker` shows `snakepit.worker default/3` and its like.",
    "While calls run: `kill -KILL <pid>`.",
    "Callers of idempotent calls notice nothing; of the others, the one whose call ran there is told `WorkerCrashed`."
  ],
  touches: { ends: ["snakepit/pools/<key>/fleet/<key>/process"], tries: [] },
  runs: 300,
  shortRuns: 20,
  sharesHost: true,
  run: async (session) => {
    session.together = () => bite(session)
    await session.each(60_000, async (chance, seed) => {
      const host = await session.shared(pools)
      const load = host.ask("load", { calls: callsPerKill, callers: callsPerKill / 2, seed, mostMillis })
      load.catch(() => {}) // it is waited for below, if this run gets so far
      await sleep(chance.between(0, 60)) // about half of what the calls take
      const workers = await until(() => host.workers(), (workers) => workers.length > 0, 30_000)
      check(workers.length > 0, () => "no worker came up within 30 s")
      const working = chance.between(0, 4) > 0 // now and then one that is idle, or still starting
        ? await until(() => workers.filter((worker) => runningOn(host, worker).length > 0), (working) => working.length > 0, 100, 1)
        : workers
      const victim = chance.of(working.length > 0 ? working : workers)
      const hit = runningOn(host, victim)
      Observer.signal(victim, "SIGKILL")
      const alive = await until(() => Observer.isAlive(victim), (alive) => !alive, 2000, 1)
      check(!alive, () => `${victim.worker}, pid ${victim.pid}, is alive 2 s after SIGKILL`)
      await load
      session.add("kills", 1)
      session.add("hit", hit.length > 0 ? 1 : 0)
      session.add("hitOnce", hit.some(({ idempotent }) => !idempotent) ? 1 : 0)
      return `killed ${victim.worker}, pid ${victim.pid}, in ${hit.map(({ id, tool }) => `call ${id} of ${tool}`).join(", ") || "no call"}`
    })
  }
}
