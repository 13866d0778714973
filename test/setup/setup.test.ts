/** What a newcomer meets when something is missing: one message, a meaningful exit code, nothing left behind. */
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import { afterEach, expect, test } from "vitest"
import type { Checkout, Ended } from "./Fixture.ts"
import { closedPort, makeCheckout, realPython, until } from "./Fixture.ts"

const made: Array<Checkout> = []
const checkout = (...args: Parameters<typeof makeCheckout>): Checkout => {
  const one = makeCheckout(...args)
  made.push(one)
  return one
}
afterEach(() => made.splice(0).forEach((one) => one.dispose()))

const expectFailure = (here: Checkout, ended: Ended, code: number, words: ReadonlyArray<string | RegExp>) => {
  expect(ended.stderr).toMatch(/^snakepit: .+\n {2}where: .+\n {2}likely cause: .+\n {2}next step: .+\n/m)
  for (const word of words) expect(ended.stderr).toMatch(word)
  expect(ended.stderr.match(/^snakepit: /gm)).toHaveLength(1)
  expect(ended.stderr).not.toMatch(/^\s+at .+:\d+:\d+/m) // no stack trace
  expect(ended.stderr).not.toContain("EBADENGINE")
  expect(ended.stdout).toBe("")
  expect(ended.code).toBe(code)
  expect(here.leftovers().filter((name) => name !== "node_modules")).toEqual([])
  expect(ended.alive).toEqual([])
}

/** Runs what the real Python runs, after a change to it. */
const python = (change: string) =>
  `case "$1" in
  -c) code=$2; shift 2; exec ${realPython} -c "import sys; ${change}; exec(sys.argv.pop(1))" "$code" "$@" ;;
  *) exec ${realPython} "$@" ;;
esac`

test("no Python at all", async () => {
  const here = checkout()
  here.withoutProgram("python3")
  expectFailure(here, await here.run("setup.mjs"), 69, ["Python is missing", "3.11", "SNAKEPIT_PYTHON"])
  expect(here.leftovers()).toEqual([]) // told before anything was fetched
})

test("a Python that is too old", async () => {
  const here = checkout()
  here.program("python3", python("sys.version_info = (3, 9, 2, 'final', 0)"))
  expectFailure(here, await here.run("setup.mjs"), 69, ["Python 3.11 or newer is needed", "3.9.2", join(here.machine, "python3")])
  expect(here.leftovers()).toEqual([])
})

test("an old python3 beside a new python3.12: takes the new one", async () => {
  const here = checkout()
  here.program("python3", python("sys.version_info = (3, 9, 2, 'final', 0)"))
  here.program("python3.12", `exec ${realPython} "$@"`)
  expect((await here.run("setup.mjs")).code).toBe(0)
})

test("a Python without ensurepip", async () => {
  const here = checkout()
  here.program("python3", python("sys.modules['ensurepip'] = None"))
  expectFailure(here, await here.run("setup.mjs"), 69, ["cannot make a virtual environment", "ensurepip", "-venv"])
  expect(here.leftovers()).toEqual([])
})

test("a venv that fails half-way", async () => {
  const here = checkout()
  here.program(
    "python3",
    `PATH=/usr/bin:/bin; [ "$2" = venv ] && mkdir -p "$3/bin" && echo "no room for pip here" >&2 && exit 1\nexec ${realPython} "$@"`
  )
  expectFailure(here, await here.run("setup.mjs"), 69, ["cannot make a virtual environment", "no room for pip here", "log: "])
})

test("SNAKEPIT_PYTHON names nothing", async () => {
  const here = checkout()
  expectFailure(here, await here.run("setup.mjs", { env: { SNAKEPIT_PYTHON: "/no/such/python3" } }), 78, [
    "SNAKEPIT_PYTHON",
    "/no/such/python3"
  ])
})

test("no npm", async () => {
  const here = checkout()
  here.withoutProgram("npm")
  expectFailure(here, await here.run("setup.mjs"), 69, ["npm is missing"])
})

test("no network for npm packages", async () => {
  const dependencies = { effect: "4.1.0" }
  const here = checkout({ dependencies })
  here.write(
    "package-lock.json",
    JSON.stringify({
      name: "fixture",
      version: "1.0.0",
      lockfileVersion: 3,
      packages: { "": { name: "fixture", version: "1.0.0", dependencies }, "node_modules/effect": { version: "4.1.0" } }
    })
  )
  const registry = `http://127.0.0.1:${await closedPort()}/`
  const ended = await here.run("setup.mjs", { env: { npm_config_registry: registry } })
  expectFailure(here, ended, 69, ["npm registry cannot be reached", "ECONNREFUSED", "HTTPS_PROXY"])
  expect(here.leftovers()).toEqual([])
  const log = /log: ([^)]+)\)/.exec(ended.stderr)?.[1] ?? ""
  expect(readFileSync(log, "utf8")).toContain("ECONNREFUSED")
})

test("no network for Python packages", async () => {
  const here = checkout({}, "msgspec==0.19.0\n")
  const index = `http://127.0.0.1:${await closedPort()}/simple`
  const ended = await here.run("setup.mjs", { env: { PIP_INDEX_URL: index, PIP_CONFIG_FILE: "/dev/null" } })
  expectFailure(here, ended, 69, ["package index cannot be reached", "refused", "log: "])
  // The same where pip was told to be brief about it.
  const brief = await here.run("setup.mjs", { env: { PIP_INDEX_URL: index, PIP_CONFIG_FILE: "/dev/null", PIP_RETRIES: "0" } })
  expectFailure(here, brief, 69, ["package index cannot be reached"])
})

