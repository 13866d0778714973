/**
 * `npm run chaos`: real processes under load are harmed, an observer outside the host reads `/proc`, and a ledger accounts for every call.
 *
 * ```text
 * --scenario NAME   which, or `all` (default)
 * --runs N          how many times (each scenario has its own number)
 * --seed S          from 0 to 4294967295; a fresh one otherwise, which is told. Run K of seed S alone: --runs 1 --seed S+K-1
 * --seconds N       how long a healthy worker holds the interpreter lock in gil-hog (10), and how long soak lasts (900)
 * --short           the form for CI: fewer runs, each scenario in seconds
 * --json            the last line of stdout is one JSON object, for `all` the sum
 * --record          writes the line of each scenario that passed to bench/results/chaos.json, for docs/failures.md; not with --short
 * ```
 *
 * What cannot run here says so and counts as skipped, which is neither passed nor failed.
 *
 * What fails prints the command that repeats it and the folder with what its hosts wrote: ledger, journal, events.
 *
 * Exit codes: 0 everything held, or cannot run here and says so; 1 something did not; 64 a wrong flag; 130 interrupted.
 */
import { randomInt } from "node:crypto"
import { parseArgs } from "node:util"
import * as Chance from "./Chance.ts"
import * as Observer from "./Observer.ts"
import * as Record from "./Record.ts"
import * as Scenarios from "./Scenarios.ts"
import { columns, type Failure, none, type Report, type Scenario, Session } from "./Session.ts"

const scenarios = Scenarios.all

const exitUsage = 64 // EX_USAGE
const exitInterrupted = 130 // 128 + SIGINT, as shells have it

const refuse = (message: string): never => {
  console.error(`chaos: ${message}`)
  process.exit(exitUsage)
}

const whole = (flag: string, text: string | undefined, low: number, high: number): number | undefined => {
  if (text === undefined) return undefined
  const value = Number(text)
  return /^\d+$/.test(text) && value >= low && value <= high
    ? value
    : refuse(`--${flag} takes a whole number from ${low} to ${high}, not "${text}"`)
}

const flags = () => {
  try {
    return parseArgs({
      options: {
        scenario: { type: "string", default: "all" },
        runs: { type: "string" },
        seed: { type: "string" },
        seconds: { type: "string" },
        short: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        record: { type: "boolean", default: false }
      }
    }).values
  } catch (thrown) {
    return refuse((thrown as Error).message)
  }
}

const { json, record, scenario: name, short, ...numbers } = flags()
if (record && short) refuse("--record takes no --short: what is recorded are whole runs")
const runs = whole("runs", numbers.runs, 1, 100_000)
const seed = whole("seed", numbers.seed, 0, Chance.seeds - 1) ?? randomInt(Chance.seeds)
const seconds = whole("seconds", numbers.seconds, 1, 86_400)
const chosen = name === "all" ? scenarios : scenarios.filter((scenario) => scenario.name === name)
if (chosen.length === 0) refuse(`no scenario is named "${name}"; there are ${[...scenarios.map(({ name }) => name), "all"].join(", ")}`)

const say = (text: string): void => void process.stdout.write(`${text}\n`)

let current: Session | undefined
const interrupted = () => {
  void (current?.dispose() ?? Promise.resolve()).finally(() => process.exit(exitInterrupted))
}
process.once("SIGINT", interrupted)
process.once("SIGTERM", interrupted)

interface Ran {
  readonly report: Report
  readonly seconds: number
}

const table = (reports: ReadonlyArray<Ran>): string => {
  const more = (report: Report) =>
    Object.entries(report).filter(([key]) => !["scenario", "runs", "seed", "failures", "ok", "skipped", ...columns].includes(key))
      .map(([key, value]) =>
        `${key} ${typeof value === "object" ? Object.entries(value ?? {}).map((entry) => entry.join(" ")).join(", ") : value}`
      )
      .join("; ")
  const rows = [
    ["", "scenario", "runs", ...columns, "seconds", ""],
    ...reports.map(({ report, seconds }) => [
      report.skipped !== undefined ? "skipped" : report.ok ? "ok" : "FAILED",
      report.scenario,
      String(report.runs),
      ...columns.map((column) => String(report[column])),
      seconds.toFixed(1),
      report.skipped ?? more(report)
    ])
  ]
  const widths = rows[0]!.map((_, index) => Math.max(...rows.map((row) => row[index]!.length)))
  return rows.map((row) =>
    row.map((cell, index) => index < 2 ? cell.padEnd(widths[index]!) : cell.padStart(index === row.length - 1 ? 0 : widths[index]!)).join(
      "  "
    )
  )
    .join("\n")
}

