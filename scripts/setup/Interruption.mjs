// @ts-check
/** SIGINT, SIGTERM and SIGHUP as one AbortSignal, so that a half-made folder is removed before we go. */
import { constants } from "node:os"
import { setImmediate as immediately } from "node:timers/promises"
import { SetupError } from "./SetupError.mjs"

/** @type {ReadonlyArray<NodeJS.Signals>} */
export const signals = ["SIGINT", "SIGTERM", "SIGHUP"]

/** @param {NodeJS.Signals} name the shell's convention */
export const exitCodeOf = (name) => 128 + constants.signals[name]

/**
 * @template A
 * @param {string} where
 * @param {(signal: AbortSignal) => Promise<A>} use
 * @returns {Promise<A>}
 */
export const interruptible = async (where, use) => {
  const controller = new AbortController()
  /** @type {(name: NodeJS.Signals) => void} */
  const onSignal = (name) =>
    controller.abort(
      new SetupError({
        what: `interrupted by ${name}; what was half made has been removed`,
        where,
        cause: "Ctrl-C, or a program that ended this one",
        next: "run the same command again: it goes on with what is missing",
        exitCode: exitCodeOf(name)
      })
    )
  for (const name of signals) process.on(name, onSignal)
  try {
    return await use(controller.signal)
  } catch (thrown) {
    await immediately() // a program that ran synchronously may have failed from the very Ctrl-C that we have not been told of yet
    throw controller.signal.aborted ? controller.signal.reason : thrown
  } finally {
    for (const name of signals) process.off(name, onSignal)
  }
}
