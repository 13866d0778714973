// @ts-check
/** Finds a Python that can make a virtual environment. */
import { execFileSync } from "node:child_process"
import { isInCheckout } from "./Checkout.mjs"
import { pythonEnv, which } from "./Environment.mjs"
import { ExitCode, SetupError } from "./SetupError.mjs"

export const oldest = Object.freeze({ major: 3, minor: 11 })

/** @typedef {{ program: string, version: string, base: string, modules: ReadonlyArray<string> }} Probe */

/** Old Pythons run it too. `base` is what a virtual environment made from here rests on. */
const probeSource = `
import sys, json
found = []
for name in ("venv", "ensurepip"):
    try:
        __import__(name)
        found.append(name)
    except Exception:
        pass
print(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3], "base": getattr(sys, "base_prefix", sys.prefix), "modules": found}))
`

/** @param {string} program @returns {Probe | undefined} nothing when it does not run, as a pyenv shim without its version */
export const probe = (program) => {
  try {
    const text = execFileSync(program, ["-c", probeSource], {
      encoding: "utf8",
      env: pythonEnv(),
      timeout: 30_000,
      stdio: ["ignore", "pipe", "ignore"]
    })
    return { program, ...JSON.parse(text.trim().split("\n").at(-1) ?? "") }
  } catch {
    return undefined
  }
}

/** @param {string} version */
export const isRecent = (version) => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  return major > oldest.major || (major === oldest.major && minor >= oldest.minor)
}

/** @param {Probe} found */
const canMakeVenv = (found) => found.modules.includes("venv") && found.modules.includes("ensurepip")

/** The Python asked for by name. Our own environment, which `npm start` hands to its children, is no such wish. */
export const asked = () => {
  const name = process.env["SNAKEPIT_PYTHON"]
  if (name === undefined || name === "") return undefined
  return isInCheckout(name) ? undefined : name
}

const orSetIt = "or name another one with SNAKEPIT_PYTHON=/path/to/python3"

/** @param {string | undefined} version */
const howToGet = (version) => {
  switch (process.platform) {
    case "darwin":
      return `install one (\`brew install python@3.12\`) ${orSetIt}`
    case "win32":
      return `install one from https://www.python.org/downloads/ ${orSetIt}`
    default:
      return version === undefined
        ? `install one (Debian, Ubuntu: \`sudo apt-get install python3 python3-venv\`; Fedora: \`sudo dnf install python3\`) ${orSetIt}`
        : `install a newer one (Debian, Ubuntu: \`sudo apt-get install python3.11 python3.11-venv\`; Fedora: \`sudo dnf install python3.12\`) ${orSetIt}`
  }
}

/** @param {Probe} found @param {string} cause */
export const noVenv = (found, cause) =>
  new SetupError({
    what: `Python ${found.version} is here but cannot make a virtual environment`,
    where: found.program,
    cause,
    next: process.platform === "linux"
      ? `install the missing part (Debian, Ubuntu: \`sudo apt-get install python${
        found.version.split(".").slice(0, 2).join(".")
      }-venv\`) ${orSetIt}, then run the same command again`
      : `${howToGet(found.version)}, then run the same command again`,
    exitCode: ExitCode.unavailable
  })

/** @param {Probe} found */
const tooOld = (found) =>
  new SetupError({
    what: `Python ${oldest.major}.${oldest.minor} or newer is needed; the newest found here is ${found.version}`,
    where: found.program,
    cause: "no newer Python is on PATH",
    next: howToGet(found.version),
    exitCode: ExitCode.unavailable
  })

/** @param {Probe} found @returns {SetupError | undefined} */
const fault = (found) => {
  if (!isRecent(found.version)) return tooOld(found)
  if (!canMakeVenv(found)) {
    const missing = ["venv", "ensurepip"].filter((name) => !found.modules.includes(name)).join(" and ")
    return noVenv(found, `its module ${missing} is missing: some systems put it in a package of its own`)
  }
  return undefined
}

/** @returns {Probe} */
export const find = () => {
  const wish = asked()
  if (wish !== undefined) {
    const found = probe(/[\\/]/.test(wish) ? wish : which(wish) ?? wish)
    if (found === undefined) {
      throw new SetupError({
        what: "the Python named by SNAKEPIT_PYTHON does not run",
        where: `SNAKEPIT_PYTHON=${wish}`,
        cause: "there is no such program, or it is no Python",
        next: "set SNAKEPIT_PYTHON to the path of a Python 3.11 or newer, or unset it to have one looked for on PATH",
        exitCode: ExitCode.config
      })
    }
    const failed = fault(found)
    if (failed !== undefined) throw failed
    return found
  }
  /** @type {Probe | undefined} */
  let old
  /** @type {SetupError | undefined} */
  let bare
  for (const name of ["python3", "python3.11", "python3.12", "python3.13", "python3.14", "python"]) {
    const program = which(name)
    const found = program === undefined ? undefined : probe(program)
    if (found === undefined) continue
    const failed = fault(found)
    if (failed === undefined) return found
    if (isRecent(found.version)) bare ??= failed
    else old ??= found
  }
  if (bare !== undefined) throw bare
  if (old !== undefined) throw tooOld(old)
  throw new SetupError({
    what: "Python is missing: version 3.11 or newer is needed",
    where: "PATH",
    cause: "no python3 on PATH runs",
    next: howToGet(undefined),
    exitCode: ExitCode.unavailable
  })
}
