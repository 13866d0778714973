// @ts-check
/**
 * `npm run test:recovery [-- --record]`: sets up, then kills every child of the live tree in turn. With `--record` each is killed five times, and
 * medians and maxima go to `bench/results/recovery.json`, which `docs/failures.md` is made from; not when a case failed or was left out.
 */
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"
import { runJob } from "./setup/Job.mjs"

const { env, node } = await setupOrExit()

const words = process.argv.slice(2)
const filter = words.filter((word) => word !== "--record")
const record = filter.length < words.length ? { SNAKEPIT_RECORD: inCheckout("bench", "results", "recovery.json") } : {}

const job = await runJob(
  node,
  [inCheckout("node_modules", "vitest", "vitest.mjs"), "run", "--config", "vitest.workspace.ts", "test/recovery", ...filter],
  { cwd: root, env: { ...env, ...record }, sweep: true }
)
if (job.failure !== undefined) console.error(`snakepit: test:recovery could not be started: ${job.failure}`)
process.exitCode = job.code