const repeat = (scenario: string, { runs, seed }: { readonly runs: number; readonly seed: number }): string =>
  [
    `npm run chaos -- --scenario ${scenario} --runs ${runs} --seed ${seed}`,
    ...(numbers.seconds === undefined ? [] : [`--seconds ${seconds}`]),
    ...(short ? ["--short"] : [])
  ].join(" ")

const explain = (failure: Failure & { readonly scenario: Scenario }, all: Report): void => {
  const { evidence, isConsequence, run, scenario, seed: runSeed, seen } = failure
  say(`\n${scenario.name}, ${run === undefined ? "after the last run" : `run ${run}`}: ${seen}`)
  if (isConsequence) return say("  a consequence: a run that overlapped it had failed, and its host was ended with it")
  for (const folder of evidence) say(`  evidence:       ${folder}`)
  if (run !== undefined && scenario.sharesHost) {
    say(`  as it came:     ${repeat(scenario.name, { runs: run, seed })}`)
    if (run > 1) {
      say(
        `  fresh host:     ${repeat(scenario.name, { runs: 1, seed: runSeed })} (the choices of that run, without the history of its host)`
      )
    }
  } else if (run !== undefined) say(`  that run alone: ${repeat(scenario.name, { runs: 1, seed: runSeed })}`)
  if (run !== all.runs) say(`  all of them:    ${repeat(scenario.name, { runs: all.runs, seed })}`)
}

if (!Observer.canSee()) {
  say(`chaos: ${chosen.length} scenarios skipped: the observer reads /proc, and there is none here`)
  if (json) say(JSON.stringify({ scenario: name, runs: 0, seed, ...none, failures: 0, ok: true, skipped: chosen.length }))
  process.exit(0)
}

say(`chaos: seed ${seed}`)
const reports: Array<Ran> = []
const failures: Array<Failure & { readonly scenario: Scenario }> = []
for (const scenario of chosen) {
  const began = performance.now()
  say(`\n${scenario.name}: ${scenario.about}`)
  const isWhole = !short && (runs === undefined || runs >= (scenario.runs ?? Number.POSITIVE_INFINITY))
  const session = new Session(scenario.name, {
    runs: runs ?? (short ? scenario.shortRuns : scenario.runs),
    seed,
    short,
    seconds,
    events: isWhole ? scenario.mustSee.events : [], // fewer runs may not come to all of them
    say
  })
  current = session
  try {
    await scenario.run(session)
    await session.finish()
  } finally {
    await session.dispose()
  }
  reports.push({ report: session.report, seconds: (performance.now() - began) / 1000 })
  failures.push(...session.failures.map((failure) => ({ ...failure, scenario })))
  if (record && session.report.ok) say(Record.write(session.report, scenarios.map(({ name }) => name)))
}

say(`\n${table(reports)}`)
for (const failure of failures) explain(failure, reports.find(({ report }) => report.scenario === failure.scenario.name)!.report)
if (json) {
  const sum = (column: typeof columns[number]) => reports.reduce((sum, { report }) => sum + report[column], 0)
  say(JSON.stringify(
    name === "all"
      ? {
        scenario: "all",
        runs: reports.reduce((sum, { report }) => sum + report.runs, 0),
        seed,
        ...Object.fromEntries(columns.map((column) => [column, sum(column)])),
        failures: reports.reduce((sum, { report }) => sum + report.failures, 0),
        ok: failures.length === 0,
        skipped: reports.filter(({ report }) => report.skipped !== undefined).length,
        scenarios: reports.map(({ report }) => report)
      }
      : reports[0]!.report
  ))
}
process.exitCode = failures.length === 0 ? 0 : 1
