// @ts-check
/**
 * Keeps the arrows of the house: which package may import which, and that nobody reaches into another's `internal/`.
 *
 * ```text
 * core <- pool <- bridge <- snakepit        core <- telemetry <- { dashboard, snakepit }        pool <- dashboard <- snakepit
 * ```
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { isBuiltin } from "node:module"
import { dirname, join, relative, resolve, sep } from "node:path"
import { isMain } from "./setup.mjs"
import { root as checkout } from "./setup/Checkout.mjs"

/** Which packages a package may import; what it may not is a violation even when package.json lists it. @type {Record<string, ReadonlyArray<string>>} */
const arrows = {
  core: [],
  telemetry: ["core"],
  pool: ["core"],
  bridge: ["core", "pool"],
  dashboard: ["core", "telemetry", "pool"],
  snakepit: ["core", "telemetry", "pool", "bridge", "dashboard"]
}

/** Whether Node itself has it: also what only a newer one has than the Node that runs this. @type {(specifier: string) => boolean} */
const isOfNode = (specifier) => specifier.startsWith("node:") || isBuiltin(specifier)

/** @typedef {{ file: string, line: number, specifier: string, rule: string }} Violation */
/** @typedef {{ specifier: string, line: number }} Import */

const tokenPattern = new RegExp(
  [
    String.raw`\/\/[^\n]*`, // line comment
    String.raw`\/\*[\s\S]*?\*\/`, // block comment, where examples with imports live
    String.raw`"(?:[^"\\\n]|\\[\s\S])*"`,
    String.raw`'(?:[^'\\\n]|\\[\s\S])*'`,
    "`(?:[^`\\\\]|\\\\[\\s\\S])*`", // a template is skipped whole: imports do not hide in one
    String.raw`(?<=[=(,:;!&|?{}[+\-*%~^<>]\s*|\breturn\s+)\/(?![*/])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*`, // regular expression
    String.raw`[A-Za-z_$][\w$]*`,
    String.raw`\S`
  ].join("|"),
  "g"
)

/**
 * Static, dynamic and re-exporting imports. A small scanner rather than a parser: TypeScript 7 has no compiler API.
 *
 * @param {string} source
 * @returns {Array<Import>}
 */
export const importsOf = (source) => {
  /** @type {Array<Import>} */
  const found = []
  let before = ""
  let last = ""
  let line = 1
  let at = 0
  for (const match of source.matchAll(tokenPattern)) {
    const token = match[0]
    if (token.startsWith("//") || token.startsWith("/*")) continue
    const isString = token.length > 1 && (token.startsWith("\"") || token.startsWith("'"))
    const called = last === "(" && (before === "import" || before === "require")
    if (isString && (called || last === "from" || (last === "import" && before !== "."))) {
      line += source.slice(at, match.index).split("\n").length - 1
      at = match.index
      found.push({ specifier: token.slice(1, -1), line })
    }
    before = last
    last = token
  }
  return found
}

/** @param {string} folder @returns {Array<string>} */
const sourcesIn = (folder) =>
  !existsSync(folder) ? [] : readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const place = join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === "node_modules" || entry.name === "dist" ? [] : sourcesIn(place)
    return /\.[cm]?[jt]sx?$/.test(entry.name) ? [place] : []
  })

/** @param {string} file @returns {Set<string>} */
const declaredIn = (file) => {
  if (!existsSync(file)) return new Set()
  const manifest = JSON.parse(readFileSync(file, "utf8"))
  const kinds = ["dependencies", "peerDependencies", "optionalDependencies", "devDependencies"]
  return new Set([manifest.name, ...kinds.flatMap((kind) => Object.keys(manifest[kind] ?? {}))])
}

/** @param {string} specifier "@scope/name/sub" -> "@scope/name" */
const packageOf = (specifier) => specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/")

/** @param {string} name @returns {string | undefined} the folder under packages/ when it is one of ours */
const ownFolder = (name) => {
  if (name === "snakepit") return "snakepit"
  return name.startsWith("@snakepit/") ? name.slice("@snakepit/".length) : undefined
}

/** @param {string} name */
const isEffect = (name) => name === "effect" || name.startsWith("@effect/")

/** @param {string} place @param {string} folder */
const isInside = (place, folder) => place === folder || place.startsWith(folder + sep)

/** @param {string} root @returns {Array<Violation>} */
export const checkArrows = (root) => {
  /** @type {Array<Violation>} */
  const violations = []

  /**
   * @param {string} home no relative import leaves it
   * @param {string} folder
   * @param {(specifier: string, name: string, own: string | undefined) => string | undefined} judge a bare import: the rule it breaks
   */
  const check = (home, folder, judge) => {
    for (const file of sourcesIn(folder)) {
      for (const { line, specifier } of importsOf(readFileSync(file, "utf8"))) {
        const name = packageOf(specifier)
        const own = ownFolder(name)
        const rule = specifier.startsWith(".")
          ? isInside(resolve(dirname(file), specifier), home)
            ? undefined
            : "a relative import must stay in its package: import the other one by name"
          : own !== undefined && /\/internal(?:\/|$)/.test(specifier)
          ? "internal/ belongs to its package alone: import a public module"
          : judge(specifier, name, own)
        if (rule !== undefined) violations.push({ file: relative(root, file), line, specifier, rule })
      }
    }
  }

  const shared = declaredIn(join(root, "package.json"))

  for (const [name, allowed] of Object.entries(arrows)) {
    const home = join(root, "packages", name)
    const declared = declaredIn(join(home, "package.json"))
    /** @param {string} target @param {string | undefined} own */
    const arrow = (target, own) =>
      own === undefined || own === name || allowed.includes(own)
        ? undefined
        : `${name} may import ${allowed.length === 0 ? "no other package of ours" : allowed.join(", ")}; not ${target}`

    check(home, join(home, "src"), (specifier, target, own) => {
      if (name === "core" && target !== "effect" && own !== "core") return "core depends on effect alone"
      if (isOfNode(specifier)) return undefined
      return arrow(target, own) ??
        (declared.has(target) ? undefined : `${target} is not among the dependencies in packages/${name}/package.json`)
    })
    check(
      home,
      join(home, "test"),
      (specifier, target, own) =>
        isOfNode(specifier) || declared.has(target) || shared.has(target)
          ? arrow(target, own)
          : arrow(target, own) ?? `${target} is not a declared dependency`
    )
  }

  const examples = join(root, "examples")
  for (const name of existsSync(examples) ? readdirSync(examples) : []) {
    const home = join(examples, name)
    const declared = declaredIn(join(home, "package.json"))
    check(home, home, (specifier, target, own) => {
      if (isOfNode(specifier)) return undefined
      if (own === undefined && !isEffect(target) && !shared.has(target) && !declared.has(target)) {
        return "an example imports snakepit, @snakepit/* and effect, and what its package.json names"
      }
      return own === undefined || own === "snakepit" || declared.has(target)
        ? undefined
        : `${target} is not among the dependencies in examples/${name}/package.json`
    })
  }

  // Tests that cross packages may import every public entry, and the set-up that they test; so may measurements.
  for (const folder of ["test", "bench"]) check(root, join(root, folder), () => undefined)

  return violations
}

if (isMain(import.meta.url)) {
  const violations = checkArrows(checkout)
  for (const { file, line, rule, specifier } of violations) console.error(`${file}:${line}: "${specifier}": ${rule}`)
  process.exitCode = violations.length === 0 ? 0 : 1
}
