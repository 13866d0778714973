/** Where this process runs, so that a pid in a file can be judged by another one. */
import { readFileSync } from "node:fs"
import * as ProcessTable from "./ProcessTable.ts"
import type { Place } from "./StaleRun.ts"

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8").trim()
  } catch {
    return ""
  }
}

/** `undefined` where the kernel does not say (no `/proc`): there no pid can be judged later. */
export const here = (): Place | undefined => {
  const bootId = read("/proc/sys/kernel/random/boot_id")
  const pidNamespace = ProcessTable.pidNamespace()
  if (bootId === "" || pidNamespace === undefined) return undefined
  const booted = /^btime (\d+)$/m.exec(read("/proc/stat"))?.[1]
  // without it, what another boot has written counts as another machine's
  return { machine: read("/etc/machine-id"), bootId, pidNamespace, bootedAt: Number(booted ?? 0) * 1000 }
}
