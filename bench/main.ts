/** `npm run bench -- <suite> [--json] [--rounds N]`: measures, reports, and keeps the result with the facts of the machine. */
import { mkdirSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as Bench from "./Bench.ts"
import * as Core from "./core/Core.ts"
import * as Start from "./start/Start.ts"

const suites: {
  readonly [name: string]: { readonly measurements: ReadonlyArray<Bench.Measurement>; readonly facts: Bench.Report["machine"] }
} = {
  core: Core,
  start: Start
}
const fewest = 5 // the median of less says little

const refuse = (message: string): never => {
  console.error(`bench: ${message}`)
  process.exit(64)
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean", default: false }, rounds: { type: "string", default: String(fewest) } }
})
const [name = ""] = positionals
if (name === "types") { // no ratio of interleaved rounds: it starts compilers
  await import("./core/TypeCheck.ts")
  process.exit()
}
const suite = suites[name] ?? refuse(`no suite is named "${name}"; there are ${[...Object.keys(suites), "types"].join(", ")}`)
const rounds = Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1) refuse(`--rounds wants a whole number above 0, got "${values.rounds}"`)

const report = await Bench.run(suite.measurements, rounds, suite.facts, (line) => console.error(`bench: ${line}`))
console.log(Bench.render(report))
if (rounds >= fewest) {
  const results = fileURLToPath(new URL("results/", import.meta.url))
  mkdirSync(results, { recursive: true })
  writeFileSync(`${results}${name}.json`, `${JSON.stringify(report, null, 2)}\n`)
} else console.log(`not kept: that takes ${fewest} rounds`)
if (values.json) console.log(JSON.stringify({ machine: report.machine, rounds: report.rounds, ratios: report.ratios }))
