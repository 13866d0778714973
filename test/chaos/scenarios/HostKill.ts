/** The host is killed while its workers do what makes an end hard. */
import { check } from "../Check.ts"
import { type Host, sleep } from "../Host.ts"
import * as Observer from "../Observer.ts"
import type { Scenario, Session } from "../Session.ts"
import { plenty, workerOf } from "./Settings.ts"

const size = 8
const quarter = size / 4
const pools = { default: { size, restart: plenty } }
/** Of the next start: what it sweeps does not depend on its size. */
const small = { default: { size: 1 } }

/** Starts the program again in the folders of the killed host. How many of its sockets, segments and journals are there then. */
const leftAfterNextStart = async (session: Session, killed: Host): Promise<number> => {
  const { sockets } = killed
  check(
    sockets.length === 1 && killed.isInJournal,
    () => `the killed host has left ${sockets.length} folders of sockets, and a journal: ${killed.isInJournal}`
  )
  const next = await session.start(small, { after: killed })
  const left = [
    ...sockets.filter((folder) => next.sockets.includes(folder)),
    ...killed.shared === undefined ? [] : [killed.shared],
    ...killed.isInJournal ? [killed.journalFile] : []
  ]
  check(left.length === 0, () => `the next start has left of the killed host: ${left.join(", ")}`)
  await session.close(next)
  return left.length
}

export const hostKill: Scenario = {
  name: "host-kill",
  about: "SIGKILL to a host of 8 workers, 2 holding the interpreter lock, 2 with grandchildren, 1 stopped: nothing is left within 2 s," +
    " nor after the next start",
  mustSee: {
    events: ["snakepit.process_registry.sweep"],
    holds: [
      "`survivors` is 0 after 2 s",
      "`segments` and `left` are 0: after the next start no folder of sockets, no segment in `/dev/shm` and no journal of the killed" +
      " host is there"
    ]
  },
  byHand: [
    "`kill -KILL <pid of the host>`.",
    "`pgrep -af snakepit` finds nothing; start the program again: `ls /dev/shm $XDG_RUNTIME_DIR` has nothing of the run before.",
    "`npm run snakepit -- doctor` says what dead hosts have left."
  ],
  touches: { ends: ["snakepit"], tries: [] },
  runs: 100,
  shortRuns: 2,
  sharesHost: false,
  run: (session) => {
    session.together = () =>
      check(session.figure("segments") === 0, () => `${session.figure("segments")} hosts left their segments to the next start`)
    session.add("left", 0)
    return session.each(120_000, async (chance, seed) => {
      const host = await session.start(pools)
      const call = (tool: "hold_lock_for_good" | "grandchildren") =>
        host.ask("call", tool === "grandchildren" ? { pool: "default", tool, seconds: 600 } : { pool: "default", tool })
      const harmed = new Set<number>()
      for (const tool of chance.shuffled(Array.from({ length: quarter }, () => ["hold_lock_for_good", "grandchildren"] as const).flat())) {
        harmed.add((await workerOf(host, await call(tool))).slot)
      }
      await host.ask("keepBusy", { callersPerPool: quarter, seed })
      const free = host.workers().filter(({ slot }) => !harmed.has(slot))
      Observer.signal(chance.of(free), "SIGSTOP")
      await sleep(chance.between(0, 400))
      const there = host.look().length
      const took = await session.kill(host, async () => session.add("left", await leftAfterNextStart(session, host)))
      session.millis.push(took)
      return `${there} processes were gone ${Math.round(took)} ms after the host`
    })
  }
}
