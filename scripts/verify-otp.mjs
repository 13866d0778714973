// @ts-check
/** `npm run verify:otp`: sets up, then runs `test/oracle/verify.ts`, which says what its arguments are. */
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"
import { runJob } from "./setup/Job.mjs"

const { env, node } = await setupOrExit()

const job = await runJob(
  node,
  ["--disable-warning=ExperimentalWarning", "--conditions=source", inCheckout("test", "oracle", "verify.ts"), ...process.argv.slice(2)],
  { cwd: root, env, sweep: true }
)
if (job.failure !== undefined) console.error(`snakepit: the verification could not be started: ${job.failure}`)
process.exitCode = job.code
