/** What holds the processes of a pool on this system, tried out: a Reaper is run, a namespace and a cgroup are made and left. */
import * as Cgroup from "@snakepit/bridge/process/Cgroup"
import * as Containment from "@snakepit/bridge/process/Containment"
import * as PidNamespace from "@snakepit/bridge/process/PidNamespace"
import { reaperArguments } from "@snakepit/bridge/process/PythonPackage"
import * as Protocol from "@snakepit/bridge/process/ReaperProtocol"
import { executable, type PythonConfig } from "@snakepit/bridge/PythonConfig"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import * as Finding from "./Finding.ts"
import * as Program from "./Program.ts"

/** What is found once for all pools. */
export interface Ground {
  readonly namespace: PidNamespace.Lacking | undefined
  readonly cgroup: Containment.Probe["cgroup"]
  readonly journal: Containment.Probe["journal"]
}

/** Makes a cgroup where a run would, puts a process into it, and removes it. */
const tryCgroup = (setting: "auto" | "off"): Effect.Effect<Containment.Probe["cgroup"]> =>
  Effect.gen(function*() {
    if (setting === "off") return { why: "it is turned off: cgroup is \"off\"" }
    const parent = Cgroup.find()
    if ("why" in parent) return parent
    const id = `doctor-${process.pid}`
    const folder = Cgroup.ofRun(parent.folder, id)
    const why = Cgroup.make(folder, [])
    if (why !== undefined) return { why }
    const moved = yield* Effect.ensuring(Program.run("sh", ["-c", "echo $$ > \"$0/cgroup.procs\"", folder]), Cgroup.end(folder, id))
    return moved._tag === "ended" && moved.code === 0
      ? { folder: parent.folder }
      : { why: `no process could be put into a cgroup below ${parent.folder}${moved._tag === "ended" ? `: ${moved.stderr.trim()}` : ""}` }
  })

export const ground = (cgroup: "auto" | "off", dataFolder: string | undefined): Effect.Effect<Ground> =>
  Effect.gen(function*() {
    return {
      namespace: yield* PidNamespace.probe,
      cgroup: yield* tryCgroup(cgroup),
      journal: dataFolder === undefined
        ? { why: "there is no data folder" }
        : existsSync("/proc/self/stat")
        ? { path: dataFolder }
        : { why: "this system has no /proc to know a process again by" }
    }
  })

/** What a Reaper says it has; `undefined` when none could be run. */
const abilities = (config: PythonConfig): Effect.Effect<Protocol.Containment | undefined> =>
  Effect.map(Program.run(executable(config), reaperArguments), (ran) => {
    if (ran._tag !== "ended") return undefined
    for (const line of ran.stdout.split("\n")) {
      const event = Protocol.decode(line)
      if (event?.event === "ready") return event.containment
    }
    return undefined
  })

/** Pure: what is found of one pool. */
export const judge = (
  area: string,
  probe: Containment.Probe,
  namespace: PidNamespace.Lacking | undefined
): ReadonlyArray<Finding.Finding> => {
  if (probe.containment === "namespace" && namespace !== undefined) {
    return [Finding.error(area, `it asks for a pid namespace, which is not to be had: ${namespace.detail}`, namespace.remedy)]
  }
  const { layers, leaks } = Containment.report(probe)
  const active = layers.filter((layer) => layer.active).map(({ name }) => name.replaceAll("_", " "))
  const missing = layers.filter((layer) => !layer.active)
  const more = namespace === undefined
    ? "set python.containment to \"namespace\", which can be had here: nothing can then leak"
    : `a pid namespace would prevent it, and lacks: ${namespace.detail}; ${namespace.remedy}`
  return [
    Finding.ok(area, `holds: ${active.join(", ")}`),
    ...missing.map(({ because, name }) => Finding.ok(area, `without ${name.replaceAll("_", " ")}: ${because}`)),
    ...leaks.map((leak) => Finding.warning(area, leak, more))
  ]
}

export const check = (
  pool: string,
  config: PythonConfig,
  { cgroup, journal, namespace }: Ground
): Effect.Effect<ReadonlyArray<Finding.Finding>> =>
  Effect.map(abilities(config), (reaper) =>
    reaper === undefined
      ? [Finding.error(`pool ${pool}`, "its Reaper does not run", "mend its Python first: it is the program that runs the Reaper")]
      : judge(`pool ${pool}`, {
        platform: process.platform,
        proc: existsSync("/proc/self/stat"),
        containment: config.containment,
        reaper,
        cgroup,
        journal
      }, namespace))
