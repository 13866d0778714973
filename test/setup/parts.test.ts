/** The parts of the set-up that decide something, one by one. */
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { complete, platformOf } from "../../scripts/complete-lock.mjs"
import * as Lock from "../../scripts/setup/Lock.mjs"
import * as NodeRuntime from "../../scripts/setup/NodeRuntime.mjs"
import * as Python from "../../scripts/setup/Python.mjs"
import { fromThrown } from "../../scripts/setup/SetupError.mjs"
import { hashOf, readStamp, writeStamp } from "../../scripts/setup/Stamp.mjs"

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "snakepit-parts-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe("Lock", () => {
  test("excludes, and is given back", async () => {
    const place = join(folder, "lock")
    let inside = 0
    let most = 0
    await Promise.all(Array.from({ length: 8 }, async () => {
      const giveBack = await Lock.take(place, { patienceMs: 20_000 })
      most = Math.max(most, ++inside)
      await new Promise((resolve) => setTimeout(resolve, 5))
      inside--
      giveBack()
    }))
    expect(most).toBe(1)
    expect(existsSync(place)).toBe(false)
  })

  test("loses patience with a living owner, and names it", async () => {
    const place = join(folder, "lock")
    const giveBack = await Lock.take(place, { patienceMs: 0 })
    let told = 0
    await expect(Lock.take(place, { patienceMs: 0, onWait: () => told++ })).rejects.toMatchObject({
      exitCode: 75,
      failure: { cause: expect.stringContaining(`process ${process.pid}`) }
    })
    expect(told).toBe(1)
    giveBack()
  })

  test("can be interrupted", async () => {
    const place = join(folder, "lock")
    await Lock.take(place, { patienceMs: 0 })
    await expect(Lock.take(place, { patienceMs: 60_000, signal: AbortSignal.timeout(50) })).rejects.toThrow()
  })

  test("is stale when its owner is gone or its pid is another's; never from another host", () => {
    const me = { pid: process.pid, started: Lock.startOf(process.pid), host: hostname() }
    expect(Lock.isStale(me)).toBe(false)
    expect(Lock.isStale({ ...me, started: "another boot/1" })).toBe(me.started !== "" || process.platform === "linux")
    expect(Lock.isStale({ ...me, pid: 2 ** 30 })).toBe(true)
    expect(Lock.isStale({ ...me, pid: 2 ** 30, host: "elsewhere" })).toBe(false)
  })
})

describe("Stamp", () => {
  test("tells parts apart, and their order", () => {
    expect(hashOf(["ab", "c"])).not.toBe(hashOf(["a", "bc"]))
    expect(hashOf(["a", "b"])).not.toBe(hashOf(["b", "a"]))
    expect(hashOf(["a", "b"])).toBe(hashOf(["a", "b"]))
  })

  test("reads what was written, and nothing where there is none", () => {
    const file = join(folder, "stamp")
    expect(readStamp(file)).toBeUndefined()
    writeStamp(file, "abc")
    expect(readStamp(file)).toBe("abc")
  })
})

test.each([["v22.18.0", false], ["v22.19.0", true], ["v22.20.1", true], ["v20.20.2", false], ["v24.0.0", true], ["v18.0.0", false]])(
  "Node %s is recent enough: %s",
  (version, yes) => expect(NodeRuntime.isRecent(version)).toBe(yes)
)

test.each([["3.11.0", true], ["3.10.13", false], ["3.14.0", true], ["2.7.18", false], ["4.0.0", true]])(
  "Python %s is recent enough: %s",
  (version, yes) => expect(Python.isRecent(version)).toBe(yes)
)

test.each([["EROFS", 73], ["EACCES", 73], ["ENOSPC", 73], ["EWHATEVER", 70]])("%s ends with exit code %i", (code, exitCode) => {
  const error = fromThrown(Object.assign(new Error("x"), { code, path: "/a/place" }), "here")
  expect(error.exitCode).toBe(exitCode)
  expect(error.render()).toContain("/a/place")
})

test("the lock is completed with what a registry kept back, for its own platform only", () => {
  expect(platformOf("@dprint/linux-arm64-musl")).toEqual({ cpu: ["arm64"], libc: ["musl"], os: ["linux"] })
  expect(platformOf("@bufbuild/buf-darwin-x64")).toEqual({ cpu: ["x64"], os: ["darwin"] })
  expect(platformOf("fsevents")).toBeUndefined()
  const lock = {
    packages: {
      "node_modules/tool": {
        version: "1.0.0",
        dev: true,
        optionalDependencies: { "@tool/darwin-arm64": "1.0.0", "@tool/linux-x64": "1.0.0", fsevents: "2.0.0" }
      },
      "node_modules/@tool/linux-x64": { version: "1.0.0", integrity: "sha512-x" }
    }
  }
  expect(complete(lock)).toEqual(["@tool/darwin-arm64@1.0.0"])
  expect(JSON.stringify(Object.entries(lock.packages)[0])).toBe(
    "[\"node_modules/@tool/darwin-arm64\",{\"version\":\"1.0.0\",\"cpu\":[\"arm64\"],\"dev\":true,\"optional\":true,\"os\":[\"darwin\"]}]"
  )
  expect(complete(lock)).toEqual([])
})
