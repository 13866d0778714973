/**
 * `npm run verify:intensity`: recorded incidents decide as recorded when they are replayed, and the advisor escalates less, in services that it
 * was not made by, than the default of 3 in 5 seconds. Exits with 1 when a must is not reached.
 *
 * Options: `--runs N` (7,000 runs of core's whole generator to replay, 10,000 incidents and more), `--services N` (200), `--others N` (25
 * of each family that the advisor was not made for), `--patience SECONDS` (20), `--seed S` (20261126, which nothing was chosen by: others
 * were used for that), `--record` (writes `bench/results/intensity.json`, which the tables in `docs/telemetry/intensity-review.md` are of).
 */
import { Advisor } from "@snakepit/telemetry"
import { writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import * as BackTest from "./BackTest.ts"
import * as GeneratedService from "./GeneratedService.ts"
import * as ReplayProof from "./ReplayProof.ts"

interface Share {
  readonly seed: number
  readonly runs: number
  readonly services: number
  readonly others: number
  readonly patienceMillis: number
  readonly first: number
  readonly stride: number
}

interface Result {
  readonly tally: ReplayProof.Tally
  /** By the name of the family. */
  readonly tested: ReadonlyMap<string, ReadonlyArray<BackTest.Tested>>
}

function* every({ first, stride }: Share, below: number): Generator<number> {
  for (let index = first; index < below; index += stride) yield index
}

/** None, little, and what was asked for. */
const patiencesOf = ({ patienceMillis }: Pick<Share, "patienceMillis">): ReadonlyArray<number> => [0, 2000, patienceMillis]

const work = (share: Share): Result => ({
  tally: ReplayProof.run(share.seed, every(share, share.runs)),
  tested: new Map(GeneratedService.families.map((family) => [
    family.name,
    [...every(share, family === GeneratedService.mixed ? share.services : share.others)].map((index) =>
      BackTest.test(share.seed, index, patiencesOf(share), family)
    )
  ]))
})

const onWorker = (share: Share): Promise<Result> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: share })
    worker.once("message", resolve)
    worker.once("error", reject)
  })

const number = (name: string, value: string): number => {
  const number = Number(value)
  if (Number.isFinite(number) && number >= 0) return number
  console.error(`verify:intensity: --${name} takes a number of 0 or more, not "${value}"`)
  process.exit(64)
}

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

/** How many less false escalations, from 0 to 1. */
const lessOf = ({ byDefault }: BackTest.Figures, advised: BackTest.Figures["byDefault"]): number =>
  byDefault.falseEscalations === 0 ? 0 : 1 - advised.falseEscalations / byDefault.falseEscalations

const describe = (name: string, figures: BackTest.Figures, patienceMillis: number): string => {
  const { advised, byDefault, services } = figures
  const row = (title: string, of: (figure: BackTest.Figures["byDefault"]) => string) =>
    `  ${title.padEnd(46)}${[byDefault, ...advised].map((figure) => of(figure).padStart(16)).join("")}`
  const shareOf = (figure: BackTest.Figures["byDefault"]) => figure === byDefault ? "" : ` (${percent(-lessOf(figures, figure))})`
  const patiences = patiencesOf({ patienceMillis }).map(seconds)
  return [
    `advisor, ${name}: ${services} held-out services; by the default, and advised with a patience of ${patiences.join(", ")}`,
    row("services advised to change", ({ changed }) => String(changed)),
    row("false escalations", (figure) => `${figure.falseEscalations}${shareOf(figure)}`),
    row(`${byDefault.found.episodes} broken children that the default finds: mean`, ({ found }) => seconds(found.mean)),
    row("  median", ({ found }) => seconds(found.median)),
    row("  p95", ({ found }) => seconds(found.p95)),
    row(`all ${byDefault.all.episodes} broken children, or until mended: mean`, ({ all }) => seconds(all.mean)),
    row("  median", ({ all }) => seconds(all.median)),
    row("  p95", ({ all }) => seconds(all.p95)),
    row("missed", ({ missed }) => String(missed)),
    row("found later than by the default", ({ later }) => String(later)),
    row("  by more than 10 s", ({ muchLater }) => String(muchLater)),
    `  of the default's false escalations ${byDefault.alike} are of one child alone, as of one that is broken: who finds every broken child as ` +
    `soon spares ${percent(1 - byDefault.alike / Math.max(1, byDefault.falseEscalations))} at most`
  ].join("\n")
}

