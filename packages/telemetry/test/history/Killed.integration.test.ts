import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as SqliteStore from "../../src/history/sqlite/SqliteStore.ts"

const program = fileURLToPath(new URL("killed/Host.ts", import.meta.url))
const kills = 4
const lines = 50 // acknowledged before the first kill, and as many more before each further one: in the middle of it, wherever that is

/** Runs a host until it has acknowledged so many events, kills it, and gives back all that it has acknowledged. */
const killed = (file: string, run: string, afterLines: number): Promise<ReadonlyArray<number>> =>
  new Promise((resolve, reject) => {
    const words = ["--disable-warning=ExperimentalWarning", "--conditions=source", program, file, run]
    const host = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "pipe"] })
    let said = ""
    let complaint = ""
    host.stderr.on("data", (chunk) => (complaint += chunk))
    host.stdout.on("data", (chunk) => {
      said += chunk
      if (said.split("\n").length > afterLines) host.kill("SIGKILL")
    })
    host.on("close", (_, signal) => {
      const seqs = said.split("\n").slice(0, -1).map(Number) // a last line that was cut off says nothing
      if (signal === "SIGKILL") resolve(seqs)
      else reject(new Error(`it ended by itself: ${complaint}`))
    })
  })

describe("a host that is killed", () => {
  it.live("leaves every event that its history has acknowledged, and its run without an end", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "history-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      const file = join(folder, "history.sqlite")
      for (let kill = 1; kill <= kills; kill++) {
        const acknowledged = yield* Effect.promise(() => killed(file, `run ${kill}`, lines * kill))
        assert.isAtLeast(acknowledged.length, lines * kill)
        const store = yield* SqliteStore.open(file, false)
        assert.isUndefined(store.setAside)
        const found = new Set((yield* Stream.runCollect(store.reader.events({ run: `run ${kill}` }))).map(({ seq }) => seq))
        assert.deepStrictEqual(acknowledged.filter((seq) => !found.has(seq)), [])
      }
      const runs = yield* SqliteStore.reader(file).runs
      assert.deepStrictEqual(
        runs.map(({ endedAt, id }) => [id, endedAt]),
        Array.from({ length: kills }, (_, index) => [`run ${index + 1}`, undefined])
      )
    }), 120_000)
})
