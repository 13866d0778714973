/** The file system layer that refuses to write, in a program of its own. */
import { assert, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const layer = fileURLToPath(new URL("host/FullDisk.ts", import.meta.url))

const program = `
  import { constants, openSync, rmSync, writeFileSync, writeSync } from "node:fs"
  const data = process.env.SNAKEPIT_DATA_DIR
  const attempt = (act) => { try { return act(), "ok" } catch ({ code }) { return code } }
  const file = openSync(data + "/journal", "w")
  const elsewhere = openSync(data + ".elsewhere", "w")
  const all = () => [() => writeSync(file, "x"), () => openSync(data + "/new", constants.O_WRONLY | constants.O_CREAT), () => writeSync(elsewhere, "y")].map(attempt)
  const said = [all()]
  writeFileSync(data + ".full", "")
  said.push(all())
  rmSync(data + ".full")
  said.push(all())
  console.log(JSON.stringify(said))
`

it("lets nothing more be written in the data folder while it is full, and anything elsewhere", () => {
  const folder = mkdtempSync(join(tmpdir(), "chaos-"))
  try {
    const data = join(folder, "data")
    mkdirSync(data)
    const { stdout } = spawnSync(process.execPath, [
      "--disable-warning=ExperimentalWarning",
      "--import",
      layer,
      "--input-type=module",
      "--eval",
      program
    ], { env: { ...process.env, SNAKEPIT_DATA_DIR: data }, encoding: "utf8" })
    assert.deepStrictEqual(JSON.parse(stdout), [["ok", "ok", "ok"], ["ENOSPC", "ENOSPC", "ok"], ["ok", "ok", "ok"]])
    assert.strictEqual(readFileSync(join(data, "journal"), "utf8"), "xx")
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
