/** The main job, from outside: what `npm start -- --json` promises. */
import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const python = process.env["SNAKEPIT_PYTHON"] ?? fileURLToPath(new URL("../../../.venv/bin/python", import.meta.url))

const run = () =>
  new Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>((resolve) => {
    const child = spawn(process.execPath, ["--conditions=source", main, "--json"], {
      env: { ...process.env, SNAKEPIT_PYTHON: python },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk) => {
      stdout += chunk
    })
    child.stderr.on("data", (chunk) => {
      stderr += chunk
    })
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })

describe("the main job", () => {
  it("balances its ledger although one worker is killed and one frozen", async () => {
    const { code, stderr, stdout } = await run()
    assert.strictEqual(code, 0, stderr)
    const ledger = JSON.parse(stdout.trim().split("\n").at(-1)!)
    assert.include(ledger, { lost: 0, twice: 0, survivors: 0 })
    assert.strictEqual(ledger.accepted, ledger.completed + ledger.reported)
    assert.isAtLeast(ledger.completed, 2 * 46)
    assert.isAtLeast(ledger.restarts, 2)
    assert.isAtLeast(ledger.retried + ledger.reported, 1)
    assert.match(stderr, /ended by SIGKILL: somebody else ended it .* → restart/)
    assert.match(stderr, /is stopped \(1 heartbeat in a row.* → restart/)
    assert.match(stderr, /Best parameters/)
  }, 180_000)
})
