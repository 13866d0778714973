/** The host is killed while it records: what its history has acknowledged is there at the next start. */
import * as SqliteStore from "@snakepit/telemetry/history/sqlite/SqliteStore"
import { Effect, Stream } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Contract, Snakepit } from "snakepit"
import { check } from "../Check.ts"
import { sleep } from "../Host.ts"
import type { Scenario, Session } from "../Session.ts"
import { plenty } from "./Settings.ts"

const pools = { default: { size: 2, restart: plenty } }
const eventsBefore = 100_000 // the issue's own
const batch = 1000 // events of one transaction while the file is made
const perMilli = 5 // events: a storm of restarts on every core

/** A file that holds so many events of a run that has ended. */
const fill = (file: string, contract: Contract.Contract, count: number) =>
  Effect.scoped(Effect.gen(function*() {
    const store = yield* SqliteStore.open(file, false)
    const startedAt = Date.now() - count // one each millisecond: in what is kept, and older than all that follows
    yield* store.begin({ id: "before", startedAt, host: "before", process: "", contract })
    for (let position = 0; position < count; position += batch) {
      const entries = Array.from({ length: batch }, (_, index) => ({
        position: position + index,
        event: {
          name: "snakepit.worker_supervisor.restart",
          at: startedAt + position + index,
          measurements: { delayMillis: 100, budgetLeft: 2, victims: 4 },
          attributes: {
            ...{
              path: `snakepit/pools/default/fleet/${index % 8}`,
              pool: "default",
              slot: index % 8,
              child: "process",
              generation: position
            },
            ...{ reason: "Failed", cause: "ProcessExited: signal 11 (SIGSEGV)", incident: `before-${position + index}` }
          }
        }
      }))
      yield* store.append("before", entries)
    }
    yield* store.end("before", Date.now())
  }))

/** Opens the file as the next start does. How long it took, and which events of a run are there. */
const reopen = (file: string, run: string) =>
  Effect.scoped(Effect.gen(function*() {
    const began = performance.now()
    const store = yield* SqliteStore.open(file, false)
    const millis = performance.now() - began
    const found = yield* Stream.runCollect(store.reader.events({ run }))
    return { millis, seqs: new Set(found.map(({ seq }) => seq)), setAside: store.setAside }
  }))

const one = async (session: Session, file: string, killAfterMillis: number, seed: number): Promise<string> => {
  const host = await session.start(pools, { history: file })
  const run = await host.ready
  await host.ask("keepBusy", { callersPerPool: 4, seed })
  await host.ask("repeatEvents", { perMilli })
  await sleep(killAfterMillis)
  let told = ""
  await session.kill(host, async () => {
    const acknowledged = host.acknowledged()
    const { millis, seqs, setAside } = await Effect.runPromise(reopen(file, run))
    const missing = acknowledged.filter((seq) => !seqs.has(seq)).length
    session.add("acknowledged", acknowledged.length)
    session.add("missing", missing)
    session.millis.push(millis)
    check(setAside === undefined, () => `the history was damaged, and is set aside as ${setAside}`)
    check(missing === 0, () => `of ${acknowledged.length} events that were acknowledged ${missing} are not in the history`)
    told = `${acknowledged.length} were acknowledged and ${seqs.size} are there; opened in ${Math.round(millis)} ms`
  })
  return told
}

export const historyKill: Scenario = {
  name: "history-kill",
  about: "SIGKILL to a host under load while thousands of events a second go into its history, which holds 100,000 from before: what was" +
    " acknowledged is there at the next start",
  mustSee: {
    events: ["snakepit.history.open"],
    holds: [
      "`missing` is 0: of the `acknowledged` events each is in the file",
      "`millis` is how long the next start takes to open the file, whose last writes were cut off: at most 200 ms on a machine with a core to spare"
    ]
  },
  byHand: [
    "`kill -KILL <pid of the host>` in the middle of a storm of restarts.",
    "`npm run snakepit -- history --limit 20` prints the last events before it; `npm run snakepit -- history runs` has the run without an end."
  ],
  touches: { ends: ["snakepit"], tries: ["snakepit/telemetry/history"] },
  runs: 100,
  shortRuns: 2,
  sharesHost: false,
  run: async (session) => {
    const folder = mkdtempSync(join(tmpdir(), "chaos-"))
    session.atEnd(() => rmSync(folder, { recursive: true, force: true }))
    session.together = () => check(session.figure("acknowledged") > 0, () => "no event was acknowledged in all runs together")
    const file = join(folder, "history.sqlite")
    await Effect.runPromise(Effect.flatMap(Snakepit.contract(), (contract) => fill(file, contract, eventsBefore)))
    session.add("missing", 0)
    await session.each(120_000, (chance, seed) => one(session, file, chance.between(0, 1500), seed))
  }
}
