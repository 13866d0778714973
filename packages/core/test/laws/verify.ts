/**
 * `npm run verify:laws`: the laws of supervision over many generated trees, on every core.
 *
 * Options: `--trees N` (10,000), `--seed S` (of the clock), `--tree I` (only that one), `--json` (a last line for machines).
 */
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import * as Laws from "./Laws.ts"

interface Share {
  readonly seed: number
  readonly trees: number
  readonly first: number
  readonly stride: number
}

const wholeNumber = (name: string, value: string): number => {
  const number = Number(value)
  if (Number.isSafeInteger(number) && number >= 0) return number
  console.error(`verify:laws: --${name} takes a whole number of 0 or more, not "${value}"`)
  process.exit(64)
}

const onWorker = (share: Share): Promise<ReturnType<typeof Laws.run>> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: share })
    worker.once("message", resolve)
    worker.once("error", reject)
  })

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: { trees: { type: "string", default: "10000" }, seed: { type: "string" }, tree: { type: "string" }, json: { type: "boolean" } }
  })
  const seed = values.seed === undefined ? Date.now() % 1_000_000_007 : wholeNumber("seed", values.seed)
  const only = values.tree === undefined ? undefined : wholeNumber("tree", values.tree)
  const trees = wholeNumber("trees", values.trees)
  const stride = availableParallelism()
  const start = performance.now()
  const shares: ReadonlyArray<Share> = only === undefined
    ? Array.from({ length: stride }, (_, first) => ({ seed, trees, first, stride }))
    : [{ seed, trees: only + 1, first: only, stride: 1 }]
  const results = await Promise.all(shares.map(onWorker))
  const tally = Laws.noTally()
  for (const result of results) {
    for (const key of Object.keys(tally) as ReadonlyArray<keyof Laws.Tally>) tally[key] += result.tally[key]
    for (const breach of result.breaches) console.log(Laws.report(breach))
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  console.log(
    `verify:laws: ${tally.trees} trees, ${tally.lives} lives, ${tally.decisions} decisions ` +
      `(${tally.untold} without exactly one event), ${tally.violations} violations, ` +
      `seed ${seed}, ${seconds} s`
  )
  if (values.json) console.log(JSON.stringify({ ...tally, seed }))
  process.exitCode = tally.violations === 0 ? 0 : 1
}

if (isMainThread) await main()
else {
  const { first, seed, stride, trees } = workerData as Share
  parentPort!.postMessage(Laws.run(seed, trees, first, stride), [])
}
