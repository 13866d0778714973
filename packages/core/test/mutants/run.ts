/**
 * `npm run test:mutants`: plants one mutant after the other in core's engine and runs the tests against it, until one of them fails.
 *
 * ```text
 * --only ID    these mutants alone; may be given more than once
 * --json       the last line is {"mutants":N,"killed":N,"survived":[ID, …]}
 * ```
 *
 * Exit codes: 0 all killed, 1 some survived or the tests fail without any mutant, 64 a wrong argument or a stale mutant.
 */
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { apply, mutants } from "./Mutants.ts"
import type { Mutant } from "./Mutants.ts"

const atOnce = 2 // each keeps a core busy

const root = fileURLToPath(new URL("../../../../", import.meta.url))

/** How the tests ended: `failed` names the first that did, or says what else went wrong. */
interface Run {
  readonly failed: string | undefined
  readonly seconds: number
}

const usage = (message: string): never => {
  console.error(`test:mutants: ${message}`)
  process.exit(64)
}

const runTests = (id: string, limitMillis: number): Promise<Run> =>
  new Promise((resolve, reject) => {
    const start = performance.now()
    const args = ["node_modules/vitest/vitest.mjs", "run", "--config=packages/core/test/mutants/vitest.config.ts"]
    const tests = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, SNAKEPIT_MUTANT: id },
      stdio: ["ignore", "pipe", "ignore"]
    })
    let said = ""
    tests.stdout.on("data", (text) => void (said += text))
    let late = false
    const timer = setTimeout(() => {
      late = true
      tests.kill("SIGKILL")
    }, limitMillis)
    tests.once("error", reject)
    tests.once("close", (code) => {
      clearTimeout(timer)
      const failed = late
        ? `timeout: it hangs, no end within ${Math.round(limitMillis / 1000)} s`
        : said.trimEnd().split("\n").at(-1) || `the tests ended with the exit code ${code}`
      resolve({ failed: code === 0 ? undefined : failed, seconds: (performance.now() - start) / 1000 })
    })
  })

const chosen = (only: ReadonlyArray<string>): ReadonlyArray<Mutant> => {
  const unknown = only.filter((wanted) => mutants.every(({ id }) => id !== wanted))
  if (unknown.length > 0) usage(`there is no mutant ${unknown.join(", ")}. Their ids are in packages/core/test/mutants/Mutants.ts`)
  return only.length === 0 ? mutants : mutants.filter(({ id }) => only.includes(id))
}

const parse = () => {
  try {
    return parseArgs({ options: { only: { type: "string", multiple: true, default: [] }, json: { type: "boolean", default: false } } })
      .values
  } catch (thrown) {
    return usage((thrown as Error).message)
  }
}

const requireFresh = (all: ReadonlyArray<Mutant>): void => {
  try {
    for (const mutant of all) apply(mutant, readFileSync(join(root, mutant.file), "utf8"))
  } catch (thrown) {
    usage((thrown as Error).message)
  }
}

const main = async (): Promise<number> => {
  const { json, only } = parse()
  const all = chosen(only)
  requireFresh(mutants)
  const start = performance.now()
  const baseline = await runTests("none", 10 * 60_000)
  console.log(`without a mutant: ${baseline.failed ?? "all tests pass"}, ${baseline.seconds.toFixed(1)} s`)
  if (baseline.failed !== undefined) return 1
  const limitMillis = 30_000 + 4_000 * baseline.seconds // two at once, on a machine that does other things too
  const survived: Array<string> = []
  const left = [...all]
  const work = async (): Promise<void> => {
    for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
      const { failed, seconds } = await runTests(mutant.id, limitMillis)
      if (failed === undefined) survived.push(mutant.id)
      console.log(`${mutant.id.padEnd(34)} ${seconds.toFixed(1).padStart(5)} s  ${failed ?? `SURVIVED: ${mutant.why}`}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  const killed = all.length - survived.length
  console.log(`${((performance.now() - start) / 1000).toFixed(0)} s`)
  console.log(`${all.length} mutants, ${killed} killed, ${survived.length} survived`)
  if (json) console.log(JSON.stringify({ mutants: all.length, killed, survived }))
  return survived.length === 0 ? 0 : 1
}

process.exitCode = await main()
