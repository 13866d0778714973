// @ts-check
/** `npm run gen`: writes what is generated and committed: code from proto/, reference pages from the contracts and declarations. */
import { execFileSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { isMain, setupOrExit } from "./setup.mjs"
import { inCheckout, root } from "./setup/Checkout.mjs"

/** Where it goes, from the root of the checkout. */
export const typescript = join("packages", "bridge", "gen")
export const descriptors = join("python", "src", "snakepit", "_wire.binpb")

/** buf caches in the home folder, which may not be there. @param {NodeJS.ProcessEnv} env @returns {NodeJS.ProcessEnv} */
export const bufEnv = (env) => ({ ...env, BUF_CACHE_DIR: inCheckout("node_modules", ".cache", "buf") })

/**
 * @param {string} target the root of the checkout, or a folder to compare it with
 * @returns {ReadonlyArray<ReadonlyArray<string>>} arguments for buf
 */
export const commands = (target) => [
  ["generate", "--clean", "-o", target],
  // the worker's part alone: it is read at each start of one
  ["build", "proto", "--path", join("proto", "snakepit", "v1", "worker.proto"), "--as-file-descriptor-set", "-o", join(target, descriptors)]
]

if (isMain(import.meta.url)) {
  const { env } = await setupOrExit()
  mkdirSync(dirname(inCheckout(descriptors)), { recursive: true })
  try {
    for (const args of commands(root)) execFileSync("buf", args, { cwd: root, env: bufEnv(env), stdio: "inherit" })
    // after the code: the pages are made by it
    execFileSync("node", ["--conditions=source", inCheckout("scripts", "reference.ts")], { cwd: root, env, stdio: "inherit" })
    execFileSync("dprint", ["fmt", "docs/**/*.md"], { cwd: root, env, stdio: "inherit" })
  } catch {
    process.exitCode = 1 // the command has said why
  }
}
