/** What hosts that are dead left in the data folder and among the processes. Looks only. */
import { runsFolder } from "@snakepit/bridge/process/DataFolder"
import * as HostPlace from "@snakepit/bridge/process/HostPlace"
import * as StartSweep from "@snakepit/bridge/process/StartSweep"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { readdirSync } from "node:fs"
import * as Finding from "./Finding.ts"

/** A run as the data folder knows it. */
export interface KnownRun {
  readonly file: string
  readonly standing: StartSweep.Found["standing"]
  /** Processes of a dead run that are still there. */
  readonly remains: number
  /** Processes of a living run that SIGKILL did not end: `process 4711 of default/3`. */
  readonly leaked: ReadonlyArray<string>
}

const area = "leftovers"

/** Pure: what the runs and the files that were set aside mean. */
export const judge = (runs: ReadonlyArray<KnownRun>, setAside: ReadonlyArray<string>): ReadonlyArray<Finding.Finding> => {
  const of = (standing: KnownRun["standing"]) => runs.filter((run) => run.standing === standing)
  const findings: Array<Finding.Finding> = []
  const say = (runs: ReadonlyArray<KnownRun>, text: (count: number) => string, remedy: string): void => {
    if (runs.length > 0) findings.push(Finding.warning(area, `${text(runs.length)}: ${runs.map(({ file }) => file).join(", ")}`, remedy))
  }
  const remains = of("dead").reduce((sum, run) => sum + run.remains, 0)
  if (remains > 0) {
    findings.push(Finding.warning(
      area,
      `${remains} processes of dead hosts are still there`,
      "start an application on this data folder: its start ends them"
    ))
  }
  say(
    of("dead").filter((run) => run.remains === 0),
    (count) => `${count} journals of dead hosts, nothing is left of them`,
    "the next start removes them"
  )
  say(of("rebooted"), (count) => `${count} journals from before the last boot`, "the next start removes them")
  say(
    of("unreadable"),
    (count) => `${count} journals that cannot be read`,
    "the next start sets them aside; look whether the disk was full"
  )
  say(
    of("foreign"),
    (count) => `${count} journals of another machine or container, of which nothing can be said from here`,
    "remove them by hand when those are no more; or give each a data folder of its own"
  )
  say(
    of("forsaken"),
    (count) => `${count} journals of another machine or container that nobody has touched for a month`,
    "the next start removes them"
  )
  say(
    of("unread"),
    (count) => `${count} journals that could not be read, or that this user has not written`,
    "the next start leaves them alone: see their owner and mode, and remove them if they are nobody's"
  )
  for (const { file, leaked } of of("living").filter((run) => run.leaked.length > 0)) {
    findings.push(Finding.warning(
      area,
      `SIGKILL did not end ${leaked.join(", ")}; the host lives: ${file}`,
      "they are stuck in the kernel, by a device or a network file system: see ps -o pid,stat,wchan"
    ))
  }
  if (setAside.length > 0) {
    findings.push(Finding.warning(area, `set aside as damaged: ${setAside.join(", ")}`, "remove them when you have looked at them"))
  }
  if (findings.length === 0) findings.push(Finding.ok(area, "nothing is left of dead hosts"))
  const living = of("living").length
  if (living > 0) findings.push(Finding.ok(area, `${living} living ${living === 1 ? "host uses" : "hosts use"} this data folder`))
  return findings
}

const namesIn = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

export const check = (dataFolder: string | undefined): Effect.Effect<ReadonlyArray<Finding.Finding>> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const place = HostPlace.here()
    if (dataFolder === undefined || place === undefined) return []
    const runs = StartSweep.survey(dataFolder, place, now).map((found): KnownRun => {
      const { file, standing } = found
      if (!("journal" in found)) return { file, standing, remains: 0, leaked: [] }
      const leaked = [...found.journal.entries.values()]
        .filter((entry) => entry.leaked)
        .map(({ id, pid, takenBy }) => `process ${pid} of ${takenBy ?? id.replace(/#\d+$/, "")}`)
      return { file, standing, leaked, remains: standing === "dead" ? StartSweep.remains(found.journal).length : 0 }
    })
    return judge(runs, namesIn(runsFolder(dataFolder)).filter((name) => name.endsWith(".corrupt")))
  })
