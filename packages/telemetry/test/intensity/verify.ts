/**
 * `npm run verify:intensity`: recorded incidents decide as recorded when they are replayed, and the advisor escalates less, in services that it
 * was not made by, than the default of 3 in 5 seconds. Exits with 1 when a must is not reached.
 *
 * Options: `--runs N` (7,000 runs of core's whole generator to replay, 10,000 incidents and more), `--services N` (200), `--patience SECONDS` (30),
 * `--seed S` (20261126, which nothing was chosen by: others were used for that), `--json` (a last line for machines).
 */
import { Advisor } from "@snakepit/telemetry"
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import * as BackTest from "./BackTest.ts"
import * as ReplayProof from "./ReplayProof.ts"

interface Share {
  readonly seed: number
  readonly runs: number
  readonly services: number
  readonly patienceMillis: number
  readonly first: number
  readonly stride: number
}

interface Result {
  readonly tally: ReplayProof.Tally
  readonly tested: ReadonlyArray<BackTest.Tested>
}

function* every({ first, stride }: Share, below: number): Generator<number> {
  for (let index = first; index < below; index += stride) yield index
}

const work = (share: Share): Result => ({
  tally: ReplayProof.run(share.seed, every(share, share.runs)),
  tested: [...every(share, share.services)].map((index) => BackTest.test(share.seed, index, share.patienceMillis))
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

const describe = (figures: BackTest.Figures): string =>
  [
    `advisor: ${figures.services} held-out services, ${figures.changed} of them advised to change`,
    `  false escalations  ${figures.falseByDefault} by the default, ${figures.falseAdvised} advised: ${percent(-figures.less)}`,
    `  detection of ${figures.episodes} truly broken children, from onset to giving up (or to being mended, when it did not give up):`,
    `    mean    ${seconds(figures.meanByDefault)} by the default, ${seconds(figures.meanAdvised)} advised`,
    `    p95     ${seconds(figures.p95ByDefault)} by the default, ${seconds(figures.p95Advised)} advised`,
    `    median  ${seconds(figures.medianByDefault)} by the default, ${seconds(figures.medianAdvised)} advised`,
    `    missed  ${figures.missedByDefault} by the default, ${figures.missedAdvised} advised`,
    `    later   ${percent(figures.laterShare)} of them, half of those by ${seconds(figures.laterMedian)} or less, the worst by ${
      seconds(figures.laterMost)
    }`
  ].join("\n")

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "7000" },
      services: { type: "string", default: "200" },
      patience: { type: "string", default: String(Advisor.defaultPatienceMillis / 1000) },
      seed: { type: "string", default: "20261126" },
      json: { type: "boolean", default: false }
    }
  })
  const stride = availableParallelism()
  const share = {
    seed: number("seed", values.seed),
    runs: number("runs", values.runs),
    services: number("services", values.services),
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
  const figures = BackTest.figuresOf(results.flatMap(({ tested }) => tested))
  console.log(
    `replay: ${tally.runs} generated runs, ${tally.decisions} decisions, ${tally.reproduced} of ${tally.incidents} incidents decide as recorded` +
      (tally.otherwise.length === 0 ? "" : `; runs that do not, of seed ${share.seed}: ${tally.otherwise.join(", ")}`)
  )
  console.log(describe(figures))
  if (values.json) console.log(JSON.stringify({ replay: tally, advisor: figures, seed: share.seed }))
  const isSame = tally.otherwise.length === 0 && tally.reproduced === tally.incidents
  const isNoLater = figures.meanAdvised <= figures.meanByDefault && figures.p95Advised <= figures.p95ByDefault
  const isLess = share.patienceMillis < Advisor.defaultPatienceMillis || figures.services === 0 || figures.less >= 0.8
  process.exitCode = isSame && isNoLater && isLess ? 0 : 1
}

if (isMainThread) await main()
else parentPort!.postMessage(work(workerData as Share), [])
