/**
 * `npm run bench -- <suite> [options]`: measures, reports, and keeps the result with the facts of the machine. README.md says what is measured.
 *
 * ```text
 *  --rounds N               interleaved rounds, 5 unless told; less is not kept
 *  --only KEY               only what gives ratios whose names begin so; not kept
 *  --json                   the last line is {"machine":…,"rounds":…,"ratios":{…}}
 *  --fail-under must | aim  exits 1 when a ratio has not reached that, or was not measured
 *  --profile                instead of measuring: a CPU profile of the host, and what it sums up to
 * ```
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as Bench from "./Bench.ts"
import * as Goal from "./Goal.ts"
import * as Profile from "./Profile.ts"

const suites: { readonly [name: string]: () => Promise<Bench.Suite> } = {
  call: () => import("./call/Call.ts"),
  core: () => import("./core/Core.ts"),
  large: () => import("./large/Large.ts"),
  start: () => import("./start/Start.ts")
}
const fewest = 5 // the median of less says little

const refuse = (message: string): never => {
  console.error(`bench: ${message}`)
  process.exit(64)
}
const say = (line: string) => console.error(`bench: ${line}`)

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    rounds: { type: "string", default: String(fewest) },
    only: { type: "string" },
    "fail-under": { type: "string" },
    profile: { type: "boolean", default: false }
  }
})
const [name = ""] = positionals
if (name === "types") { // no ratio of interleaved rounds: it starts compilers
  await import("./core/TypeCheck.ts")
  process.exit()
}
const open = suites[name] ?? refuse(`no suite is named "${name}"; there are ${[...Object.keys(suites), "types"].join(", ")}`)
const rounds = Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1) refuse(`--rounds wants a whole number above 0, got "${values.rounds}"`)
const bound = (["must", "aim"] as const).find((bound) => bound === values["fail-under"])
if (bound === undefined && values["fail-under"] !== undefined) refuse(`--fail-under wants must or aim, got "${values["fail-under"]}"`)

const { facts, measurements, profiled } = await open()

if (values.profile) {
  await Profile.report(profiled ?? refuse(`${name} has nothing to profile`), `${name}.cpuprofile`, say)
  process.exit()
}

const { only } = values
const chosen = measurements.filter(({ ratios }) => only === undefined || Object.keys(ratios).some((key) => key.startsWith(only)))
if (chosen.length === 0) refuse(`no ratio of ${name} begins with "${only}"`)
const report = await Bench.run(chosen, rounds, facts, say)
console.log(Bench.render(report))
if (rounds >= fewest && only === undefined) {
  const results = fileURLToPath(new URL("results/", import.meta.url))
  mkdirSync(results, { recursive: true })
  writeFileSync(`${results}${name}.json`, `${JSON.stringify(report, null, 2)}\n`)
} else console.log(`not kept: that takes all of the suite and ${fewest} rounds`)
const under = bound === undefined ? [] : Goal.under(bound, report.goals)
if (under.length > 0) say(`under the ${bound}: ${under.join(", ")}`)
if (values.json) console.log(JSON.stringify({ machine: report.machine, rounds: report.rounds, ratios: report.ratios }))
process.exit(under.length > 0 ? 1 : 0) // the sides of other people's libraries may keep the process alive
