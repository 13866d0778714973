// @ts-check
/** `npm run snakepit -- <words>`: sets up, then runs the command line from its sources. */
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"
import { runJob } from "./setup/Job.mjs"

const { env, node } = await setupOrExit()

const job = await runJob(
  node,
  [
    "--disable-warning=ExperimentalWarning",
    "--conditions=source",
    inCheckout("packages", "snakepit", "src", "cli", "main.ts"),
    ...process.argv.slice(2)
  ],
  { cwd: root, env }
)
if (job.failure !== undefined) console.error(`snakepit: the command could not be started: ${job.failure}`)
process.exitCode = job.code
