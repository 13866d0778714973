// @ts-check
/** `npm start`: sets up, then runs the main job with the arguments given here. Its stdout is the job's alone. */
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"
import { runJob } from "./setup/Job.mjs"

const { env, node } = await setupOrExit()

const job = await runJob(
  node,
  [
    "--disable-warning=ExperimentalWarning",
    "--conditions=source",
    inCheckout("examples", "digits", "src", "main.ts"),
    ...process.argv.slice(2)
  ],
  { cwd: root, env }
)
if (job.failure !== undefined) console.error(`snakepit: the job could not be started: ${job.failure}`)
process.exitCode = job.code
