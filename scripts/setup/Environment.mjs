// @ts-check
/** The environment variables that programs of the set-up get, and PATH without what this checkout itself put there. */
import { accessSync, constants, mkdtempSync, rmSync, statSync } from "node:fs"
import { homedir, tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { inCheckout, isInCheckout } from "./Checkout.mjs"

/** PATH without `node_modules/.bin` and `.venv/bin` of this checkout: npm adds the one, `activate` the other, and both get replaced. */
export const outsidePath = () =>
  (process.env["PATH"] ?? "").split(delimiter).filter((folder) =>
    folder !== "" && !(isInCheckout(folder) && /[\\/](?:node_modules[\\/]\.bin|\.venv[\\/]bin)[\\/]?$/.test(folder))
  )

/** @param {string} program @param {ReadonlyArray<string>} folders @returns {string | undefined} */
export const which = (program, folders = outsidePath()) => {
  const names = process.platform === "win32" ? [`${program}.exe`, `${program}.cmd`] : [program]
  for (const folder of folders) {
    for (const name of names) {
      const file = join(folder, name)
      try {
        accessSync(file, constants.X_OK)
        if (statSync(file).isFile()) return file
      } catch {
        // not here
      }
    }
  }
  return undefined
}

/** PATH for everything that runs after the set-up: the checkout's own programs first. */
export const insidePath = () => [inCheckout("node_modules", ".bin"), ...outsidePath()].join(delimiter)

/** For Python: nothing of the user's own import path, nothing that changes how pip or venv behave in this checkout. */
export const pythonEnv = () => {
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env, PATH: outsidePath().join(delimiter) }
  for (const name of ["PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "__PYVENV_LAUNCHER__"]) {
    delete env[name]
  }
  return {
    ...env,
    PIP_DISABLE_PIP_VERSION_CHECK: "1",
    PIP_NO_INPUT: "1",
    PIP_RETRIES: env["PIP_RETRIES"] ?? "2" // pip's own 5 keep someone without network waiting for half a minute
  }
}

/**
 * Whether a folder can be made or written to, told by what is there: Node's recursive mkdir never returns under /proc.
 *
 * @param {string} folder
 * @returns {boolean}
 */
export const canWrite = (folder) => {
  try {
    if (!statSync(folder).isDirectory()) return false
    accessSync(folder, constants.W_OK)
    return true
  } catch (thrown) {
    const parent = dirname(folder)
    return /** @type {NodeJS.ErrnoException} */ (thrown).code === "ENOENT" && parent !== folder && canWrite(parent)
  }
}

/**
 * For npm. Its cache falls back to a temp folder where the home folder is missing or not writable, as in many containers.
 *
 * @returns {{ env: NodeJS.ProcessEnv, release: () => void }}
 */
export const npmEnv = () => {
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env, PATH: outsidePath().join(delimiter) }
  env["npm_config_fetch_retries"] ??= "2"
  env["npm_config_fetch_retry_mintimeout"] ??= "500" // npm's own 10 s would keep someone without network waiting for half a minute
  env["npm_config_fetch_retry_maxtimeout"] ??= "5000"
  const home = env["HOME"] === undefined || env["HOME"] === "" ? homedir() : env["HOME"]
  const cache = env["npm_config_cache"] ?? join(home, ".npm")
  if (canWrite(cache)) return { env, release: () => {} }
  const temporary = mkdtempSync(join(tmpdir(), "snakepit-npm-cache-"))
  return {
    env: { ...env, npm_config_cache: temporary, npm_config_logs_max: "0" },
    release: () => rmSync(temporary, { recursive: true, force: true })
  }
}
