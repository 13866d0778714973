// @ts-check
/** The step "npm packages": `npm ci`, once per state of the lock, and Node itself where the machine's is too old. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { basename, join } from "node:path"
import { inCheckout, root } from "./Checkout.mjs"
import { runLogged } from "./Command.mjs"
import { npmEnv, which } from "./Environment.mjs"
import * as NodeRuntime from "./NodeRuntime.mjs"
import { ExitCode, SetupError } from "./SetupError.mjs"
import { hashOf, readStamp, writeStamp } from "./Stamp.mjs"

/** @typedef {import("./SetupError.mjs").SetupFailure} SetupFailure */

const modules = inCheckout("node_modules")
const stamp = join(modules, ".snakepit-stamp")

/** What of a package.json decides what npm installs or links; the rest may change without a new installation. */
const installFields = [
  "name",
  "version",
  "workspaces",
  "bin",
  "dependencies",
  "devDependencies",
  "optionalDependencies",
  "peerDependencies",
  "peerDependenciesMeta",
  "overrides"
]

/** @returns {Array<string>} the root's package.json and those of `<folder>/*` named in its workspaces */
const manifests = () => {
  const { workspaces = [] } = JSON.parse(readFileSync(inCheckout("package.json"), "utf8"))
  const files = ["package.json"]
  for (const pattern of /** @type {Array<string>} */ (workspaces)) {
    const folder = pattern.replace(/\/\*$/, "")
    const inside = pattern.endsWith("/*") && existsSync(inCheckout(folder))
      ? readdirSync(inCheckout(folder)).sort().map((name) => `${folder}/${name}`)
      : [folder]
    files.push(...inside.map((place) => `${place}/package.json`).filter((file) => existsSync(inCheckout(file))))
  }
  return files
}

/** @param {string} file */
const essence = (file) => {
  const manifest = JSON.parse(readFileSync(inCheckout(file), "utf8"))
  return JSON.stringify([file, ...installFields.map((field) => manifest[field] ?? null)])
}

export const wanted = () => {
  try {
    return hashOf([
      "1", // raise it when this step itself changes what it installs
      `${process.platform}-${process.arch}`,
      readFileSync(inCheckout("package-lock.json"), "utf8"),
      ...manifests().map(essence)
    ])
  } catch (thrown) {
    throw new SetupError({
      what: "package.json or package-lock.json cannot be read",
      where: root,
      cause: thrown instanceof Error ? thrown.message : String(thrown),
      next: "bring the files back with `git checkout -- package.json package-lock.json` and run the same command again",
      exitCode: ExitCode.config
    })
  }
}

export const isDone = () => readStamp(stamp) === wanted()

/** npm as a command: the one that started us, else the one on PATH. @returns {{ program: string, args: Array<string> } | undefined} */
const findNpm = () => {
  const script = process.env["npm_execpath"]
  if (script !== undefined && basename(script) === "npm-cli.js" && existsSync(script)) {
    return { program: process.env["npm_node_execpath"] ?? process.execPath, args: [script] }
  }
  const program = which("npm")
  return program === undefined ? undefined : { program, args: [] }
}

export const requireNpm = () => {
  const npm = findNpm()
  if (npm !== undefined) return npm
  throw new SetupError({
    what: "npm is missing",
    where: "PATH",
    cause: "Node was installed without npm (Debian and Ubuntu have it in a package of its own)",
    next: "install npm (Debian, Ubuntu: `sudo apt-get install npm`; else Node from https://nodejs.org) and run the same command again",
    exitCode: ExitCode.unavailable
  })
}

