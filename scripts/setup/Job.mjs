// @ts-check
/** Runs a program in the place of this one: same streams, signals passed on once, its exit code ours. */
import { spawn } from "node:child_process"
import { killGroup } from "./Command.mjs"
import { exitCodeOf, signals } from "./Interruption.mjs"

/** From a terminal the same Ctrl-C reaches us twice: directly, and passed on by npm. */
const echoMs = 300

/**
 * @param {string} program
 * @param {ReadonlyArray<string>} args
 * @param {{ cwd: string, env: NodeJS.ProcessEnv, sweep?: boolean }} options `sweep` ends what the job left behind in its process group
 * @returns {Promise<{ code: number, interrupted: NodeJS.Signals | undefined, failure: string | undefined }>} `interrupted` by a signal to us
 */
export const runJob = (program, args, { cwd, env, sweep = false }) =>
  new Promise((resolve) => {
    // A group of its own, or a terminal's Ctrl-C would reach the job both from the terminal and from us.
    const job = spawn(program, args, { cwd, env, stdio: "inherit", detached: process.platform !== "win32" })
    /** @type {Map<NodeJS.Signals, number>} */
    const passed = new Map()
    /** @param {NodeJS.Signals} name */
    const pass = (name) => {
      const now = Date.now()
      if (now - (passed.get(name) ?? 0) < echoMs) return
      passed.set(name, now)
      job.kill(name)
    }
    const resize = () => void job.kill("SIGWINCH")
    for (const name of signals) process.on(name, pass)
    process.on("SIGWINCH", resize)
    /** @param {number} code @param {string} [failure] */
    const end = (code, failure) => {
      for (const name of signals) process.off(name, pass)
      process.off("SIGWINCH", resize)
      if (sweep && job.pid !== undefined) killGroup(job.pid, "SIGKILL")
      resolve({ code, interrupted: [...passed.keys()][0], failure })
    }
    job.once("error", (error) => end(1, error.message))
    job.once("exit", (code, signal) => end(code ?? (signal === null ? 1 : exitCodeOf(signal))))
  })
