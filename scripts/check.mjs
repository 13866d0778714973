// @ts-check
/**
 * `npm run check`: formatting, lint, types, arrows and generated code of both languages; one line each, details only of what failed.
 *
 * `npm run check -- types lint` runs only the checks so named.
 */
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { checkArrows } from "./check-arrows.mjs"
import * as Gen from "./gen.mjs"
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"

/** @typedef {{ ok: boolean, text: string }} Verdict */

const { env: toolEnv, node, python } = await setupOrExit()
const cache = inCheckout("node_modules", ".cache")
/** @type {NodeJS.ProcessEnv} no tool may need a home folder */
const env = {
  ...Gen.bufEnv(toolEnv),
  DPRINT_CACHE_DIR: join(cache, "dprint"),
  MYPY_CACHE_DIR: join(cache, "mypy"),
  RUFF_CACHE_DIR: join(cache, "ruff"),
  NO_COLOR: "1"
}
/** Its pyproject.toml says which folders, and how. */
const pythonRoot = inCheckout("python")

/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set()
process.on("exit", () => running.forEach((child) => child.kill()))
for (const name of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) process.on(name, () => process.exit(1))

/** @param {string} program @param {ReadonlyArray<string>} args @param {string} [cwd] @returns {Promise<Verdict>} */
const command = (program, args, cwd = root) =>
  new Promise((resolve) => {
    const child = spawn(program, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] })
    running.add(child)
    let text = ""
    child.stdout.setEncoding("utf8").on("data", (part) => (text += part))
    child.stderr.setEncoding("utf8").on("data", (part) => (text += part))
    child.once("error", (error) => resolve({ ok: false, text: `${program} could not be started: ${error.message}` }))
    child.once("close", (code) => {
      running.delete(child)
      resolve({ ok: code === 0, text })
    })
  })

/** @param {...string} parts of a path in node_modules, then arguments */
const script = (...parts) => {
  const [file = "", ...args] = parts
  return command(node, [inCheckout("node_modules", ...file.split("/")), ...args])
}

/** tsc with the Effect diagnostics inside: same compiler, same options, more errors. @returns {Promise<Verdict>} */
const types = async () => {
  const where = await script("@effect/tsgo/dist/effect-tsgo.cjs", "get-exe-path")
  return where.ok ? command(where.text.trim(), ["-b"]) : where
}

/** @param {string} folder @returns {Map<string, Buffer>} */
const filesIn = (folder) => {
  const entries = existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }) : []
  return new Map(
    entries.filter((entry) => entry.isFile()).map((entry) => {
      const file = join(entry.parentPath, entry.name)
      return [file.slice(folder.length + 1), readFileSync(file)]
    })
  )
}

/** @returns {Promise<Verdict>} */
const generated = async () => {
  const target = mkdtempSync(join(tmpdir(), "snakepit-gen-"))
  try {
    mkdirSync(dirname(join(target, Gen.descriptors)), { recursive: true })
    for (const args of Gen.commands(target)) {
      const made = await command("buf", args)
      if (!made.ok) return made
    }
    const folders = [Gen.typescript, dirname(Gen.descriptors)]
    const stale = folders.flatMap((folder) => {
      const fresh = filesIn(join(target, folder))
      const here = filesIn(inCheckout(folder))
      const extra = folder === Gen.typescript ? [...here.keys()].filter((name) => !fresh.has(name)) : []
      const differing = [...fresh].filter(([name, content]) => !here.get(name)?.equals(content)).map(([name]) => name)
      return [...extra, ...differing].map((name) => join(folder, name))
    })
    return { ok: stale.length === 0, text: `${stale.join("\n")}\nis not what proto/ gives: run \`npm run gen\` and commit it\n` }
  } finally {
    rmSync(target, { recursive: true, force: true })
  }
}

/** @returns {Promise<Verdict>} */
const arrows = async () => {
  const violations = checkArrows(root)
  return {
    ok: violations.length === 0,
    text: violations.map(({ file, line, rule, specifier }) => `${file}:${line}: "${specifier}": ${rule}\n`).join("")
  }
}

/** The slow ones first, so that the short ones fill the other core. @type {ReadonlyArray<[name: string, what: string, () => Promise<Verdict>]>} */
const checks = [
  ["mypy", "Python types", () => command(python, ["-m", "mypy", "--strict"], pythonRoot)],
  ["format", "TypeScript, JSON and Markdown format", () => script("dprint/bin.cjs", "check")],
  ["types", "TypeScript and Effect types", types],
  ["generated", "generated protobuf code", generated],
  ["lint", "TypeScript lint", () => script("oxlint/bin/oxlint", "--deny-warnings", ".")],
  ["proto", "protobuf lint", () => command("buf", ["lint"])],
  ["arrows", "import arrows", arrows],
  ["ruff", "Python lint", () => command(python, ["-m", "ruff", "check", "--quiet"], pythonRoot)],
  ["ruff-format", "Python format", () => command(python, ["-m", "ruff", "format", "--check", "--quiet", "--diff"], pythonRoot)]
]

const wanted = process.argv.slice(2)
const known = checks.map(([name]) => name)
const unknown = wanted.filter((name) => !known.includes(name))
if (unknown.length > 0) {
  console.error(`snakepit: no check is named ${unknown.join(", ")}; there are ${known.join(", ")}`)
  process.exit(64)
}
const queue = checks.filter(([name]) => wanted.length === 0 || wanted.includes(name))
let failures = 0

const worker = async () => {
  for (let check = queue.shift(); check !== undefined; check = queue.shift()) {
    const [name, what, run] = check
    const start = performance.now()
    const { ok, text } = await run()
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    console.log(`check: ${ok ? "ok    " : "FAILED"} ${seconds.padStart(5)} s  ${name}: ${what}`)
    if (!ok) {
      failures++
      console.log(text.trimEnd().replace(/^/gm, "  | "))
    }
  }
}
await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, worker))
console.log(
  failures === 0 ? "check: all is well" : `check: ${failures} failed (\`npm run format\` mends formats, \`npm run gen\` generated code)`
)
process.exitCode = failures === 0 ? 0 : 1
