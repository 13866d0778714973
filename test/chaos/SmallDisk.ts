/** Disks of a host that can be filled: its own, mounted where nobody else sees them, or else a file system that refuses to write. */
import { spawnSync } from "node:child_process"
import { closeSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type { Host, Place } from "./Host.ts"

export interface SmallDisk {
  /** Which of the two, for people. */
  readonly kind: string
  readonly place: Place
  /** Until nothing more can be written. */
  readonly fill: (host: Host) => void
  readonly empty: (host: Host) => void
}

/** Runs what follows in a mount namespace of its own, which nobody needs a privilege for where user namespaces are allowed. */
const apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
/** 16 MiB for the registry, whose file takes a few KiB, and for the history, whose log takes 4 MiB; 16 MiB for segments, a few payloads. */
const mounts = [
  "mkdir -p \"$0/data\"",
  "mount -t tmpfs -o size=16m,mode=700 tmpfs \"$0/data\"",
  "mount -t tmpfs -o size=16m,mode=1777 tmpfs /dev/shm"
]

const filler = "filler"
const pieceBytes = 4096 // a page: the last of them leaves no room for another

const fill = (folder: string): void => {
  const file = openSync(`${folder}/${filler}`, "a", 0o600)
  try {
    for (;;) writeSync(file, Buffer.alloc(pieceBytes))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOSPC") throw cause
  } finally {
    closeSync(file)
  }
}

const mounted: SmallDisk = {
  kind: "small tmpfs in a mount namespace, for the data folder and /dev/shm",
  place: { through: (folder) => [...apart, [...mounts, "exec \"$@\""].join(" && "), folder], ownMounts: true },
  fill: (host) => [host.data, host.fromOutside("/dev/shm")].forEach(fill),
  empty: (host) => [host.data, host.fromOutside("/dev/shm")].forEach((folder) => rmSync(`${folder}/${filler}`, { force: true }))
}

const refusing: SmallDisk = {
  kind: "file system layer that refuses to write in the data folder",
  place: { flags: ["--import", fileURLToPath(new URL("host/FullDisk.ts", import.meta.url))] },
  fill: (host) => writeFileSync(`${host.data}.full`, ""),
  empty: (host) => rmSync(`${host.data}.full`, { force: true })
}

/** The one that there can be. `scratch`: a folder to try it in. */
export const make = (scratch: string): SmallDisk => {
  const [command, ...words] = [...apart, mounts.join(" && "), scratch]
  return spawnSync(command!, words, { stdio: "ignore" }).status === 0 ? mounted : refusing
}
