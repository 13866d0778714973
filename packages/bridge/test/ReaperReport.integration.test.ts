/** What a Reaper says, as events: by a program that says what a Reaper would. When its containment is told, and what; what of output was left out. */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Event, RegisteredName, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { RecordedEvents } from "@snakepit/core/testing"
import { Effect, Schema } from "effect"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Inbox from "../src/ingest/Inbox.ts"
import type { ProcessRegistry } from "../src/process/ProcessRegistry.ts"
import * as Reaper from "../src/process/Reaper.ts"
import { PythonConfig } from "../src/PythonConfig.ts"
import * as ScriptedReaper from "./ScriptedReaper.ts"

const ready = {
  event: "ready",
  pid: 1,
  subreaper: true,
  containment: { subreaper: true, pdeathsig: true, pidfd: true, namespace: false }
}

/** A Reaper that, as soon as it is told anything, has left out some lines and spawns one process. */
const program = (cgroup: boolean) =>
  `#!/bin/sh
echo '${JSON.stringify(ready)}'
read order
echo '${JSON.stringify({ event: "dropped", lines: 7 })}'
echo '${JSON.stringify({ event: "spawned", id: "a", pid: 1, started: 1, cgroup })}'
exec cat > /dev/null
`

const reported = Effect.fnUntraced(function*(cgroup: ReturnType<ProcessRegistry["cgroup"]>, enclosed: boolean) {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "snakepit-report-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  )
  const executable = join(folder, "python")
  writeFileSync(executable, program(enclosed), { mode: 0o755 })
  const { launcher } = yield* ScriptedReaper.make()
  const registry = RegisteredName.make<ProcessRegistry>("registry")
  yield* RegisteredName.register(registry, { ...launcher.registry.current!, cgroup: () => cgroup })
  const name = RegisteredName.make<Reaper.Reaper>("reaper")
  const recorded = RecordedEvents.make()
  const config = yield* Schema.decodeUnknownEffect(PythonConfig)({ adapter: "tools", executable })
  yield* Supervisor.start(Supervisor.make("control", {
    plane: "control",
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: { maxRestarts: 0, within: "30 seconds" } }),
    because: "it is a test",
    limitBecause: "it is a test",
    events: SupervisorEvent.of("control_supervisor", "control"),
    children: [Reaper.child({
      pool: "default",
      config: () => config,
      name,
      registry,
      dropped: new Inbox.Inbox().droppedOf("default"),
      spawner: yield* ChildProcessSpawner
    })]
  })).pipe(Effect.provideService(Event.EventSink, recorded.sink))
  const reports = () => recorded.ofVerb("report").map(({ attributes }) => attributes)
  const before = reports().length
  const spawned = Effect.callback<void>((resume) => void name.current!.listeners.set("a", () => resume(Effect.void)))
  name.current!.send({ op: "signal", id: "a", signal: "TERM" })
  yield* spawned
  const [report, ...more] = reports()
  assert.deepStrictEqual(more, [])
  const dropped = recorded.ofVerb("dropped").map(({ attributes, measurements }) => [attributes["pool"], measurements["lines"]])
  return { dropped, before, active: String(report!["active"]).split(", "), missing: String(report!["missing"]).split(", ") }
})

describe.skipIf(process.platform !== "linux")("the report of what holds the processes of a pool", () => {
  const tested = (test: ReturnType<typeof reported>, see: (report: Effect.Success<ReturnType<typeof reported>>) => void) =>
    test.pipe(Effect.map(see), Effect.scoped, Effect.provide(NodeServices.layer))

  it.live("counts a cgroup when the first process is in it, and says nothing before", () =>
    tested(reported({ folder: "/nowhere/snakepit-run/default" }, true), ({ active, before }) => {
      assert.strictEqual(before, 0)
      assert.include(active, "cgroup")
    }))

  it.live("counts a folder into which no process could be put as none", () =>
    tested(reported({ folder: "/nowhere/snakepit-run/default" }, false), ({ active, before, missing }) => {
      assert.strictEqual(before, 0)
      assert.notInclude(active, "cgroup")
      assert.include(missing, "cgroup")
    }))

  it.live("is not all that it says: lines of output that were left out are told too", () =>
    tested(reported({ why: "it is turned off" }, false), ({ dropped }) => {
      assert.deepStrictEqual(dropped, [["default", 7]])
    }))

  it.live("is told at once where there is no cgroup", () =>
    tested(reported({ why: "it is turned off" }, false), ({ before, missing }) => {
      assert.strictEqual(before, 1)
      assert.include(missing, "cgroup")
    }))
})
