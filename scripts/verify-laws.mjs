// @ts-check
/** `npm run verify:laws`: sets up, then holds generated supervision trees to every law, with the arguments given here. */
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"
import { runJob } from "./setup/Job.mjs"

const { env, node } = await setupOrExit()

const job = await runJob(
  node,
  [
    "--disable-warning=ExperimentalWarning",
    "--conditions=source",
    inCheckout("packages", "core", "test", "laws", "verify.ts"),
    ...process.argv.slice(2)
  ],
  { cwd: root, env }
)
if (job.failure !== undefined) console.error(`snakepit: verify:laws could not be started: ${job.failure}`)
process.exitCode = job.code
