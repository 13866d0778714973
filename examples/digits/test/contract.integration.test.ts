/** The contract is the one that `python/digits.py` says. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const python = process.env["SNAKEPIT_PYTHON"] ?? at("../../../.venv/bin/python")

describe("the contract", () => {
  it("is current: npm run snakepit -- codegen --adapter digits --path examples/digits/python --out examples/digits/src/Digits.ts", () => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [
        "--conditions=source",
        at("../../../packages/snakepit/src/cli/main.ts"),
        ...["codegen", "--adapter", "digits", "--path", at("../python"), "--out", at("../src/Digits.ts"), "--check"]
      ],
      { env: { ...process.env, SNAKEPIT_PYTHON: python }, encoding: "utf8", timeout: 60_000 }
    )
    assert.strictEqual(status, 0, stderr)
  }, 90_000)
})
