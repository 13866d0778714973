// @ts-check
/** `npm run test:mutants`: sets up, then runs `packages/core/test/mutants/run.ts`, which says what its arguments are. */
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"
import { runJob } from "./setup/Job.mjs"

const { env, node } = await setupOrExit()

const job = await runJob(
  node,
  [
    "--disable-warning=ExperimentalWarning",
    "--conditions=source",
    inCheckout("packages", "core", "test", "mutants", "run.ts"),
    ...process.argv.slice(2)
  ],
  { cwd: root, env, sweep: true }
)
if (job.failure !== undefined) console.error(`snakepit: test:mutants could not be started: ${job.failure}`)
process.exitCode = job.code
