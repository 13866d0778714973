/**
 * Control groups of version 2: the one layer that nothing can leave by a session of its own or a cleared environment. Used where a part of
 * the hierarchy is ours to make folders in (delegated: `systemd-run --user`, `Delegate=yes`, a container with a writable cgroup, root).
 *
 * ```text
 *  <ours>/snakepit-<run id>/       made by the host, killed whole by the next start when the host died
 *         └─ <pool>/               handed to the Reaper, which makes one folder a worker in it
 * ```
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  statfsSync,
  writeSync
} from "node:fs"
import { basename, join, relative } from "node:path"

/** A folder to make cgroups in, or why there is none. */
export type Parent = { readonly folder: string } | { readonly why: string }

/** In `/proc/mounts` a space is `\040`, and so on. */
const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))

/** The folder of this process in the version 2 hierarchy, from `/proc/self/cgroup` and `/proc/self/mountinfo`; hybrid systems included. */
export const own = (selfCgroup: string, mountinfo: string): Parent => {
  const path = selfCgroup.split("\n").find((line) => line.startsWith("0::"))?.slice(3)
  if (path === undefined) return { why: "this process is in no cgroup of version 2" }
  if (path.startsWith("/..")) return { why: "the cgroup of this process lies outside what its cgroup namespace shows" }
  for (const line of mountinfo.split("\n")) {
    const [mount, type] = line.split(" - ")
    if (type?.split(" ")[0] !== "cgroup2") continue
    const [root, point] = (mount ?? "").split(" ").slice(3, 5).map(unescape)
    if (root === undefined || point === undefined) continue
    const below = relative(root, path)
    if (below === ".." || below.startsWith("../")) continue // mounted from elsewhere in the hierarchy
    return { folder: join(point, below) }
  }
  return { why: "no cgroup2 file system that holds this process is mounted" }
}

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

/** Whether the version 2 cgroup of this process takes folders of ours. Looks only. */
export const find = (): Parent => {
  const found = own(read("/proc/self/cgroup"), read("/proc/self/mountinfo"))
  if ("why" in found) return found
  try {
    accessSync(found.folder, constants.W_OK | constants.X_OK)
    accessSync(join(found.folder, "cgroup.procs"), constants.W_OK) // moving a process asks for both ends
  } catch (cause) {
    return { why: `${found.folder} is not delegated to this user: ${cause instanceof Error ? cause.message : String(cause)}` }
  }
  return found
}

/** Writes to a file of the kernel: one that is not there is not made. */
const write = (path: string, text: string): void => {
  const fd = openSync(path, constants.O_WRONLY)
  try {
    writeSync(fd, text)
  } finally {
    closeSync(fd)
  }
}

/** The folder of a run. */
export const ofRun = (parent: string, runId: string): string => join(parent, `snakepit-${runId}`)

/** The type of the file system, by `statfs(2)`. */
const cgroup2Magic = 0x63677270

/** Only such a folder is ever killed or removed: it is named in a file, and a file can name anything. */
export const isOfRun = (folder: string, runId: string): boolean => {
  try {
    const real = realpathSync(folder)
    return basename(real) === basename(ofRun("/", runId)) && statfsSync(real).type === cgroup2Magic
  } catch {
    return false
  }
}

/** Lets the folders below count memory where this one may: evidence of what the kernel killed for memory. */
const passOn = (folder: string): void => {
  if (!read(join(folder, "cgroup.controllers")).split(/\s/).includes("memory")) return
  try {
    write(join(folder, "cgroup.subtree_control"), "+memory")
  } catch {
    // the evidence is then the kernel's own count
  }
}

/** Makes the folders of a run and its pools. Says why it could not, `undefined` when it could. */
export const make = (folder: string, pools: ReadonlyArray<string>): string | undefined => {
  try {
    mkdirSync(folder)
    if (!existsSync(join(folder, "cgroup.kill"))) {
      rmdirSync(folder)
      return "the kernel has no cgroup.kill; Linux 5.14 has"
    }
    passOn(folder)
    for (const pool of pools) {
      mkdirSync(join(folder, pool))
      passOn(join(folder, pool))
    }
    return undefined
  } catch (cause) {
    removeBelow(folder)
    remove(folder)
    return cause instanceof Error ? cause.message : String(cause)
  }
}

/** How many processes a folder and those below it hold. */
export const population = (folder: string): number =>
  read(join(folder, "cgroup.procs")).split("\n").filter((line) => line !== "").length +
  below(folder).reduce((sum, child) => sum + population(child), 0)

const below = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name))
  } catch {
    return []
  }
}

const remove = (folder: string): void => {
  try {
    rmdirSync(folder)
  } catch {
    // it is gone, or holds a process that the kernel does not let die
  }
}

const removeBelow = (folder: string): void => {
  for (const child of below(folder)) {
    removeBelow(child)
    remove(child)
  }
}

/** Kills all that is in a folder, and removes the folders below it. Returns how many were there. */
export const empty = (folder: string): Effect.Effect<number> =>
  Effect.suspend(() => {
    const found = population(folder)
    const clear = Effect.sync(() => {
      const left = population(folder)
      if (left === 0) return 0
      try {
        write(join(folder, "cgroup.kill"), "1")
      } catch {
        // it is gone
      }
      return left
    })
    return clear.pipe(
      Effect.repeat({ while: (left) => left > 0, schedule: Schedule.spaced("2 millis") }),
      Effect.timeoutOption("2 seconds"), // longer only for one stuck in the kernel, which nobody can end
      Effect.andThen(Effect.sync(() => {
        removeBelow(folder)
        return found
      }))
    )
  })

/** Kills all that is in the folder of a run, and removes it. Returns how many were there. */
export const end = (folder: string, runId: string): Effect.Effect<number> =>
  Effect.suspend(() => isOfRun(folder, runId) ? Effect.tap(empty(folder), () => Effect.sync(() => remove(folder))) : Effect.succeed(0))