/** One line: the default, and what was advised. */
const inShort = (name: string, figures: BackTest.Figures): string => {
  const { advised, byDefault, services } = figures
  const patient = advised.at(-1) ?? byDefault
  const both = (of: (figure: BackTest.Figures["byDefault"]) => string) => `${of(byDefault)} → ${of(patient)}`
  return `${name} (${services}): false escalations ${both(({ falseEscalations }) => String(falseEscalations))} (${
    percent(-lessOf(figures, patient))
  }); ${byDefault.found.episodes} found by the default ${both(({ found }) => seconds(found.mean))}, p95 ${
    both(({ found }) => seconds(found.p95))
  }; all ${byDefault.all.episodes} ${both(({ all }) => seconds(all.mean))}; missed ${both(({ missed }) => String(missed))}`
}

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "7000" },
      services: { type: "string", default: "200" },
      others: { type: "string", default: "25" },
      patience: { type: "string", default: String(Advisor.defaultPatienceMillis / 1000) },
      seed: { type: "string", default: "20261126" },
      record: { type: "boolean", default: false }
    }
  })
  const stride = availableParallelism()
  const share = {
    seed: number("seed", values.seed),
    runs: number("runs", values.runs),
    services: number("services", values.services),
    others: number("others", values.others),
    patienceMillis: number("patience", values.patience) * 1000,
    stride
  }
  const results = await Promise.all(Array.from({ length: stride }, (_, first) => onWorker({ ...share, first })))
  const tally = ReplayProof.noTally()
  for (const { tally: { decisions, incidents, otherwise, reproduced, runs } } of results) {
    tally.runs += runs
    tally.decisions += decisions
    tally.incidents += incidents
    tally.reproduced += reproduced
    tally.otherwise.push(...otherwise)
  }
  const families = GeneratedService.families.map(({ name }) => ({
    name,
    figures: BackTest.figuresOf(results.flatMap(({ tested }) => tested.get(name) ?? []))
  }))
  console.log(
    `replay: ${tally.runs} generated runs, ${tally.decisions} decisions, ${tally.reproduced} of ${tally.incidents} incidents decide as recorded` +
      (tally.otherwise.length === 0 ? "" : `; runs that do not, of seed ${share.seed}: ${tally.otherwise.join(", ")}`)
  )
  console.log(describe(families[0]!.name, families[0]!.figures, share.patienceMillis))
  for (const { figures, name } of families.slice(1)) if (figures.services > 0) console.log(inShort(name, figures))
  if (values.record) {
    const { patienceMillis, seed } = share
    writeFileSync(file, `${JSON.stringify({ seed, patienceMillis, replay: tally, families }, undefined, 2)}\n`)
  }
  const broken = [
    ...tally.otherwise.length === 0 && tally.reproduced === tally.incidents ? [] : ["a replay decides otherwise"],
    ...missing(families[0]!.figures, share.patienceMillis)
  ]
  for (const what of broken) console.error(`verify:intensity: ${what}`)
  process.exitCode = broken.length === 0 ? 0 : 1
}

const file = fileURLToPath(new URL("../../../../bench/results/intensity.json", import.meta.url))

/** The musts that are not reached: with the patience that is the default, or with none; what lies between is for who asks. */
const missing = (figures: BackTest.Figures, patienceMillis: number): ReadonlyArray<string> => {
  const { advised, byDefault, services } = figures
  const [strict, patient] = [advised[0] ?? byDefault, advised.at(-1) ?? byDefault]
  if (services === 0) return []
  const musts: ReadonlyArray<readonly [boolean, string]> = [
    [strict.found.mean <= byDefault.found.mean, "without patience it finds what the default finds later on average"],
    [
      patienceMillis < Advisor.defaultPatienceMillis || lessOf(figures, patient) >= 0.8,
      "it spares less than 80 % of the false escalations"
    ],
    [patient.all.mean <= byDefault.all.mean, "it finds broken children later on average"],
    [patient.all.p95 <= byDefault.all.p95, "it finds the slowest twentieth of broken children later"],
    [patient.missed <= byDefault.missed, "it misses more broken children"],
    [patient.found.mean <= byDefault.found.mean + latest, "it finds what the default finds more than 5 s later on average"]
  ]
  return musts.flatMap(([holds, what]) => holds ? [] : [what])
}

const latest = 5000 // nobody who is called comes within 5 s

if (isMainThread) await main()
else parentPort!.postMessage(work(workerData as Share), [])
