/** A real worker is killed at work: its incident tells what became of each call, across layers, and so does `snakepit incident`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EventLog, Pool, Snakepit } from "snakepit"
import { journal, linesOf } from "./fixtures/Journal.ts"
import { config, root, until } from "./fixtures/Program.ts"
import { pidOf } from "./fixtures/Recorder.ts"
import { Tools } from "./fixtures/Tools.ts"

const folder = mkdtempSync(join(tmpdir(), "incident-"))
const eventLog = join(folder, "events.jsonl")

const snakepit = (...args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: number; readonly stdout: string; readonly stderr: string }>((resume) => {
    const main = join(root, "packages", "snakepit", "src", "cli", "main.ts")
    execFile(
      process.execPath,
      ["--conditions=source", main, ...args],
      { env: { ...process.env, NO_COLOR: "1" }, timeout: 60_000 },
      (error, stdout, stderr) => resume(Effect.succeed({ code: error === null ? 0 : Number(error.code), stdout, stderr }))
    )
  })

/** A pool of one worker that runs two calls at a time. */
const Live = Snakepit.layer({
  ...config({}, { size: 1, concurrency: 2, stopGrace: "300 millis" }),
  dataFolder: join(folder, "data"),
  telemetry: { eventLog }
})

describe.skipIf(process.platform !== "linux")("an incident", () => {
  it.live("names the calls that a killed worker had, and how each ended", () =>
    Effect.gen(function*() {
      const reason = yield* Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const noted = yield* journal
        const idempotent = yield* Effect.forkChild(tools.nap({ seconds: 0.5 }))
        const once = yield* Effect.forkChild(Effect.flip(tools.note({ journal: noted, text: "begun", seconds: 30 })))
        yield* Effect.promise(() => until(() => linesOf(noted).length, (lines) => lines > 0))
        process.kill(yield* pidOf(0), "SIGKILL")
        const error = yield* Fiber.join(once)
        assert.include(["WorkerCrashed", "OutcomeUnknown"], error._tag) // whether the news that it had begun was on its way
        yield* Fiber.join(idempotent)
        const log = yield* EventLog.EventLog
        const told = () => Effect.runPromise(log.recent("snakepit.worker_supervisor.recover"))
        yield* Effect.promise(() => until(told, (events) => events.length > 0))
        return error._tag
      }).pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Live))

      const { code, stderr, stdout } = yield* snakepit("incident", "--last", "--json", "--events", eventLog)
      assert.strictEqual(code, 0, stderr)
      const incident = JSON.parse(stdout)
      assert.deepInclude(incident, { pool: "default", slot: 0, generation: 0, outcome: "recovered" })
      assert.deepInclude(incident.evidence, { signal: "SIGKILL", endedBy: "itself" })
      const calls = new Map(incident.calls.map((call: { readonly tool: string }) => [call.tool, call]))
      assert.strictEqual(calls.size, 2, stdout)
      assert.deepInclude(calls.get("nap"), { end: "completed", attempts: 2 })
      assert.deepInclude(calls.get("note"), { end: "failed", reason, executed: "unknown" })
      assert.deepStrictEqual(incident.decisions.map(({ verb }: { readonly verb: string }) => verb), ["restart", "recover"])

      const history = ["--file", join(folder, "data", "history.sqlite")]
      assert.deepInclude(JSON.parse((yield* snakepit("incident", "--last", "--json", ...history)).stdout), {
        incident: incident.incident,
        outcome: "recovered",
        calls: incident.calls
      })
      const page = yield* snakepit("incident", incident.incident, "--events", eventLog)
      assert.include(page.stdout, "2 calls were touched")
      assert.include(page.stdout, `note  failed with ${reason}, executed: unknown`)
      const list = yield* snakepit("incident", "--events", eventLog)
      assert.include(list.stdout, incident.incident)
      assert.strictEqual((yield* snakepit("incident", "none", "--events", eventLog)).code, 1)
    }).pipe(Effect.ensuring(Effect.sync(() => rmSync(folder, { recursive: true, force: true })))), 90_000)
})
