/**
 * What holds the processes of a pool, layer by layer, and what could still outlive its host: told at boot and by `snakepit doctor`. Pure: what is
 * known of the system is an argument.
 *
 * @see docs/containment.md
 */

/** What is known of a pool and of the system it runs on. */
export interface Probe {
  readonly platform: string
  /** Whether there is a `/proc` to read. */
  readonly proc: boolean
  readonly containment: "process" | "namespace"
  /** What its Reaper has. */
  readonly reaper: { readonly subreaper: boolean; readonly pdeathsig: boolean; readonly pidfd: boolean }
  /** The cgroup of its workers, or why there is none. */
  readonly cgroup: { readonly folder: string } | { readonly why: string }
  /** The durable registry, or why there is none. */
  readonly journal: { readonly path: string } | { readonly why: string }
}

export type LayerName =
  | "reaper"
  | "process_group"
  | "parent_death_signal"
  | "subreaper"
  | "pid_namespace"
  | "cgroup"
  | "registry_sweep"

/** One layer: whether it holds, and if not what it lacks. */
export interface Layer {
  readonly name: LayerName
  readonly active: boolean
  readonly because: string
}

export interface Report {
  readonly layers: ReadonlyArray<Layer>
  /** What could still outlive the host, in whole sentences; empty when nothing could. */
  readonly leaks: ReadonlyArray<string>
}

const notLinux = (platform: string) => `${platform} has nothing like it; Linux has`

const layersOf = ({ cgroup, containment, journal, platform, proc, reaper }: Probe): ReadonlyArray<Layer> => {
  const linux = platform === "linux"
  const kernel = (name: LayerName, active: boolean, what: string): Layer => ({
    name,
    active,
    because: active ? what : linux ? "the kernel refuses it here" : notLinux(platform)
  })
  return [
    { name: "reaper", active: true, because: "when its pipe to the host closes it kills all that is below it" },
    { name: "process_group", active: true, because: "each worker leads a session of its own, signalled as a whole" },
    kernel("parent_death_signal", reaper.pdeathsig, "the kernel kills a worker when its Reaper dies"),
    kernel("subreaper", reaper.subreaper && reaper.pidfd && proc, "what outlives its parent stays below the Reaper, and is found there"),
    {
      name: "pid_namespace",
      active: containment === "namespace",
      because: containment === "namespace"
        ? "the kernel kills everything in it when the Reaper ends"
        : linux
        ? "not asked for: containment is \"process\""
        : notLinux(platform)
    },
    {
      name: "cgroup",
      active: "folder" in cgroup,
      because: "folder" in cgroup ? cgroup.folder : linux ? cgroup.why : notLinux(platform)
    },
    { name: "registry_sweep", active: "path" in journal, because: "path" in journal ? journal.path : journal.why }
  ]
}

const leaksOf = (layers: ReadonlyArray<Layer>): ReadonlyArray<string> => {
  const has = (name: LayerName) => layers.some((layer) => layer.name === name && layer.active)
  if (has("pid_namespace")) return []
  const leaks: Array<string> = []
  if (!has("parent_death_signal")) {
    leaks.push("Workers live on when host and Reaper are killed in the same instant.")
  }
  if (!has("subreaper")) {
    leaks.push("A process that a worker starts in a session of its own is not found: it outlives worker and host.")
    return leaks
  }
  if (has("cgroup")) {
    leaks.push(
      has("registry_sweep")
        ? "When host and Reaper are killed in the same instant, processes that workers started in sessions of their own live until the next start."
        : "When host and Reaper are killed in the same instant, processes that workers started in sessions of their own outlive both."
    )
    return leaks
  }
  leaks.push(
    has("registry_sweep")
      ? "When host and Reaper are killed in the same instant, processes that workers started in sessions of their own live until the next start; " +
        "one that also cleared its environment outlives that too."
      : "When host and Reaper are killed in the same instant, processes that workers started in sessions of their own outlive both."
  )
  leaks.push("When a Reaper alone is killed, a process in a session of its own that cleared its environment outlives it.")
  return leaks
}

/** What holds, and what could leak. */
export const report = (probe: Probe): Report => {
  const layers = layersOf(probe)
  return { layers, leaks: leaksOf(layers) }
}
