/** `snakepit doctor` as a program: what it prints and how it ends, on this system and on broken ones. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { SnakepitConfig } from "snakepit"
import { config, python, root } from "./fixtures/Program.ts"

interface Report {
  readonly ok: number
  readonly warnings: number
  readonly errors: number
  readonly findings: ReadonlyArray<{ readonly level: string; readonly area: string; readonly text: string; readonly remedy?: string }>
}

const doctor = (input: unknown, env: NodeJS.ProcessEnv = {}) => {
  const folder = mkdtempSync(join(tmpdir(), "snakepit-doctor-"))
  const file = join(folder, "config.json")
  try {
    writeFileSync(file, JSON.stringify(input))
    const ended = spawnSync(
      process.execPath,
      ["--conditions=source", join(root, "packages", "snakepit", "src", "cli", "main.ts"), "doctor", "--config", file, "--json"],
      { cwd: root, env: { ...process.env, SNAKEPIT_PYTHON: python, SNAKEPIT_DATA_DIR: join(folder, "data"), ...env }, encoding: "utf8" }
    )
    assert.strictEqual(ended.stderr, "")
    const lines = ended.stdout.trimEnd().split("\n")
    const report = JSON.parse(lines.at(-1) ?? "") as Report
    return { code: ended.status, text: lines.slice(0, -1).join("\n"), report }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const errorsOf = ({ findings }: Report) => findings.filter(({ level }) => level === "error")

const withPython = (executable: string): SnakepitConfig.SnakepitConfigInput => config({ executable })

describe("snakepit doctor", () => {
  it("finds a system that runs the tests in order, and ends with 0", () => {
    const { code, report, text } = doctor(config())
    assert.deepStrictEqual(errorsOf(report), [])
    assert.strictEqual(code, 0, text)
    assert.match(text, new RegExp(`\\n\\n${report.ok} ok, ${report.warnings} warnings?, 0 errors$`))
    for (const area of ["node", "config", "python default", "run folder", "data folder", "leftovers", "shared memory", "pool default"]) {
      assert.isTrue(report.findings.some((finding) => finding.area === area), area)
    }
  })

  it("says that a Python is none, or is not there, and how to name one; and that nothing runs its Reaper", () => {
    const { code, report, text } = doctor({
      pools: { ...withPython("/bin/false").pools, gpu: { python: { adapter: "tools", executable: "/nowhere/python" } } }
    })
    assert.strictEqual(code, 1)
    assert.deepStrictEqual(errorsOf(report).map(({ area }) => area), ["python default", "python gpu", "pool default", "pool gpu"])
    assert.match(text, /^error {4}python default {2}"\/bin\/false" is no working Python: it ended with code 1\n\s+→ install/m)
    assert.include(errorsOf(report)[1]?.remedy, "$SNAKEPIT_PYTHON")
  })

  it("says which packages a Python lacks, each with the reason", () => {
    const folder = mkdtempSync(join(tmpdir(), "snakepit-python-"))
    try {
      const bare = join(folder, "python")
      // without site packages: what a Python is that nothing was installed into
      writeFileSync(bare, `#!/bin/sh\nexec "${python}" -S "$@"\n`)
      chmodSync(bare, 0o755)
      const { code, report } = doctor(withPython(bare))
      assert.strictEqual(code, 1)
      assert.deepStrictEqual(errorsOf(report).map(({ area }) => area), ["python default"])
      for (const name of ["grpc", "google.protobuf", "msgspec"]) assert.include(errorsOf(report)[0]?.text, `${name} (ModuleNotFoundError`)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it("says that an adapter is not found, and that the data folder cannot be written to", () => {
    const { code, report } = doctor({ ...config({ adapter: "nowhere_to_be_found.tools" }), dataFolder: "/dev/null/data" })
    assert.strictEqual(code, 1)
    assert.deepStrictEqual(errorsOf(report).map(({ area }) => area), ["python default", "data folder"])
    assert.include(errorsOf(report)[0]?.text, "nowhere_to_be_found.tools")
    assert.include(errorsOf(report)[1]?.text, "/dev/null/data")
  })

  it("looks for every part of an adapter's name, without running its code", () => {
    const { report } = doctor(config({ adapter: "tools.gpu" })) // tools.py is no package
    assert.deepStrictEqual(errorsOf(report).map(({ area, text }) => [area, text]), [["python default", `there is no module "tools.gpu"`]])
    const other = doctor(config({ adapter: "email.nowhere.tools" })).report // a package that has no such module
    assert.deepStrictEqual(errorsOf(other).map(({ text }) => text), [`there is no module "email.nowhere", of "email.nowhere.tools"`])
  })

  it("names python.cwd when it is no folder", () => {
    const { code, report } = doctor(config({ cwd: "/nowhere/at/all" }))
    assert.strictEqual(code, 1)
    assert.deepStrictEqual(errorsOf(report).map(({ area, remedy }) => [area, remedy]), [
      ["python default", "make the folder, or correct python.cwd"]
    ])
  })

  it("names every key of the configuration that is wrong, and goes on", () => {
    const { code, report } = doctor({ pools: { default: { sise: 2, python: { adapter: "tools" } } } })
    assert.strictEqual(code, 1)
    assert.deepStrictEqual(errorsOf(report).map(({ area }) => area), ["config"])
    assert.include(errorsOf(report)[0]?.text, "sise")
  })

  it("says that a namespace is asked for and not to be had, and how to enable it", () => {
    const { code, report } = doctor(config({ containment: "namespace" }), { PATH: "/nowhere" })
    assert.strictEqual(code, 1)
    assert.deepStrictEqual(errorsOf(report).map(({ area }) => area), ["pool default"])
    assert.include(errorsOf(report)[0]?.remedy, "install util-linux")
  })
})
