// @ts-check
/** `npm run bench -- <suite>`: sets up, then runs `bench/main.ts`, which says what its arguments are. */
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"
import { runJob } from "./setup/Job.mjs"

const { env, node } = await setupOrExit()

const job = await runJob(
  node,
  [
    "--disable-warning=ExperimentalWarning",
    "--conditions=source",
    "--expose-gc",
    inCheckout("bench", "main.ts"),
    ...process.argv.slice(2)
  ],
  { cwd: root, env }
)
if (job.failure !== undefined) console.error(`snakepit: the measurement could not be started: ${job.failure}`)
process.exitCode = job.code
