/** What of a change of the configuration is seen of real workers. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ConfigPlan, Configuration, EventLog, Pool, Snakepit } from "snakepit"
import { config } from "./fixtures/Program.ts"
import { pidOf, recorder } from "./fixtures/Recorder.ts"
import { Tools } from "./fixtures/Tools.ts"

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "snakepit-config-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

const slow = "pools: { default: { heartbeat: { interval: 10 minutes } } }\n"
const fast = "pools: { default: { heartbeat: { interval: 200 millis, timeout: 100 millis, maxMissed: 2 } } }\n"

describe("a configuration file of an application that runs", () => {
  it.live("changes what applies live without touching a worker, and nothing when it is wrong", () =>
    Effect.gen(function*() {
      const file = join(yield* temporary, "snakepit.yaml")
      writeFileSync(file, slow)
      const layer = Snakepit.layer(config({}, { size: 1, stopGrace: "200 millis" }), { configFile: file })
      yield* Effect.gen(function*() {
        const { awaitEvent, events } = yield* recorder(0)
        const configuration = yield* Configuration.Configuration
        const tools = yield* Pool.client(Tools)
        const pid = yield* pidOf(0)
        const log = yield* EventLog.EventLog
        const rejection = yield* Effect.forkChild(
          Stream.runCollect(Stream.take(log.follow("snakepit.config.reject"), 1)).pipe(Effect.timeout("20 seconds")),
          { startImmediately: true }
        )
        writeFileSync(file, "pools: { default: { heartbeat: { intervall: 1 second } } }\n")
        const [rejected] = yield* Fiber.join(rejection)
        assert.include(String(rejected?.attributes["cause"]), "pools.default.heartbeat.intervall")
        assert.strictEqual((yield* configuration.current).version, 1)
        writeFileSync(file, fast)
        yield* Stream.runHead(Stream.filter(configuration.changes, ({ version }) => version === 2)).pipe(Effect.timeout("20 seconds"))
        assert.deepInclude(yield* configuration.why("pools.default.heartbeat.interval"), { value: "200 millis", source: `${file}, line 1` })
        assert.strictEqual(yield* tools.add({ a: 1, b: 2 }), 3)
        assert.strictEqual(yield* pidOf(0), pid)
        process.kill(pid, "SIGSTOP")
        yield* awaitEvent("snakepit.worker_supervisor.recover") // ten minutes later by the first file
        assert.isTrue(events.some(({ name }) => name === "snakepit.watchdog.bite"))
      }).pipe(Effect.scoped, Effect.provide(layer))
    }).pipe(Effect.scoped))

  it.live("does not start with a file that is wrong: nothing older is taken for it", () =>
    Effect.gen(function*() {
      const file = join(yield* temporary, "snakepit.yaml")
      writeFileSync(file, "pools: [\n")
      const error = yield* Effect.flip(Effect.scoped(Layer.build(Snakepit.layer(config(), { configFile: file }))))
      assert.strictEqual(error.at.path, "snakepit/foundation/config_server")
      assert.include(error.message, `${file}, line 2`)
    }).pipe(Effect.scoped))
})

describe("a patch", () => {
  it.live("of the environment of workers rolls them, and its value is shown nowhere", () =>
    Effect.gen(function*() {
      const { events } = yield* recorder(0)
      const configuration = yield* Configuration.Configuration
      const pid = yield* pidOf(0)
      const patch = { pools: { default: { python: { env: { TOKEN: "a-secret" } }, attempts: 5 } } }
      const plan = yield* configuration.preview(patch)
      assert.strictEqual(ConfigPlan.describe(plan), "1 key live; pool default rolls 1 worker")
      assert.deepStrictEqual(yield* configuration.apply(patch), plan)
      assert.deepInclude(yield* configuration.why("pools.default.python.env.TOKEN"), { value: "(secret)", source: "patch at run time" })
      assert.strictEqual(yield* pidOf(0), pid)
      assert.notInclude(JSON.stringify([plan, events]), "a-secret")
      const refused = yield* Effect.flip(configuration.apply({ cgroup: "off" }))
      assert.strictEqual(refused._tag, "RestartNeeded")
    }).pipe(Effect.scoped, Effect.provide(Snakepit.layer(config({}, { size: 1, stopGrace: "200 millis" })))))
})
