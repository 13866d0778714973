/** What a user sees who got something wrong: one clear message with cause and next step, a non-zero exit, and nothing left behind. */
import { assert, describe, it } from "@effect/vitest"
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { config, type Ended, start, survivors, until } from "./fixtures/Program.ts"

const withFolder = async <A>(use: (folder: string) => Promise<A>): Promise<A> => {
  const folder = mkdtempSync(join(tmpdir(), "bad-input-"))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Runs the program with a temporary folder of its own, and checks what every refusal has in common. */
const refused = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}): Promise<Ended> =>
  withFolder(async (folder) => {
    const program = start(args, { XDG_RUNTIME_DIR: "", TMPDIR: folder, ...env })
    const ended = await program.ended
    assert.notStrictEqual(ended.code, 0)
    assert.strictEqual(ended.stdout.split("ERROR").length - 1, 1, `one message, not several:\n${ended.stdout}`)
    assert.notInclude(ended.stdout, "    at ", "no JavaScript stack")
    assert.deepStrictEqual(readdirSync(folder), [], "nothing is left in the temporary folder")
    return ended
  })

/** No process carries the folder that this run's sockets would be in. */
const workersOf = (marker: string) =>
  readdirSync("/proc").filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
    try {
      return readdirSync(`/proc/${pid}/fd`).length >= 0 &&
        String(process.getBuiltinModule("node:fs").readFileSync(`/proc/${pid}/environ`)).includes(marker)
    } catch {
      return false
    }
  })

describe("a program with bad input", () => {
  it("says which package an adapter lacks, with the traceback, and how to try it", async () => {
    const { stdout } = await refused([JSON.stringify(config({ adapter: "does_not_import" }))], { MARK: "adapter-lacks" })
    assert.include(stdout, "snakepit/pools/default/control/launcher/forkserver")
    assert.include(stdout, `its adapter "does_not_import" does not import`)
    assert.include(stdout, "No module named 'a_package_that_nobody_has'")
    assert.include(stdout, "does_not_import.py\", line 3")
    assert.include(stdout, `Try it: python -c "import does_not_import"`)
    assert.deepStrictEqual(await until(() => workersOf("MARK=adapter-lacks"), (pids) => pids.length === 0), [])
  })

  it("says that an adapter is not found, and where it is looked for", async () => {
    const { stdout } = await refused([JSON.stringify(config({ adapter: "nowhere_to_be_found" }))])
    assert.include(stdout, "No module named 'nowhere_to_be_found'")
    assert.include(stdout, "python.path lists the folders it is looked for in")
  })

  it("lists the tools there are when one does not exist", async () => {
    const program = start([JSON.stringify(config()), "no_such_tool"])
    const { code, stdout } = await program.ended
    assert.strictEqual(code, 1)
    assert.include(stdout, `the adapter of pool "default" has no tool "no_such_tool". It has add, circumstances, count,`)
    assert.include(stdout, "Decorate the function with @tool")
    assert.deepStrictEqual(await survivors(await program.said("run")), [])
  })

  it("says that there is no Python, and how to name one", async () => {
    const { stdout } = await refused([JSON.stringify(config())], { SNAKEPIT_PYTHON: "/nonexistent/python3" })
    assert.include(stdout, `there is no "/nonexistent/python3" to run`)
    assert.include(stdout, "Install Python 3.11 or newer, or say where it is: python.executable, or $SNAKEPIT_PYTHON")
  })

  it("says that Python is too old", () =>
    withFolder(async (folder) => {
      mkdirSync(join(folder, "bin"))
      const old = join(folder, "bin", "python3")
      // an interpreter whose sys.version_info says 3.9, as the Reaper asks for it
      writeFileSync(
        old,
        `#!/bin/sh\nexec "${process.env["SNAKEPIT_PYTHON"] ?? "python3"}" -c '
import runpy, sys
sys.version_info = (3, 9, 2, "final", 0)
sys.argv = [a for a in sys.argv[1:] if not a.startswith("-")]
runpy.run_path(sys.argv[0], run_name="__main__")' "$@"\n`,
        { mode: 0o755 }
      )
      const { stdout } = await refused([JSON.stringify(config())], { SNAKEPIT_PYTHON: old })
      assert.include(stdout, "Python 3.11 or newer is needed")
      assert.include(stdout, "3.9")
    }))

  it("says which path is too long for a socket, and what to set", () =>
    withFolder(async (folder) => {
      const long = join(folder, "x".repeat(90))
      mkdirSync(long)
      const { stdout } = await refused([JSON.stringify(config())], { TMPDIR: long })
      assert.match(stdout, /would take \d+ bytes, and the kernel allows 107/)
      assert.include(stdout, "Set XDG_RUNTIME_DIR")
    }))

  it("puts the sockets under XDG_RUNTIME_DIR when the temporary folder's path is too long", () =>
    withFolder(async (folder) => {
      const long = join(folder, "x".repeat(90))
      mkdirSync(long)
      const { code } = await start([JSON.stringify(config())], { TMPDIR: long, XDG_RUNTIME_DIR: folder }).ended
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(readdirSync(folder), ["x".repeat(90)])
    }))

  it("names every key of the configuration that is wrong, and starts nothing", async () => {
    const { stdout } = await refused([JSON.stringify({ pools: { default: { size: 0, sise: 2, python: {} } } })])
    assert.include(stdout, "pools.default.size (code): expected a value between 1 and 1024, and it is 0")
    assert.include(stdout, "pools.default.sise (code): there is no such key. Did you mean \"size\"?")
    assert.include(stdout, "pools.default.python.adapter (code): missing key")
  })
})
