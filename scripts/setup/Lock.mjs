// @ts-check
/**
 * One set-up at a time per checkout. The lock is a folder holding its owner's name; it comes to be by one rename, owner inside, so it is
 * never seen without one. A lock whose owner no longer lives is taken over.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { ExitCode, SetupError } from "./SetupError.mjs"

/** @typedef {{ pid: number, started: string, host: string }} Owner */

/**
 * When a process began, in a form that differs between two holders of the same pid; "" where there is no /proc.
 *
 * @param {number} pid
 */
export const startOf = (pid) => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
    // Field 22, counted after the name, which may itself hold spaces and brackets.
    return `${boot}/${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`
  } catch {
    return ""
  }
}

/** @param {number} pid */
const isAlive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (thrown) {
    return /** @type {NodeJS.ErrnoException} */ (thrown).code === "EPERM"
  }
}

/**
 * A lock from another host (a shared folder) cannot be judged from here and counts as held.
 *
 * @param {Owner} owner
 */
export const isStale = (owner) => {
  if (owner.host !== hostname()) return false
  if (!isAlive(owner.pid)) return true
  return owner.started !== "" && startOf(owner.pid) !== owner.started
}

/** @param {string} folder @returns {Owner | undefined} */
const ownerOf = (folder) => {
  try {
    return JSON.parse(readFileSync(join(folder, "owner.json"), "utf8"))
  } catch {
    return undefined
  }
}

/** @param {string} folder */
const tryTake = (folder) => {
  const draft = `${folder}.${process.pid}`
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(draft)
  writeFileSync(
    join(draft, "owner.json"),
    JSON.stringify({ pid: process.pid, started: startOf(process.pid), host: hostname() })
  )
  try {
    renameSync(draft, folder)
    return true
  } catch (thrown) {
    rmSync(draft, { recursive: true, force: true })
    const code = /** @type {NodeJS.ErrnoException} */ (thrown).code
    if (code === "ENOTEMPTY" || code === "EEXIST" || code === "EPERM") return false
    throw thrown
  }
}

/**
 * Two may find the same stale lock: only one rename of it succeeds. Should the rename have caught a fresh lock that the other made in
 * between, it is put back.
 *
 * @param {string} folder
 * @param {Owner | undefined} stale
 */
const clear = (folder, stale) => {
  const aside = `${folder}.stale-${process.pid}`
  try {
    renameSync(folder, aside)
  } catch {
    return
  }
  const caught = ownerOf(aside)
  if (caught !== undefined && JSON.stringify(caught) !== JSON.stringify(stale) && !existsSync(folder)) {
    renameSync(aside, folder)
    return
  }
  rmSync(aside, { recursive: true, force: true })
}

/**
 * @param {string} folder
 * @param {object} options
 * @param {number} options.patienceMs how long to wait for another set-up
 * @param {AbortSignal} [options.signal]
 * @param {(owner: Owner | undefined) => void} [options.onWait] told once, when there is a wait
 * @returns {Promise<() => void>} gives the lock back
 */
export const take = async (folder, { onWait, patienceMs, signal }) => {
  const end = Date.now() + patienceMs
  for (let told = false;;) {
    if (tryTake(folder)) return () => rmSync(folder, { recursive: true, force: true })
    const owner = ownerOf(folder)
    if (owner === undefined) {
      // Given back at this moment; or damaged, which a second look tells.
      await sleep(100, undefined, { signal })
      if (existsSync(folder) && ownerOf(folder) === undefined) clear(folder, undefined)
      continue
    }
    if (isStale(owner)) {
      clear(folder, owner)
      continue
    }
    if (!told) onWait?.(owner)
    told = true
    if (Date.now() > end) {
      throw new SetupError({
        what: "another set-up of this checkout has not finished",
        where: folder,
        cause: `process ${owner.pid} on ${owner.host} holds the lock for more than ${Math.round(patienceMs / 60_000)} min`,
        next: "wait for it or end it, then run the same command again; if no such process lives, remove that folder",
        exitCode: ExitCode.tempFail
      })
    }
    await sleep(200, undefined, { signal })
  }
}
