// @ts-check
/** Runs a program of the set-up: in a process group of its own, output to a log, ended with everything it started. */
import { spawn } from "node:child_process"
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

/** How long npm or pip may take to tidy up after SIGTERM. */
const graceMs = 3000

/** @typedef {{ code: number | null, signal: NodeJS.Signals | null, missing: boolean }} Ended */

/** @param {number} pid @param {NodeJS.Signals} signal @returns {boolean} whether anybody was left to get it */
export const killGroup = (pid, signal) => {
  try {
    process.kill(-pid, signal)
    return true
  } catch {
    return false
  }
}

/**
 * @param {string} program
 * @param {ReadonlyArray<string>} args
 * @param {object} options
 * @param {string} options.cwd
 * @param {NodeJS.ProcessEnv} options.env
 * @param {AbortSignal} options.signal
 * @param {import("node:child_process").StdioOptions} options.stdio
 * @returns {Promise<Ended>}
 */
export const run = async (program, args, { cwd, env, signal, stdio }) => {
  signal.throwIfAborted()
  const child = spawn(program, args, { cwd, env, stdio, detached: true })
  const end = new Promise((/** @type {(ended: Ended) => void} */ resolve) => {
    child.once("error", () => resolve({ code: null, signal: null, missing: true }))
    child.once("exit", (code, by) => resolve({ code, signal: by, missing: false }))
  })
  const { pid } = child
  if (pid === undefined) return end
  const stop = async () => {
    killGroup(pid, "SIGTERM")
    await Promise.race([end, sleep(graceMs, undefined, { ref: false })])
    killGroup(pid, "SIGKILL")
  }
  const onAbort = () => void stop()
  signal.addEventListener("abort", onAbort, { once: true })
  const ended = await end
  signal.removeEventListener("abort", onAbort)
  // The leader is gone; what it left in its group must not outlive it, least of all write into a folder about to be removed.
  for (let tries = 0; killGroup(pid, "SIGKILL") && tries < 50; tries++) await sleep(20)
  signal.throwIfAborted()
  return ended
}

/**
 * Like `run`, with the output in a log under the system's temp folder, kept only if the program fails.
 *
 * @param {string} name
 * @param {string} program
 * @param {ReadonlyArray<string>} args
 * @param {{ cwd: string, env: NodeJS.ProcessEnv, signal: AbortSignal }} options
 * @returns {Promise<{ ok: true } | { ok: false, missing: boolean, log: string, text: string, tail: string }>}
 */
export const runLogged = async (name, program, args, options) => {
  const folder = mkdtempSync(join(tmpdir(), "snakepit-setup-"))
  const log = join(folder, `${name}.log`)
  const file = openSync(log, "w", 0o600)
  let keep = false
  try {
    const ended = await run(program, args, { ...options, stdio: ["ignore", file, file] })
    if (ended.code === 0) return { ok: true }
    keep = true
    const text = readFileSync(log, "utf8")
    const lines = text.trimEnd().split("\n").filter((line) => line.trim() !== "")
    // npm says what happened first and how to file it last; pip the other way round.
    const shown = lines.length <= 9 ? lines : [...lines.slice(0, 3), "…", ...lines.slice(-5)]
    return { ok: false, missing: ended.missing, log, text, tail: shown.join("\n") }
  } finally {
    closeSync(file)
    if (!keep) rmSync(folder, { recursive: true, force: true })
  }
}
