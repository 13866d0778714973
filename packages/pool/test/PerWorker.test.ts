import { assert, describe, it } from "@effect/vitest"
import { Child, Contract, RegisteredName } from "@snakepit/core"
import { Context, Data, Effect, Schema } from "effect"
import { type PerWorker, PoolConfig, PoolDirectory, PoolsSupervisor } from "../src/index.ts"
import { ScriptedRuntime } from "../src/testing/index.ts"
import { after, openPools, scoped, tools } from "./OpenPools.ts"

class NoLicence extends Data.TaggedError("NoLicence")<{}> {}

/** A child that writes down what it sees of its worker when it starts and when it stops. */
const witness = (journal: Array<string>, id = "witness") => (worker: PerWorker.Worker) =>
  Child.make(id, {
    plane: "execution",
    start: Effect.gen(function*() {
      const see = (what: string) => Effect.sync(() => void journal.push(`${what} ${worker.name} ${worker.generation()} ${worker.pid()}`))
      yield* see("up")
      yield* Effect.addFinalizer(() => see("down"))
      return Effect.never
    })
  })

describe("a perWorker child", () => {
  it.effect("lives under its worker's supervisor, after the worker is connected and before it stops", () =>
    scoped(Effect.gen(function*() {
      const journal: Array<string> = []
      const { node, scripted } = yield* openPools({
        pools: { a: { size: 1 }, b: { size: 1 } },
        perWorker: { a: (worker) => [witness(journal)(worker)] }
      })
      assert.deepStrictEqual(journal, ["up a/0 0 1001"])
      assert.deepStrictEqual(
        (yield* node("a/fleet/0")).supervisor!.children.map(({ id }) => id),
        ["process", "channel", "heartbeat", "watchdog", "telemetry_tap", "witness"]
      )
      assert.deepStrictEqual(
        (yield* node("b/fleet/0")).supervisor!.children.map(({ id }) => id),
        ["process", "channel", "heartbeat", "watchdog", "telemetry_tap"]
      )
      yield* scripted.worker("a/0").crash()
      yield* after("1 millis")
      assert.deepStrictEqual(journal.slice(1), ["down a/0 0 undefined", "up a/0 1 1003"])
      yield* scripted.worker("a/0").loseChannel()
      yield* after("1 second")
      assert.deepStrictEqual(journal.slice(3), ["down a/0 1 1003", "up a/0 1 1003"])
    })))

  it.effect("that ends is started again, and takes along those after it, no other part of its worker", () =>
    scoped(Effect.gen(function*() {
      const journal: Array<string> = []
      const { kill, node, scripted } = yield* openPools({
        perWorker: { default: (worker) => [witness([], "first")(worker), witness(journal)(worker)] }
      })
      yield* kill("default/fleet/1/first")
      yield* after("1 millis")
      assert.deepStrictEqual(journal, ["up default/0 0 1001", "up default/1 0 1002", "down default/1 0 1002", "up default/1 0 1002"])
      assert.strictEqual((yield* node("default/fleet/1/first")).generation, 1)
      assert.strictEqual((yield* node("default/fleet/1/watchdog")).generation, 0)
      assert.deepStrictEqual([0, 1].map((slot) => scripted.worker(`default/${slot}`).generation()), [0, 0])
    })))

  it.effect("that keeps failing costs its worker the whole subtree, and no other worker", () =>
    scoped(Effect.gen(function*() {
      const { kill, node, scripted } = yield* openPools({
        pools: { default: { restart: { worker: { maxRestarts: 1 } } } },
        perWorker: { default: (worker) => [witness([])(worker)] }
      })
      yield* kill("default/fleet/0/witness")
      yield* after("1 second")
      yield* kill("default/fleet/0/witness")
      yield* after("1 second")
      assert.strictEqual((yield* node("default/fleet/0")).generation, 1)
      assert.deepStrictEqual([0, 1].map((slot) => scripted.worker(`default/${slot}`).generation()), [1, 0])
    })))

  it.effect("that does not start fails the start of its pool, by its name and its worker's, and leaves nothing", () =>
    Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools })
      const licence = (worker: PerWorker.Worker) => {
        const start: Effect.Effect<Effect.Effect<never>, NoLicence> = worker.slot === 1 ? new NoLicence() : Effect.succeed(Effect.never)
        return Child.make("licence", { plane: "execution", start })
      }
      const error = yield* Effect.flip(openPools({ scripted, perWorker: { default: (worker) => [licence(worker)] } }))
      assert.isTrue(error._tag === "StartFailed")
      if (error._tag !== "StartFailed") return
      assert.strictEqual(error.at.path, "pools/default/control/launcher/worker_starter")
      const cause = error.at.error
      assert.isTrue(cause._tag === "PerWorkerFailed" && cause.worker === "default/1" && cause.child === "licence")
      assert.isTrue(cause._tag === "PerWorkerFailed" && cause.error._tag === "NoLicence")
      assert.include(error.message, `"licence", a perWorker child of worker default/1, did not start`)
      assert.deepStrictEqual(scripted.alive(), [])
    }))

  it.effect("takes what it needs from the context of the pools", () =>
    Effect.gen(function*() {
      class Greeting extends Context.Service<Greeting, { readonly text: string }>()("test/Greeting") {}
      const heard: Array<string> = []
      const greeter = Child.make("greeter", {
        plane: "execution",
        start: Effect.map(Greeting, ({ text }) => {
          heard.push(text)
          return Effect.never
        })
      })
      const open = openPools({ pools: { default: { size: 1 } }, perWorker: { default: () => [greeter] } })
      yield* Effect.scoped(Effect.provideService(open, Greeting, { text: "hello" }))
      assert.deepStrictEqual(heard, ["hello"])
    }))
})

describe("the contract of the pools", () => {
  const own = ["process", "channel", "heartbeat", "watchdog", "telemetry_tap"]
  const workerOf = (contract: Contract.Contract, pool: string) =>
    Contract.flatten(contract).find(({ path }) => path === `pools/${pool}/fleet/<key>`)!.contract
  const settings = Schema.decodeUnknownSync(PoolConfig.PoolConfig)

  it("shows for each pool that is expected its own children and limits", () => {
    const directory = PoolDirectory.make(RegisteredName.make("config"), {
      pools: { a: settings({}), b: settings({ restart: { worker: { maxRestarts: 7 } } }), c: settings({}) }
    })
    const { runtime } = ScriptedRuntime.make({ tools: {} })
    const { contract } = PoolsSupervisor.make(directory, runtime, {
      a: (worker) => [witness([])(worker)],
      b: (worker) => [witness([])(worker), witness([], "gauge")(worker)]
    })
    const idsOf = (pool: string) => workerOf(contract, pool).children.map(({ id }) => id)
    assert.deepStrictEqual(["a", "b", "c"].map(idsOf), [[...own, "witness"], [...own, "witness", "gauge"], own])
    assert.deepInclude(workerOf(contract, "b").intensity, { maxRestarts: 7 })
    assert.notDeepInclude(workerOf(contract, "a").intensity, { maxRestarts: 7 })
  })

  it("shows one that stands for all, with what every pool has, when they are not known", () => {
    const directory = PoolDirectory.make(RegisteredName.make("config"))
    const { contract } = PoolsSupervisor.make(directory, ScriptedRuntime.make({ tools: {} }).runtime, {
      a: (worker) => [witness([])(worker)]
    })
    assert.deepStrictEqual(workerOf(contract, "<key>").children.map(({ id }) => id), own)
  })
})
