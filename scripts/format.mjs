// @ts-check
/** `npm run format`: formats both languages in place. */
import { setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"
import { runJob } from "./setup/Job.mjs"

const { env, node, python } = await setupOrExit()
const variables = { ...env, DPRINT_CACHE_DIR: inCheckout("node_modules", ".cache", "dprint") }

const codes = [
  await runJob(node, [inCheckout("node_modules", "dprint", "bin.cjs"), "fmt"], { cwd: root, env: variables }),
  await runJob(python, ["-m", "ruff", "check", "--no-cache", "--select", "I", "--fix", "--quiet", "python"], { cwd: root, env }),
  await runJob(python, ["-m", "ruff", "format", "--no-cache", "python"], { cwd: root, env })
].map(({ code }) => code)
process.exitCode = codes.find((code) => code !== 0) ?? 0
