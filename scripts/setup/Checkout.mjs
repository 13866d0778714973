// @ts-check
import { mkdtempSync, realpathSync, rmdirSync } from "node:fs"
import { join, relative, sep } from "node:path"
import { fileURLToPath } from "node:url"
import { ExitCode, SetupError } from "./SetupError.mjs"

/** The folder that holds this repository. Real, because a virtual environment remembers its own path. */
export const root = realpathSync(fileURLToPath(new URL("../../", import.meta.url)))

/** @param {...string} parts */
export const inCheckout = (...parts) => join(root, ...parts)

/** @param {string} path */
export const isInCheckout = (path) => {
  const way = relative(root, path)
  return way !== ".." && !way.startsWith(`..${sep}`)
}

/** Fails unless files can be made in the checkout. */
export const requireWritable = () => {
  try {
    // `.venv.*/` is git-ignored, so not even a kill between the two calls dirties the work tree.
    rmdirSync(mkdtempSync(inCheckout(".venv.probe-")))
  } catch (thrown) {
    const code = /** @type {NodeJS.ErrnoException} */ (thrown).code
    if (code === "ENOSPC" || code === "EDQUOT") throw thrown
    throw new SetupError({
      what: "this checkout is read-only, so nothing can be installed in it",
      where: root,
      cause: `this user cannot write to the folder (${code ?? "unknown"})`,
      next: "clone the repository to a folder you can write to, for example `git clone <url> ~/snakepit`, and run the same command there",
      exitCode: ExitCode.cantCreate
    })
  }
}
