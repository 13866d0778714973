// @ts-check
/** The step "Python environment": `.venv` with what python/requirements.txt pins. Made in place, for environments do not move. */
import { existsSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { inCheckout, root } from "./Checkout.mjs"
import { runLogged } from "./Command.mjs"
import { pythonEnv } from "./Environment.mjs"
import * as Python from "./Python.mjs"
import { ExitCode, SetupError } from "./SetupError.mjs"
import { hashOf, readStamp, writeStamp } from "./Stamp.mjs"

/** @typedef {import("./SetupError.mjs").SetupFailure} SetupFailure */

const folder = inCheckout(".venv")
const stamp = join(folder, ".snakepit-stamp")
const requirements = inCheckout("python", "requirements.txt")

export const program = process.platform === "win32"
  ? join(folder, "Scripts", "python.exe")
  : join(folder, "bin", "python")

/** @param {string} version @param {string} base */
export const wanted = (version, base) => {
  try {
    return hashOf(["1", root, version, base, readFileSync(requirements, "utf8")])
  } catch (thrown) {
    throw new SetupError({
      what: "the list of Python packages cannot be read",
      where: requirements,
      cause: thrown instanceof Error ? thrown.message : String(thrown),
      next: "bring the file back with `git checkout -- python/requirements.txt` and run the same command again",
      exitCode: ExitCode.config
    })
  }
}

/** Runs the environment's own Python, so one whose base was removed or upgraded counts as not done. */
export const isDone = () => {
  if (!existsSync(stamp)) return false
  const here = Python.probe(program)
  if (here === undefined || readStamp(stamp) !== wanted(here.version, here.base)) return false
  const wish = Python.asked()
  return wish === undefined || Python.find().base === here.base
}

const unreachable = {
  what: "Python packages could not be fetched: the package index cannot be reached",
  cause: "no network, or a proxy or index mirror that pip has not been told of",
  next: "check the network, HTTPS_PROXY and `pip config list`, then run the same command again",
  exitCode: ExitCode.unavailable
}

const full = /No space left on device|Disk quota exceeded/

/** What the log of venv or pip tells, the first that fits. @type {ReadonlyArray<[RegExp, Pick<SetupFailure, "what" | "cause" | "next" | "exitCode">]>} */
const known = [
  [full, {
    what: "Python packages could not be installed: the disk is full",
    cause: "no room left for about 500 MB of packages",
    next: "free some space and run the same command again",
    exitCode: ExitCode.cantCreate
  }],
  [
    /Connection(?:Error| refused| aborted| reset)|TimeoutError|name resolution|retries exceeded|Network is unreachable|ProxyError|SSLError/,
    unreachable
  ],
  // pip told to be brief gives the same words for both.
  [/\(from versions: none\)/, {
    ...unreachable,
    what: `${unreachable.what}, or lacks them`,
    cause: `${unreachable.cause}, or a mirror without this package`
  }],
  [/No matching distribution/, {
    what: "a pinned Python package is not to be had for this machine",
    cause: "the package index lacks that version, or has no built package (wheel) of it for this Python and system",
    next: "try another Python (3.11 to 3.14) with SNAKEPIT_PYTHON=/path/to/python3, or another index with PIP_INDEX_URL",
    exitCode: ExitCode.unavailable
  }]
]

/** @param {{ log: string, text: string, tail: string }} failed */
const explainPip = (failed) => {
  const failure = known.find(([pattern]) => pattern.test(failed.text))?.[1] ?? {
    what: "Python packages could not be installed",
    cause: "see pip's own lines below",
    next: "mend what they name, then run the same command again",
    exitCode: ExitCode.software
  }
  return new SetupError({ ...failure, where: `pip install -r python/requirements.txt (log: ${failed.log})`, detail: failed.tail })
}

/** @param {Python.Probe} python @param {AbortSignal} signal */
export const make = async (python, signal) => {
  const options = { cwd: root, env: pythonEnv(), signal }
  const hash = wanted(python.version, python.base)
  let done = false
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    const made = await runLogged("venv", python.program, ["-m", "venv", folder], options)
    if (!made.ok) {
      const { failure } = Python.noVenv(python, "its modules venv and ensurepip are there but do not work")
      throw full.test(made.text)
        ? explainPip(made)
        : new SetupError({ ...failure, where: `${python.program} -m venv (log: ${made.log})`, detail: made.tail })
    }
    const args = ["-m", "pip", "install", "--quiet", "--no-compile", "--only-binary=:all:", "-r", requirements]
    const filled = await runLogged("pip", program, args, options)
    if (!filled.ok) throw explainPip(filled)
    writeStamp(stamp, hash)
    done = true
  } finally {
    if (!done) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}
