// @ts-check
/** `npm run example -- <name>`: sets up, then runs an example with the arguments after its name. */
import { readdirSync } from "node:fs"
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"
import { runJob } from "./setup/Job.mjs"

const [name = "", ...args] = process.argv.slice(2)
const names = readdirSync(inCheckout("examples"))
if (!names.includes(name)) {
  console.error(`snakepit: no example is named "${name}"; there are ${names.join(", ")}`)
  process.exit(64)
}

const { env, node } = await setupOrExit()

const job = await runJob(
  node,
  ["--disable-warning=ExperimentalWarning", "--conditions=source", inCheckout("examples", name, "src", "main.ts"), ...args],
  { cwd: root, env }
)
if (job.failure !== undefined) console.error(`snakepit: the example could not be started: ${job.failure}`)
process.exitCode = job.code
