/** The disks that a host writes to are full: its registry's, and the memory that payloads are shared in. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { check } from "../Check.ts"
import { type Host, until } from "../Host.ts"
import * as Observer from "../Observer.ts"
import type { Scenario } from "../Session.ts"
import * as SmallDisk from "../SmallDisk.ts"
import { allUp, outcomeOf, plenty, successor } from "./Settings.ts"

const size = 8
const pools = { default: { size, restart: plenty } }
const large = 1 << 20 // bytes: beyond what travels in a frame when there is room elsewhere
const largeCalls = 4
/** Times that all die. A death takes three lines of the journal, and the page that its file ends in has room for at most 30 deaths. */
const mostRounds = 6

const disk = (): SmallDisk.SmallDisk => {
  const scratch = mkdtempSync(join(tmpdir(), "chaos-"))
  try {
    return SmallDisk.make(scratch)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

const isInRegistry = (host: Host, { pid, started }: Observer.Worker): boolean =>
  host.registry().some((line) => line["pid"] === pid && line["startTicks"] === started)

export const diskFull: Scenario = {
  name: "disk-full",
  about: "the disk of the registry and /dev/shm are full while workers die and large payloads travel: calls complete, workers are" +
    " replaced, it is told once; with room again the registry is whole",
  mustSee: {
    events: ["snakepit.process_registry.write_failed", "snakepit.worker_supervisor.restart", "snakepit.worker_supervisor.recover"],
    holds: [
      "`by` says which disk it was",
      "calls of 1 MiB both ways complete: they travel in their frames",
      "`snakepit.process_registry.write_failed` is told once for each time that the disk is full",
      "after the next change with room again every worker stands in the registry's file"
    ]
  },
  byHand: [
    "`unshare --user --map-root-user --mount sh -c 'mount -t tmpfs -o size=16m tmpfs $SNAKEPIT_DATA_DIR && exec node main.ts'`",
    "Fill it: `dd if=/dev/zero of=/proc/<pid of the host>/root$SNAKEPIT_DATA_DIR/filler bs=4k`, then `kill -KILL <pid>` some workers.",
    "Remove the file and kill another: `tail $SNAKEPIT_DATA_DIR/runs/*.jsonl` has the new one."
  ],
  touches: {
    ends: ["snakepit/pools/<key>/fleet/<key>/process"],
    tries: ["snakepit/foundation/process_registry", "snakepit/pools/<key>/fleet/<key>/channel"]
  },
  runs: 10,
  shortRuns: 1,
  sharesHost: true,
  run: async (session) => {
    const { empty, fill, kind, place } = disk()
    session.fact("by", kind)
    await session.each(120_000, async (_, seed) => {
      const host = await session.shared(pools, place)
      await host.ask("keepBusy", { callersPerPool: 2, seed })
      const events = host.events().length
      const since = () => host.events().slice(events)
      const troubles = () => since().filter(({ name }) => name === "snakepit.process_registry.write_failed").length
      const killAll = async () => {
        const victims = await allUp(host, "default", size)
        for (const victim of victims) Observer.signal(victim, "SIGKILL")
        await Promise.all(victims.map((victim) => successor(host, victim)))
      }
      fill(host)
      let rounds = 0
      for (; rounds < mostRounds && troubles() === 0; rounds++) await killAll()
      check(troubles() === 1, () => `the disk was full, all workers died ${rounds} times, and it was told ${troubles()} times`)
      for (let call = 0; call < largeCalls; call++) {
        const { cause, outcome } = await outcomeOf(host, await host.ask("call", { pool: "default", tool: "again_copy", bytes: large }))
        check(outcome === "completed", () => `with full disks a call with a large payload came to "${outcome}": ${cause}`)
      }
      empty(host)
      await killAll()
      const workers = await allUp(host, "default", size)
      const known = await until(() => workers.filter((worker) => isInRegistry(host, worker)), (known) => known.length === size, 10_000)
      check(known.length === size, () => `there is room again, and of ${size} workers ${known.length} are in the registry's file`)
      check(troubles() === 1, () => `it was told ${troubles()} times that the registry cannot be written`)
      const escalated = since().filter(({ name }) => name.endsWith("_supervisor.give_up"))
      check(escalated.length === 0, () => `these gave up: ${JSON.stringify(escalated)}`)
      session.add("kills", size * (rounds + 1))
      return `told after ${size * rounds} kills with full disks; ${largeCalls} large calls completed, and the registry is whole again`
    })
  }
}
