import { assert, describe, it } from "@effect/vitest"
import { Child, Contract } from "@snakepit/core"
import { Effect, Layer } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { HostTools, Snakepit } from "../src/index.ts"

const gauge = Child.make("gauge", { plane: "execution", start: Effect.succeed(Effect.never) })
const python = { adapter: "tools" }
const own = ["process", "channel", "heartbeat", "watchdog", "telemetry_tap"]
const workerOf = (contract: Contract.Contract, pool: string) =>
  Contract.flatten(contract).find(({ path }) => path === `snakepit/pools/${pool}/fleet/<key>`)!.contract

describe("the contract of an application", () => {
  it.effect("has its pools by name, with the limits of the configuration and the perWorker children of each", () =>
    Effect.gen(function*() {
      const pools = { default: { python }, other: { python, restart: { worker: { maxRestarts: 9, within: "1 hour" } } } }
      const contract = yield* Snakepit.contract({ pools }, { perWorker: { other: () => [gauge] } })
      assert.deepStrictEqual(workerOf(contract, "default").children.map(({ id }) => id), own)
      assert.deepStrictEqual(workerOf(contract, "other").children.map(({ id }) => id), [...own, "gauge"])
      assert.deepStrictEqual(workerOf(contract, "other").intensity, { maxRestarts: 9, withinMillis: 3_600_000 })
    }))

  it.effect("has one entry for any pool without a configuration", () =>
    Effect.map(Snakepit.contract(), (contract) => {
      assert.deepStrictEqual(workerOf(contract, "<key>").children.map(({ id }) => id), own)
    }))

  it.effect("is not made of an invalid configuration", () =>
    Effect.map(Effect.flip(Snakepit.contract({ pools: { "Not a name": { python } } })), (error) => {
      assert.strictEqual(error._tag, "ConfigInvalid")
    }))
})

describe("perWorker of a pool that the configuration does not have", () => {
  const config = { pools: { default: { python }, other: { python } } }
  const mistake = { perWorker: { defualt: () => [gauge] } }
  const sentence = `perWorker names a pool "defualt", and the pools of the configuration are: default, other`

  it.effect("is a mistake in the configuration, told by its type before anything starts", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(Snakepit.layer(config, mistake))))
      assert.strictEqual(error.at.path, "snakepit/foundation/config_server")
      assert.strictEqual(error.at.error._tag, "ConfigInvalid")
      assert.include(error.message, sentence)
    }))

  it.effect("is told of hostTools too", () =>
    Effect.gen(function*() {
      const hostTools = { defualt: HostTools.make(RpcGroup.make(Rpc.make("ping")), { ping: () => Effect.void }) }
      const error = yield* Effect.flip(Effect.scoped(Layer.build(Snakepit.layer(config, { hostTools }))))
      assert.include(error.message, `hostTools names a pool "defualt", and the pools of the configuration are: default, other`)
    }))

  it.effect("fails the contract in the same way", () =>
    Effect.map(Effect.flip(Snakepit.contract(config, mistake)), (error) => {
      assert.strictEqual(error._tag, "ConfigInvalid")
      assert.include(error.message, sentence)
    }))
})