test("a lock that does not fit package.json", async () => {
  const here = checkout()
  here.write("package.json", JSON.stringify({ name: "fixture", version: "1.0.0", dependencies: { effect: "4.1.0" } }))
  const ended = await here.run("setup.mjs", {
    env: { npm_config_registry: `http://127.0.0.1:${await closedPort()}/`, npm_config_fetch_retries: "0" }
  })
  expect(ended.code).not.toBe(0)
  expect(here.leftovers()).toEqual([])
})

test("a read-only checkout", async () => {
  const here = checkout()
  chmodSync(here.root, 0o555)
  const uid = process.getuid?.() === 0 ? 65534 : undefined // nothing is read-only for root
  try {
    expectFailure(here, await here.run("setup.mjs", { uid }), 73, ["read-only", here.root, "git clone"])
    expect(here.leftovers()).toEqual([])
    for (const script of ["start.mjs", "test.mjs", "check.mjs"]) expect((await here.run(script, { uid })).code).toBe(73)
  } finally {
    chmodSync(here.root, 0o755)
  }
})

test("sets up once, then skips; makes the environment anew when its list changed, its Python moved, or it is half made", async () => {
  const here = checkout()
  const first = await here.run("setup.mjs")
  expect(first).toMatchObject({ code: 0, stdout: "", alive: [] })
  expect(first.stderr).toMatch(
    /^setup: npm packages … installed \(.+\)\nsetup: Node … ok \(.+\)\nsetup: Python environment … installed \(.+\)\n$/
  )
  const born = () => statSync(here.file(".venv")).ino
  const before = born()

  const second = await here.run("setup.mjs")
  expect(second.stderr).toMatch(
    /^setup: npm packages … ok \(already there\)\nsetup: Node … ok \(.+\)\nsetup: Python environment … ok \(already there\)\n$/
  )
  expect(born()).toBe(before)

  here.write("python/requirements.txt", "# another list\n")
  expect((await here.run("setup.mjs")).stderr).toMatch(/packages … ok \(already there\)[^]*environment … installed/)

  writeFileSync(here.file(".venv", ".snakepit-stamp"), "")
  expect((await here.run("setup.mjs")).stderr).toMatch(/environment … installed/)
  expect(here.temporaries()).toEqual([]) // no logs, no caches
})

test("needs no home folder, and nothing that the user's Python settings say", async () => {
  const here = checkout()
  here.write("elsewhere/venv.py", "raise SystemExit('imported from PYTHONPATH')\n")
  const HOME = "/dev/null/home" // not even root can make it
  const ended = await here.run("setup.mjs", { env: { HOME, PYTHONPATH: here.file("elsewhere"), NODE_ENV: "production" } })
  expect(ended.code, ended.stderr).toBe(0)
  expect(here.temporaries()).toEqual([])
})

/** A Python whose venv begins its folder and then hangs; `before` runs first. */
const hanging = (before: string) =>
  `[ "$2" = venv ] && { ${before} mkdir -p "$3/bin"; while :; do sleep 1; done; }\nexec ${realPython} "$@"`

test.each(
  [["SIGTERM", 143, ""], ["SIGINT", 130, ""], ["SIGHUP", 129, ""], ["SIGTERM", 143, "trap '' TERM INT;"]] as const
)("%s while the environment is made (exit %i) %s", async (signal, code, before) => {
  const here = checkout()
  here.program("python3", hanging(`PATH=/usr/bin:/bin; ${before}`))
  const running = here.start("setup.mjs")
  await until("a begun .venv", () => existsSync(here.file(".venv", "bin")))
  running.kill(signal)
  expectFailure(here, await running.ended, code, [`interrupted by ${signal}`, "run the same command again"])
})

test("two at once: one works, one waits, both are well", async () => {
  const here = checkout()
  const one = here.start("setup.mjs")
  await until("the lock", () => existsSync(here.file(".venv.lock")))
  const [first, second] = await Promise.all([one.ended, here.run("setup.mjs")])
  expect([first.code, second.code]).toEqual([0, 0])
  expect(second.stderr).toMatch(
    /^setup: waiting for another set-up of this checkout \(process \d+\) …\nsetup: npm packages … ok \(already there\)/
  )
  expect(existsSync(here.file(".venv.lock"))).toBe(false)
})

test("a lock left by a set-up that was killed is taken over", async () => {
  const here = checkout()
  here.program("python3", hanging("PATH=/usr/bin:/bin; echo $$ > python.pid;"))
  const killed = here.start("setup.mjs")
  await until("a begun .venv", () => existsSync(here.file(".venv", "bin")))
  killed.kill("SIGKILL")
  await until("its end", () => !existsSync(here.file(".venv.lock", "never")) && killed.stderr() !== "")
  process.kill(-Number(readFileSync(here.file("python.pid"), "utf8")), "SIGKILL") // what only SIGKILL can orphan
  await killed.ended
  expect(existsSync(here.file(".venv.lock"))).toBe(true)

  here.program("python3", `exec ${realPython} "$@"`)
  expect((await here.run("setup.mjs")).code).toBe(0)
  expect(existsSync(here.file(".venv.lock"))).toBe(false)
})

test("a lock whose pid now belongs to another process is stale as well", async () => {
  const here = checkout()
  mkdirSync(here.file(".venv.lock"))
  here.write(".venv.lock/owner.json", JSON.stringify({ pid: process.pid, started: "another boot/1", host: hostname() }))
  expect((await here.run("setup.mjs")).code).toBe(0)
})
