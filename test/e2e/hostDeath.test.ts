/** Law 4: no worker process, nor a process it started, outlives the host, whatever kills the host. */
import { assert, describe, it } from "@effect/vitest"
import * as Cgroup from "@snakepit/bridge/process/Cgroup"
import { existsSync } from "node:fs"
import { config, start, survivors, until } from "./fixtures/Program.ts"

const parent = Cgroup.find()
/** The cgroup of a run, where there are any. */
const cgroupOf = (runId: string) => "folder" in parent ? Cgroup.ofRun(parent.folder, runId) : undefined
const isAlive = (pid: number) => existsSync(`/proc/${pid}`)

describe("when the host ends", () => {
  it("by SIGKILL, its workers, their grandchildren, the Reaper and the run's cgroup are gone", async () => {
    const program = start([JSON.stringify(config()), "wait"])
    const runId = await program.said("run")
    const grandchild = Number(await program.said("ready"))
    assert.isTrue(isAlive(grandchild))
    assert.isAtLeast((await survivors(runId)).length, 4) // two workers, a grandchild, the Reaper
    const cgroup = cgroupOf(runId)
    if (cgroup !== undefined) assert.isTrue(existsSync(cgroup))
    program.child.kill("SIGKILL")
    await program.ended
    assert.deepStrictEqual(await until(() => survivors(runId), (left) => left.length === 0), [])
    assert.isFalse(isAlive(grandchild))
    if (cgroup !== undefined) assert.isFalse(await until(() => existsSync(cgroup), (isThere) => !isThere)) // the last to go
  })

  it("by SIGTERM, the tree is stopped in order and nothing is left", async () => {
    const program = start([JSON.stringify(config({}, { stopGrace: "500 millis" })), "wait"])
    const runId = await program.said("run")
    await program.said("ready")
    program.child.kill("SIGTERM")
    const { code } = await program.ended
    assert.strictEqual(code, 130)
    assert.deepStrictEqual(await survivors(runId), [])
    const cgroup = cgroupOf(runId)
    if (cgroup !== undefined) assert.isFalse(existsSync(cgroup))
  })
})
