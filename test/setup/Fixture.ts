/** A checkout that holds the real scripts and next to nothing else, so that a set-up of it takes seconds; and a machine to run it on. */
import { execFileSync, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const repository = realpathSync(fileURLToPath(new URL("../../", import.meta.url)))

const onPath = (program: string): string => {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const file = join(folder, program)
    try {
      accessSync(file, constants.X_OK)
      return realpathSync(file)
    } catch {
      // not here
    }
  }
  throw new Error(`${program} is not on PATH`)
}

/** A real Python that makes environments: the one below the environment that runs our own tests. */
export const realPython = execFileSync(
  process.env["SNAKEPIT_PYTHON"] ?? "python3",
  ["-c", "import sys; print(getattr(sys, '_base_executable', sys.executable))"],
  { encoding: "utf8" }
).trim()

export interface Checkout {
  readonly home: string
  readonly root: string
  readonly machine: string
  readonly temporaries: () => Array<string>
  readonly file: (...parts: Array<string>) => string
  readonly write: (name: string, text: string, mode?: number) => string
  readonly program: (name: string, shell: string) => void
  readonly withoutProgram: (name: string) => void
  readonly start: (script: string, options?: RunOptions) => Running
  readonly run: (script: string, options?: RunOptions) => Promise<Ended>
  readonly leftovers: () => Array<string>
  readonly dispose: () => void
}

export interface RunOptions {
  readonly args?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly uid?: number | undefined
}

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly alive: ReadonlyArray<number>
}

export interface Running {
  readonly stderr: () => string
  readonly stdout: () => string
  readonly kill: (signal: NodeJS.Signals) => void
  readonly ended: Promise<Ended>
}

/** Every process that inherited the mark, however it has detached itself. */
const processesWith = (mark: string): Array<number> =>
  readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").includes(mark)
    } catch {
      return false
    }
  })

export const makeCheckout = (manifest: Record<string, unknown> = {}, requirements = ""): Checkout => {
  const base = realpathSync(mkdtempSync(join(tmpdir(), "snakepit-fixture-")))
  chmodSync(base, 0o755)
  const [root, home, machine, temporary] = ["checkout", "home", "bin", "tmp"].map((name) => join(base, name)) as [
    string,
    string,
    string,
    string
  ]
  for (const folder of [root, home, machine, temporary]) mkdirSync(folder)
  chmodSync(temporary, 0o1777)

  const file = (...parts: Array<string>) => join(root, ...parts)
  const write = (name: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(file(name)), { recursive: true })
    writeFileSync(file(name), text, { mode })
    return file(name)
  }
  cpSync(join(repository, "scripts"), file("scripts"), { recursive: true })
  cpSync(join(repository, ".npmrc"), file(".npmrc"))
  const identity = { name: "fixture", version: "1.0.0" }
  write("package.json", JSON.stringify({ ...identity, private: true, type: "module", ...manifest }))
  write("package-lock.json", JSON.stringify({ ...identity, lockfileVersion: 3, packages: { "": { ...identity, ...manifest } } }))
  write("python/requirements.txt", requirements)

  symlinkSync(process.execPath, join(machine, "node"))
  for (const name of ["npm", "sh", "env"]) symlinkSync(onPath(name), join(machine, name))
  const program = (name: string, shell: string) => {
    rmSync(join(machine, name), { force: true })
    writeFileSync(join(machine, name), `#!/bin/sh\n${shell}\n`, { mode: 0o755 })
  }
  program("python3", `exec ${realPython} "$@"`)

  const start = (script: string, { args = [], env = {}, uid }: RunOptions = {}): Running => {
    const mark = `SNAKEPIT_TEST_MARK=${randomUUID()}`
    const [markName = "", markValue = ""] = mark.split("=")
    const child = spawn(process.execPath, [file("scripts", script), ...args], {
      cwd: root,
      env: { PATH: machine, HOME: home, TMPDIR: temporary, [markName]: markValue, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      ...(uid === undefined ? {} : { uid, gid: uid })
    })
    let stdout = ""
    let stderr = ""
    child.stdout.setEncoding("utf8").on("data", (part: string) => (stdout += part))
    child.stderr.setEncoding("utf8").on("data", (part: string) => (stderr += part))
    return {
      stderr: () => stderr,
      stdout: () => stdout,
      kill: (signal) => void child.kill(signal),
      ended: new Promise((resolve, reject) => {
        child.once("error", reject)
        child.once("close", (code) => resolve({ code, stdout, stderr, alive: processesWith(mark) }))
      })
    }
  }

  return {
    home,
    root,
    machine,
    temporaries: () => readdirSync(temporary).filter((name) => name.startsWith("snakepit-")),
    file,
    write,
    program,
    withoutProgram: (name) => rmSync(join(machine, name)),
    start,
    run: (script, options) => start(script, options).ended,
    /** What a set-up made and should not have left: environment, packages, lock. */
    leftovers: () =>
      [".venv", "node_modules", ...readdirSync(root).filter((name) => name.startsWith(".venv."))].filter((name) => existsSync(file(name))),
    dispose: () => rmSync(base, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Somewhere on this machine where nobody answers. */
export const closedPort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 1))
    })
  })

export const until = async (what: string, holds: () => boolean, limitMs = 20_000): Promise<void> => {
  for (const end = Date.now() + limitMs; !holds();) {
    if (Date.now() > end) throw new Error(`never came: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
