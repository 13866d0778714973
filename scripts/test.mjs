// @ts-check
/**
 * `npm test`: sets up, then runs every test of both languages. The last line counts them: `N passed, N failed[, N skipped]`.
 *
 * `npm test -- <filter>` passes its words to Vitest and leaves pytest out, unless `--python` is among them.
 *
 * A declared event that no test has seen counts as one failed test, when all have run.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"
import { exitCodeOf } from "./setup/Interruption.mjs"
import { runJob } from "./setup/Job.mjs"
import * as Tally from "./tally.mjs"

const { env, node, python } = await setupOrExit()

const words = process.argv.slice(2)
const filter = words.filter((word) => word !== "--python")
const withPython = filter.length === 0 || filter.length < words.length

const folder = mkdtempSync(join(tmpdir(), "snakepit-test-"))

/** @param {string} file */
const readReport = (file) => {
  try {
    return readFileSync(file, "utf8")
  } catch {
    return undefined
  }
}

/**
 * @param {string} report
 * @param {string} program
 * @param {ReadonlyArray<string>} args
 * @param {NodeJS.ProcessEnv} variables
 */
const run = async (report, program, args, variables) => {
  const ended = await runJob(program, args, { cwd: root, env: variables, sweep: true })
  if (ended.failure !== undefined) console.error(`snakepit: ${program} could not be started: ${ended.failure}`)
  return { ...ended, report: readReport(report) }
}

const seen = join(folder, "events")
mkdirSync(seen)

const vitest = async () => {
  const report = join(folder, "vitest.json")
  const ended = await run(report, node, [
    inCheckout("node_modules", "vitest", "vitest.mjs"),
    "run",
    "--config",
    "vitest.workspace.ts",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...filter
  ], { ...env, SNAKEPIT_EVENTS_SEEN: seen })
  const tally = Tally.ofVitest(ended)
  const isWhole = filter.length === 0 && ended.interrupted === undefined && ended.report !== undefined
  return { name: "vitest", interrupted: ended.interrupted, tally: isWhole ? Tally.withUnseen(tally, unseenEvents()) : tally }
}

/** As `scripts/unseenEvents.ts` ended. */
const unseenEvents = () => {
  const { status, stderr, stdout } = spawnSync(
    node,
    ["--disable-warning=ExperimentalWarning", "--conditions=source", inCheckout("scripts", "unseenEvents.ts"), seen],
    { cwd: root, env, encoding: "utf8" }
  )
  return { code: status, stdout, stderr }
}

const pytest = async () => {
  const report = join(folder, "pytest.xml")
  const ended = await run(
    report,
    python,
    ["-m", "pytest", "-p", "no:cacheprovider", "-q", `--junit-xml=${report}`, inCheckout("python", "tests")],
    { ...env, PYTHONPATH: [inCheckout("python", "src")].join(delimiter), PYTHONDONTWRITEBYTECODE: "1" }
  )
  return { name: "pytest", interrupted: ended.interrupted, tally: Tally.ofPytest(ended) }
}

try {
  const ended = []
  for (const runner of withPython ? [vitest, pytest] : [vitest]) {
    const result = await runner()
    ended.push(result)
    if (result.interrupted !== undefined) break
  }
  console.log()
  for (const { name, tally } of ended) {
    for (const note of tally.notes) console.log(`FAILED: ${note}`)
    console.log(`${name}: ${Tally.line(tally)}`)
  }
  const sum = Tally.total(ended.map(({ tally }) => tally))
  console.log(Tally.line(sum))
  const interrupted = ended.at(-1)?.interrupted
  process.exitCode = interrupted !== undefined ? exitCodeOf(interrupted) : sum.failed === 0 ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
