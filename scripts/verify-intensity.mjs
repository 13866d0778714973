// @ts-check
/** `npm run verify:intensity`: sets up, then replays generated incidents and tests the advisor on services that it has not seen, with the arguments given here. */
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"
import { runJob } from "./setup/Job.mjs"

const { env, node } = await setupOrExit()

const job = await runJob(
  node,
  [
    "--disable-warning=ExperimentalWarning",
    "--conditions=source",
    inCheckout("packages", "telemetry", "test", "intensity", "verify.ts"),
    ...process.argv.slice(2)
  ],
  { cwd: root, env }
)
if (job.failure !== undefined) console.error(`snakepit: verify:intensity could not be started: ${job.failure}`)
process.exitCode = job.code
