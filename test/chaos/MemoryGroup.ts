/** A cgroup of the kernel in which a program has so much memory and no more: below that of this process, where one may be made there. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Observer from "./Observer.ts"

export interface MemoryGroup {
  /** The kind of cgroup, for people. */
  readonly kind: string
  /** The command that puts itself in and becomes the program that follows. */
  readonly through: ReadonlyArray<string>
  /** What the kernel has killed in it. */
  readonly kills: () => number
  /** When nothing is in it any more. */
  readonly remove: () => void
}

/** The files of one version. */
interface Version {
  readonly kind: string
  readonly limit: string
  /** Without it what is too much would go to the disk: a file and what is written there, as far as it is there. */
  readonly swap: readonly [string, string]
  readonly counter: string
}

const versions: { readonly [type: string]: Version } = {
  cgroup2: { kind: "cgroup v2", limit: "memory.max", swap: ["memory.swap.max", "0"], counter: "memory.events" },
  cgroup: { kind: "cgroup v1", limit: "memory.limit_in_bytes", swap: ["memory.swappiness", "0"], counter: "memory.oom_control" }
}

const lines = (file: string): ReadonlyArray<string> => readFileSync(file, "utf8").split("\n")

/** The folders of this process in each hierarchy that may hold memory. */
const parents = (): ReadonlyArray<{ readonly folder: string; readonly version: Version }> => {
  const own = lines("/proc/self/cgroup").map((line) => line.split(":"))
  return lines("/proc/self/mounts").flatMap((line) => {
    const [, mount, type, options] = line.split(" ")
    const version = versions[type ?? ""]
    if (version === undefined || type === "cgroup" && !options!.split(",").includes("memory")) return []
    const path = own.find(([, names]) => type === "cgroup2" ? names === "" : names!.split(",").includes("memory"))?.[2]
    return path === undefined ? [] : [{ folder: join(mount!, path), version }]
  })
}

/** `undefined`: none may be made here. */
export const make = (bytes: number): MemoryGroup | undefined => {
  for (const { folder: parent, version } of parents()) {
    const folder = join(parent, `chaos-${process.pid}`)
    const [swap, none] = version.swap
    try {
      mkdirSync(folder)
      if (!existsSync(join(folder, version.limit))) throw new Error("memory is not counted in it")
      writeFileSync(join(folder, version.limit), String(bytes))
      if (existsSync(join(folder, swap))) writeFileSync(join(folder, swap), none)
    } catch {
      Observer.removeCgroup(folder)
      continue
    }
    return {
      kind: version.kind,
      through: ["sh", "-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"", folder],
      kills: () => Number(lines(join(folder, version.counter)).find((line) => line.startsWith("oom_kill "))?.split(" ")[1] ?? 0),
      remove: () => rmdirSync(folder)
    }
  }
  return undefined
}