/** What npm's log tells, the first that fits. @type {ReadonlyArray<[RegExp, Pick<SetupFailure, "what" | "cause" | "next" | "exitCode">]>} */
const known = [
  [/\b(?:ENOSPC|EDQUOT)\b/, {
    what: "npm packages could not be installed: the disk is full",
    cause: "no room left for about 700 MB of packages",
    next: "free some space and run the same command again",
    exitCode: ExitCode.cantCreate
  }],
  [/\b(?:EACCES|EPERM|EROFS)\b/, {
    what: "npm packages could not be installed: no right to write",
    cause: "a file in the checkout or in npm's cache belongs to another user",
    next: "give what the log names to this user, or clone to a folder of your own, and run the same command again",
    exitCode: ExitCode.cantCreate
  }],
  [
    /\b(?:E(?:CONN(?:REFUSED|RESET)|NOTFOUND|AI_AGAIN|TIMEDOUT|NETUNREACH|HOSTUNREACH|NOTCACHED)|ERR_SOCKET_TIMEOUT|\w+_(?:ISSUER_CERT_LOCALLY|CERT_IN_CHAIN))\b/,
    {
      what: "npm packages could not be fetched: the npm registry cannot be reached",
      cause: "no network, or a proxy or registry mirror that npm has not been told of",
      next: "check the network (`npm ping`), HTTPS_PROXY and `npm config get registry`, then run the same command again",
      exitCode: ExitCode.unavailable
    }
  ],
  [/\bEUSAGE\b/, {
    what: "package-lock.json does not fit package.json",
    cause: "a package.json was changed without `npm install`, or the registry of that install lacked packages for other platforms",
    next: "run `npm install`, then `node scripts/complete-lock.mjs`, commit package-lock.json, and run the same command again",
    exitCode: ExitCode.config
  }],
  [/\bEINTEGRITY\b/, {
    what: "an npm package is not the one that package-lock.json names",
    cause: "a registry mirror or a cache that holds damaged or other packages",
    next: "run `npm cache clean --force` and the same command again; if it stays, ask whoever runs the mirror",
    exitCode: ExitCode.unavailable
  }]
]

/** @param {{ missing: boolean, log: string, text: string, tail: string }} failed @param {string} command */
const explain = (failed, command) => {
  const failure = known.find(([pattern]) => pattern.test(failed.text))?.[1] ?? {
    what: failed.missing ? "npm could not be started" : "npm packages could not be installed",
    cause: failed.missing ? "the npm on PATH is broken" : "see npm's own lines below",
    next: "mend what it names (does `npm --version` work?), then run the same command again",
    exitCode: ExitCode.software
  }
  return new SetupError({ ...failure, where: `${command} (log: ${failed.log})`, detail: failed.tail })
}

/** `NODE_ENV=production` and a user's npmrc must not decide what we install; install scripts are not needed, so they do not run. */
const flags = [
  "--include=dev",
  "--include=optional",
  "--include=peer",
  "--ignore-scripts",
  "--engine-strict=false",
  "--prefer-offline",
  "--no-audit",
  "--no-fund",
  "--no-progress",
  "--loglevel=error"
]

/**
 * @param {{ program: string, args: ReadonlyArray<string> }} npm
 * @param {ReadonlyArray<string>} args
 * @param {AbortSignal} signal
 */
const runNpm = async (npm, args, signal) => {
  const { env, release } = npmEnv()
  try {
    return await runLogged("npm", npm.program, [...npm.args, ...args, ...flags], { cwd: root, env, signal })
  } finally {
    release()
  }
}

/** @param {AbortSignal} signal */
export const install = async (signal) => {
  const npm = requireNpm()
  const hash = wanted()
  let done = false
  rmSync(stamp, { force: true })
  try {
    const all = await runNpm(npm, ["ci"], signal)
    if (!all.ok) throw explain(all, "npm ci")
    if (NodeRuntime.ofMachine() === undefined && NodeRuntime.ofPackage() === undefined) {
      const name = `${NodeRuntime.bundledPackage}@${NodeRuntime.bundledVersion}`
      const one = await runNpm(npm, ["install", "--no-save", "--no-package-lock", name], signal)
      if (!one.ok) throw /\bE404\b|ETARGET|EBADPLATFORM/.test(one.text) ? NodeRuntime.noneFor() : explain(one, `npm install ${name}`)
      if (NodeRuntime.ofPackage() === undefined) throw NodeRuntime.noneFor()
    }
    mkdirSync(modules, { recursive: true }) // npm makes none for a project without dependencies
    writeStamp(stamp, hash)
    done = true
  } finally {
    // `npm ci` removes the folder before it begins, so what a failure leaves there is of no use to anybody.
    if (!done) rmSync(modules, { recursive: true, force: true, maxRetries: 5 })
  }
}
