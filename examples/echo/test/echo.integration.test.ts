/** The example as its reader runs it: over real sockets, harmed three times, done within seconds. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))

describe("the echo service", () => {
  it("loses what each failure may take, and nothing else", () => {
    const { status, stderr, stdout } = spawnSync(process.execPath, ["--conditions=source", main], { encoding: "utf8", timeout: 30_000 })
    assert.strictEqual(status, 0, `${stdout}${stderr}`)
    const decisions = stdout.split("\n").filter((line) => /» (leave|restart|give_up|abandon) /.test(line))
    assert.lengthOf(decisions, 3, stdout)
    assert.match(decisions[0]!, /leave echo\/connections\/\d+: PoisonLine/)
    assert.match(decisions[1]!, /restart echo\/listener: DoorClosed/)
    assert.match(decisions[2]!, /restart echo\/counter: Error: it has lost count/)
    assert.match(stdout, /^All went as it should\.$/m)
  })
})
