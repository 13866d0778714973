// @ts-check
/** Which Node runs Snakepit: the one that is here when new enough, else the one that npm brings. */
import { execFileSync } from "node:child_process"
import { accessSync, constants } from "node:fs"
import { inCheckout, isInCheckout } from "./Checkout.mjs"
import { which } from "./Environment.mjs"
import { ExitCode, SetupError } from "./SetupError.mjs"

/** Effect 4 asks for it, and it is the first Node 22 that runs TypeScript without a flag and has what we use. */
export const oldest = Object.freeze({ major: 22, minor: 19 })

/** The packages `node-<platform>-<arch>` hold nothing but the program. */
export const bundledVersion = "24.21.0"

/** @param {string} version as `process.version` has it */
export const isRecent = (version) => {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number)
  return major > oldest.major || (major === oldest.major && minor >= oldest.minor)
}

/** @param {string} program @returns {string | undefined} */
const versionOf = (program) => {
  try {
    return execFileSync(program, ["--version"], { encoding: "utf8", timeout: 20_000, stdio: ["ignore", "pipe", "ignore"] }).trim()
  } catch {
    return undefined
  }
}

/** A Node of this machine that is new enough. @returns {{ program: string, version: string } | undefined} */
export const ofMachine = () => {
  if (isRecent(process.version) && !isInCheckout(process.execPath)) {
    return { program: process.execPath, version: process.version }
  }
  const program = which("node")
  const version = program === undefined ? undefined : versionOf(program)
  return program !== undefined && version !== undefined && isRecent(version) ? { program, version } : undefined
}

export const bundledPackage = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`

/** The Node that npm brought. @returns {{ program: string, version: string } | undefined} */
export const ofPackage = () => {
  const program = inCheckout("node_modules", bundledPackage, "bin", process.platform === "win32" ? "node.exe" : "node")
  try {
    accessSync(program, constants.X_OK)
  } catch {
    return undefined
  }
  const version = versionOf(program)
  return version === undefined ? undefined : { program, version }
}

export const noneFor = () =>
  new SetupError({
    what: `Node ${oldest.major}.${oldest.minor} or newer is needed; this is ${process.version}`,
    where: process.execPath,
    cause: `npm has no package ${bundledPackage}@${bundledVersion}, or it does not run on this system`,
    next: "install Node 24 from https://nodejs.org or with your system's package manager, put it on PATH, and run the same command again",
    exitCode: ExitCode.unavailable
  })
