/** What the registry of processes says when its journal cannot be written: on a real file system, where a folder stands in its way. */
import { assert, describe, it } from "@effect/vitest"
import { Event, RegisteredName, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { RecordedEvents } from "@snakepit/core/testing"
import { Effect } from "effect"
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as JournalFile from "../src/process/JournalFile.ts"
import * as ProcessRegistry from "../src/process/ProcessRegistry.ts"

describe.skipIf(process.platform !== "linux")("the registry of processes", () => {
  it.live("tells once that its journal cannot be written, and writes it at the next change that can be", () =>
    Effect.gen(function*() {
      const dataFolder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "snakepit-journal-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
      )
      const run = yield* ProcessRegistry.makeRun
      const path = JournalFile.pathOf(dataFolder, run.runId)
      const inTheWay = JournalFile.draftOf(path)
      mkdirSync(inTheWay, { recursive: true, mode: 0o700 })
      const config = RegisteredName.make<ProcessRegistry.RegistrySettings>("configuration")
      yield* RegisteredName.register(config, { dataFolder, cgroup: "off", pools: {} })
      const recorded = RecordedEvents.make()
      yield* Supervisor.start(Supervisor.make("foundation", {
        plane: "control",
        strategy: "one_for_one",
        restart: RestartPolicy.make({ intensity: { maxRestarts: 0, within: "30 seconds" } }),
        because: "it is a test",
        limitBecause: "it is a test",
        events: SupervisorEvent.of("foundation_supervisor", "foundation"),
        children: [ProcessRegistry.child(run, config)]
      })).pipe(Effect.provideService(Event.EventSink, recorded.sink))
      const registry = run.registry.current!
      registry.reserve("a", "default")
      registry.touch()
      const [told, ...more] = recorded.ofVerb("write_failed")
      assert.strictEqual(told!.attributes["file"], path)
      assert.include(told!.attributes["detail"], "EISDIR")
      assert.deepStrictEqual(more, [])
      assert.isFalse(existsSync(path))
      rmdirSync(inTheWay)
      registry.gone("a")
      assert.isTrue(existsSync(path))
    }).pipe(Effect.scoped))
})
