// @ts-check
/**
 * `node scripts/complete-lock.mjs`, after an `npm install` that changed package-lock.json.
 *
 * npm writes only those platform packages (`@oxlint/binding-darwin-arm64` …) into the lock that the registry of the moment serves, or that
 * an old node_modules holds; then `npm ci` calls the lock out of step. This adds the rest, by name and exact version as their owner
 * lists them. They have no hash, so a later `npm install` against a full registry gives them one.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { isMain } from "./setup.mjs"
import { inCheckout } from "./setup/Checkout.mjs"

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"]

/** npm's word for a processor, by the words that package names use. @type {ReadonlyArray<[RegExp, string]>} */
const processors = [
  [/^(?:arm64|aarch64)$/, "arm64"],
  [/^(?:arm|armv[67]l?)$/, "arm"],
  [/^(?:x64|x86_64|amd64)$/, "x64"],
  [/^(?:ia32|x86)$/, "ia32"],
  [/^(?:loong64|ppc64|riscv64|s390x|mips64el|wasm32)$/, ""]
]

/**
 * What npm needs to leave a package out elsewhere; nothing when the name does not say for which platform it is.
 *
 * @param {string} name
 */
export const platformOf = (name) => {
  const words = (name.split("/").at(-1) ?? "").split("-")
  const os = words.find((word) => systems.includes(word))
  const cpu = words.flatMap((word) => processors.flatMap(([pattern, npmName]) => (pattern.test(word) ? [npmName || word] : [])))[0]
  const libc = words.some((word) => word.startsWith("musl"))
    ? "musl"
    : words.some((word) => /^(?:glibc|gnu)/.test(word))
    ? "glibc"
    : undefined
  if (os === undefined || cpu === undefined) return undefined
  return { cpu: [cpu], libc: os === "linux" && libc !== undefined ? [libc] : undefined, os: [os] }
}

/** @typedef {{ version?: string, dev?: boolean | undefined, optionalDependencies?: Record<string, string>, [key: string]: unknown }} Locked */

/**
 * @param {{ packages: Record<string, Locked> }} lock is added to
 * @returns {Array<string>} what was added
 */
export const complete = (lock) => {
  const added = []
  for (const [owner, { dev, optionalDependencies = {} }] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      const place = `node_modules/${name}`
      const platform = platformOf(name)
      if (place in lock.packages || `${owner}/${place}` in lock.packages || platform === undefined || !/^\d/.test(version)) continue
      const { cpu, libc, os } = platform
      lock.packages[place] = { version, cpu, dev, libc, optional: true, os } // in npm's order, so that npm does not rewrite it
      added.push(`${name}@${version}`)
    }
  }
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, "en")))
  return added
}

if (isMain(import.meta.url)) {
  const file = inCheckout("package-lock.json")
  const lock = JSON.parse(readFileSync(file, "utf8"))
  const added = complete(lock)
  if (added.length > 0) writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
  console.log(added.length === 0 ? "package-lock.json is complete" : `package-lock.json: added ${added.join(", ")}`)
}
