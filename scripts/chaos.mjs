// @ts-check
/** `npm run chaos`: sets up, then runs `test/chaos/main.ts`, which says what its arguments are. */
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"
import { runJob } from "./setup/Job.mjs"

const { env, node } = await setupOrExit()

const job = await runJob(
  node,
  ["--disable-warning=ExperimentalWarning", "--conditions=source", inCheckout("test", "chaos", "main.ts"), ...process.argv.slice(2)],
  { cwd: root, env, sweep: true }
)
if (job.failure !== undefined) console.error(`snakepit: chaos could not be started: ${job.failure}`)
process.exitCode = job.code
