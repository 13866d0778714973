/** What scripted workers tell beside their results: credit, control, and what their taps survive. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { TelemetryControl } from "../src/control/TelemetryControl.ts"
import { window } from "../src/execution/TelemetryTap.ts"
import { Pool, PoolConfig, PoolControl } from "../src/index.ts"
import { ScriptedRuntime, type ScriptedTool } from "../src/testing/index.ts"
import { after, openPools, scoped } from "./OpenPools.ts"

class Tools extends RpcGroup.make(
  Rpc.make("tell", { payload: { name: Schema.String, times: Schema.Int } }),
  Rpc.make("log", { payload: { logger: Schema.String, level: Schema.Int } })
) {}

const tools = {
  tell: ({ name, times }: { readonly name: string; readonly times: number }, { tell }: ScriptedTool.Current) => {
    for (let time = 0; time < times; time++) tell({ _tag: "Event", name, measurements: [["time", time]] }, { kind: "test" })
    return null
  },
  log: ({ level, logger }: { readonly logger: string; readonly level: number }, { tell }: ScriptedTool.Current) => {
    tell({ _tag: "Log", logger, level, message: `at ${level}`, span: undefined })
    return null
  }
}

const open = Effect.fnUntraced(function*(pool: PoolConfig.PoolConfigInput = {}) {
  const scripted = ScriptedRuntime.make({ tools })
  const opened = yield* openPools({ pools: { default: { size: 1, ...pool } }, scripted })
  const names = () => scripted.told.map(({ said }) => said._tag === "Log" ? said.message : said.name)
  return {
    ...opened,
    names,
    tools: yield* Pool.client(Tools).pipe(opened.provided),
    control: yield* PoolControl.of("default").pipe(opened.provided)
  }
})

const config = (telemetry: NonNullable<PoolConfig.PoolConfigInput["telemetry"]>) =>
  Schema.decodeUnknownEffect(PoolConfig.PoolConfig)({ size: 1, telemetry })

describe("the tap of a worker", () => {
  it.effect("hands on what it tells: with its call, its worker and the time of the host", () =>
    scoped(Effect.gen(function*() {
      const { scripted, tools } = yield* open()
      yield* after("3 seconds")
      yield* tools.tell({ name: "model.loaded", times: 1 })
      const [told] = scripted.told
      assert.deepInclude(told, { pool: "default", slot: 0, generation: 0, tool: "tell", at: 3000, attributes: [["kind", "test"]] })
      assert.match(told?.correlationId ?? "", new RegExp(`^default-[0-9a-z]+-${scripted.journal[0]!.call.toString(36)}$`))
      assert.deepStrictEqual(told?.said, { _tag: "Event", name: "model.loaded", measurements: [["time", 0]] })
    })))

  it.effect("gives credit while there is room: beyond it the worker waits, then drops and counts", () =>
    scoped(Effect.gen(function*() {
      const { scripted, tools } = yield* open()
      yield* scripted.room(false)
      yield* tools.tell({ name: "a", times: window + 1024 + 10 })
      yield* after("1 second")
      assert.strictEqual(scripted.told.length, window)
      assert.deepInclude(yield* scripted.worker("default/0").telemetry, { credit: 0, waiting: 1024 })
      assert.deepStrictEqual(scripted.dropped, [])
      yield* scripted.room(true)
      yield* after("1 second")
      assert.strictEqual(scripted.told.length, window + 1024)
      assert.deepStrictEqual(scripted.dropped, [{ pool: "default", slot: 0, generation: 0, reason: "queue", records: 10 }])
    })))

  it.effect("takes no call along when it ends, and what comes meanwhile is counted", () =>
    scoped(Effect.gen(function*() {
      const { kill, names, node, scripted, tools } = yield* open()
      yield* tools.tell({ name: "before", times: 1 })
      yield* kill("default/fleet/0/telemetry_tap")
      yield* tools.tell({ name: "between", times: 2 })
      yield* after("5 seconds")
      yield* tools.tell({ name: "after", times: 1 })
      yield* after("1 second")
      assert.deepStrictEqual(names(), ["before", "after"])
      assert.deepStrictEqual(scripted.dropped.map(({ reason, records }) => [reason, records]), [["tap", 2]])
      assert.strictEqual(scripted.worker("default/0").generation(), 0)
      assert.strictEqual((yield* node("default/fleet/0/telemetry_tap")).generation, 1)
      assert.deepInclude(yield* scripted.worker("default/0").telemetry, { waiting: 0 })
    })))

  it.effect("outlives a channel: what was told while it was cut comes once, on the next", () =>
    scoped(Effect.gen(function*() {
      const { names, scripted, tools } = yield* open()
      yield* tools.tell({ name: "one", times: 1 })
      yield* scripted.worker("default/0").loseChannel()
      yield* after("5 seconds")
      yield* tools.tell({ name: "two", times: 300 })
      yield* after("1 second")
      assert.deepStrictEqual(names(), ["one", ...Array.from({ length: 300 }, () => "two")])
      assert.deepStrictEqual(scripted.dropped, [])
    })))
})

describe("what workers are to tell", () => {
  it.effect("follows the configuration at once, in the worker that runs", () =>
    scoped(Effect.gen(function*() {
      const { directory, names, scripted, tools } = yield* open({ telemetry: { deny: ["noisy.*"] } })
      yield* tools.tell({ name: "noisy.a", times: 1 })
      yield* tools.tell({ name: "quiet", times: 1 })
      assert.deepStrictEqual(names(), ["quiet"])
      directory.configure(2, {
        pools: { default: yield* config({ sampling: [{ pattern: "quiet", rate: 0 }, { pattern: "*", rate: 1 }] }) }
      })
      yield* tools.tell({ name: "noisy.a", times: 1 })
      yield* tools.tell({ name: "quiet", times: 1 })
      assert.deepStrictEqual(names(), ["quiet", "noisy.a"])
      directory.configure(3, { pools: { default: yield* config({ on: false }) } })
      yield* tools.tell({ name: "noisy.a", times: 1 })
      assert.deepStrictEqual(names(), ["quiet", "noisy.a"])
      assert.strictEqual(scripted.worker("default/0").generation(), 0)
    })))

  it.effect("is changed for a pool or a worker from the next call on, over reconnects and restarts, until it is reset", () =>
    scoped(Effect.gen(function*() {
      const { control, names, recorded, scripted, tools } = yield* open()
      yield* control.telemetry({ allow: ["wanted"], samples: Duration.seconds(1) })
      yield* tools.tell({ name: "other", times: 1 })
      yield* control.telemetry({ allow: ["other"] }, 0) // goes before what holds for the pool
      yield* tools.tell({ name: "other", times: 1 })
      assert.deepStrictEqual(names(), ["other"])
      yield* scripted.worker("default/0").loseChannel()
      yield* after("5 seconds")
      yield* scripted.worker("default/0").crash()
      yield* after("5 seconds")
      const { settings } = yield* scripted.worker("default/0").telemetry
      assert.deepStrictEqual([settings?.allow, Duration.toMillis(settings!.samples)], [["other"], 1000])
      yield* control.resetTelemetry(0)
      yield* tools.tell({ name: "other", times: 1 })
      yield* tools.tell({ name: "wanted", times: 1 })
      yield* control.resetTelemetry()
      yield* tools.tell({ name: "anything", times: 1 })
      assert.deepStrictEqual(names(), ["other", "wanted", "anything"])
      assert.deepStrictEqual(
        recorded.events.filter(({ name }) => name === "snakepit.telemetry.control").map((
          { attributes: { change, slot } }
        ) => [change, slot]),
        [
          [`{"allow":["wanted"],"samples":{"_id":"Duration","_tag":"Millis","millis":1000}}`, undefined],
          [`{"allow":["other"]}`, 0],
          ["reset", 0],
          ["reset", undefined]
        ]
      )
      assert.strictEqual((yield* Effect.flip(control.telemetry({ on: false }, 7)))._tag, "WorkerNotFound")
    })))

  it.effect("is what the configuration says when that changes it, and not when it changes something else", () =>
    Effect.gen(function*() {
      const control = new TelemetryControl()
      const [before, same, other] = [yield* config({}), yield* config({}), yield* config({ logs: "info" })]
      let told = 0
      const leave = control.listen(() => told++)
      control.configured(before.telemetry)
      control.change({ on: false })
      control.change({ logs: "error" }, 1)
      control.configured(same.telemetry)
      assert.deepInclude(control.of(1, same.telemetry), { on: false, logs: "error" })
      assert.deepInclude(control.of(0, same.telemetry), { on: false, logs: "warning" })
      control.configured(other.telemetry)
      assert.deepStrictEqual(control.of(1, other.telemetry), other.telemetry)
      assert.strictEqual(told, 5)
      leave()
      control.reset()
      assert.strictEqual(told, 5)
    }))
})
