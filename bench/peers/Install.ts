/**
 * Other people's packages that only the bench needs, fetched when it first runs, into a folder that git does not see. A machine that cannot
 * fetch them measures the rest.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath, pathToFileURL } from "node:url"
import { runLogged } from "../../scripts/setup/Command.mjs"
import { npmEnv, pythonEnv } from "../../scripts/setup/Environment.mjs"
import { requireNpm } from "../../scripts/setup/NodePackages.mjs"
import { hashOf, readStamp, writeStamp } from "../../scripts/setup/Stamp.mjs"
import * as Python from "../Python.ts"

const here = fileURLToPath(new URL(".", import.meta.url))
const folder = fileURLToPath(new URL("../../var/bench/peers/", import.meta.url))
const venv = `${folder}python`

/** The interpreter that has the Python packages. */
export const interpreter = `${venv}/bin/python`

/** Loads an npm package of the folder. */
export const load = (name: string): Promise<unknown> => import(pathToFileURL(createRequire(`${folder}package.json`).resolve(name)).href)

const patience = () => AbortSignal.timeout(300_000) // some 60 MB over a slow line

const run = async (name: string, program: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv): Promise<void> => {
  const ended = await runLogged(name, program, args, { cwd: folder, env, signal: patience() })
  if (!ended.ok) throw new Error(`${name} could not install what peers need (${ended.log}):\n${ended.tail}`)
}

const npm = async (): Promise<void> => {
  const { args, program } = requireNpm()
  const { env, release } = npmEnv()
  try {
    // no install scripts: zeromq, the only one with machine code, brings it built
    await run("npm", program, [...args, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], env)
  } finally {
    release()
  }
}

const pip = async (): Promise<void> => {
  await run("venv", Python.interpreter, ["-m", "venv", venv], pythonEnv())
  await run("pip", interpreter, ["-m", "pip", "install", "--quiet", "--only-binary=:all:", "-r", `${here}requirements.txt`], pythonEnv())
}

/** Installs what the manifests name, once for each state of them. */
export const ensure = async (say: (line: string) => void): Promise<void> => {
  const manifests = ["package.json", "requirements.txt"].map((file) => readFileSync(`${here}${file}`, "utf8"))
  const stamp = `${folder}stamp`
  const wanted = hashOf([...manifests, process.version, Python.interpreter])
  if (existsSync(interpreter) && readStamp(stamp) === wanted) return
  say(`installing what Snakepit is compared with into ${folder}: the packages of bench/peers/package.json and requirements.txt`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  copyFileSync(`${here}package.json`, `${folder}package.json`)
  await npm()
  await pip()
  writeStamp(stamp, wanted)
}
