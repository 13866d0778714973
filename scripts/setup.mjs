// @ts-check
/**
 * Makes a fresh clone ready: Node 24, npm packages, Python environment. Safe to repeat; skips what is done.
 *
 * `node scripts/setup.mjs` does only that; `npm start`, `npm test` and `npm run check` do it first. It is plain JavaScript without
 * dependencies, for it must run on an old Node before anything is installed. Exit codes: setup/SetupError.mjs.
 */
import { realpathSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { inCheckout, requireWritable, root } from "./setup/Checkout.mjs"
import { insidePath } from "./setup/Environment.mjs"
import { interruptible } from "./setup/Interruption.mjs"
import * as Lock from "./setup/Lock.mjs"
import * as NodePackages from "./setup/NodePackages.mjs"
import * as NodeRuntime from "./setup/NodeRuntime.mjs"
import * as Python from "./setup/Python.mjs"
import * as PythonEnvironment from "./setup/PythonEnvironment.mjs"
import { say, sayError, step } from "./setup/Say.mjs"
import { fromThrown } from "./setup/SetupError.mjs"

/** A first set-up over a slow line takes minutes; one that takes longer than this has hung. */
const patienceMs = 15 * 60_000

/** Ignored by git as `.venv.*` is. */
const lockFolder = inCheckout(".venv.lock")

/** What the set-up hands to whoever runs something in the checkout. @typedef {{ node: string, python: string, env: NodeJS.ProcessEnv }} Tools */

const alreadyThere = { value: undefined, outcome: "ok (already there)" }

/** @param {(signal: AbortSignal) => Promise<void>} work @param {AbortSignal} signal */
const timed = (work, signal) => async () => {
  const start = Date.now()
  await work(signal)
  return { value: undefined, outcome: `installed (${((Date.now() - start) / 1000).toFixed(1)} s)` }
}

/** @param {AbortSignal} signal */
const makeReady = async (signal) => {
  requireWritable()
  const giveBack = NodePackages.isDone() && PythonEnvironment.isDone()
    ? () => {}
    : await Lock.take(lockFolder, {
      patienceMs,
      signal,
      onWait: (owner) => say(`waiting for another set-up of this checkout (process ${owner?.pid}) …`)
    })
  try {
    const npmDone = NodePackages.isDone()
    const venvDone = PythonEnvironment.isDone()
    // What is missing on the machine is told before anything is fetched.
    if (!npmDone) NodePackages.requireNpm()
    const python = venvDone ? undefined : Python.find()

    await step("npm packages", npmDone ? async () => alreadyThere : timed(NodePackages.install, signal))
    const node = NodeRuntime.ofMachine() ?? NodeRuntime.ofPackage()
    if (node === undefined) throw NodeRuntime.noneFor()
    await step("Node", async () => ({ value: undefined, outcome: `ok (${node.version}, ${node.program})` }))
    await step(
      "Python environment",
      python === undefined
        ? async () => alreadyThere
        : timed((abort) => PythonEnvironment.make(python, abort), signal)
    )
    return node.program
  } finally {
    giveBack()
  }
}

/** @returns {Promise<Tools>} */
export const setup = async () => {
  const node = await interruptible(root, makeReady)
  return {
    node,
    python: PythonEnvironment.program,
    env: { ...process.env, PATH: insidePath(), SNAKEPIT_PYTHON: PythonEnvironment.program }
  }
}

/**
 * Sets up, or says why not and ends the process.
 *
 * @returns {Promise<Tools>}
 */
export const setupOrExit = async () => {
  try {
    return await setup()
  } catch (thrown) {
    const error = fromThrown(thrown, root)
    sayError(error)
    process.exit(error.exitCode)
  }
}

/** @param {string} url of the module that asks @returns {boolean} whether it is the program, not an import */
export const isMain = (url) => {
  const file = process.argv[1]
  return file !== undefined && realpathSync(file) === realpathSync(fileURLToPath(url))
}

if (isMain(import.meta.url)) await setupOrExit()
