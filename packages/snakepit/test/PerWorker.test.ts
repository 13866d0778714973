import { assert, describe, it } from "@effect/vitest"
import { Child, Contract } from "@snakepit/core"
import { Cause, Effect, Exit, Layer } from "effect"
import { Snakepit } from "../src/index.ts"

const gauge = Child.make("gauge", { plane: "execution", start: Effect.succeed(Effect.never) })
const workerOf = (contract: Contract.Contract) =>
  Contract.flatten(contract).find(({ path }) => path === "snakepit/pools/<key>/fleet/<key>")!.contract.children.map(({ id }) => id)

describe("perWorker", () => {
  it.effect("stands in the contract that is asked for with it", () =>
    Effect.gen(function*() {
      const own = ["process", "channel", "heartbeat", "watchdog"]
      assert.deepStrictEqual(workerOf(yield* Snakepit.contract()), own)
      assert.deepStrictEqual(workerOf(yield* Snakepit.contract({ perWorker: { default: () => [gauge] } })), [...own, "gauge"])
    }))

  it.effect("of a pool that the configuration does not have is a mistake, told before anything starts", () =>
    Effect.gen(function*() {
      const layer = Snakepit.layer({ pools: { default: { python: { adapter: "tools" } } } }, { perWorker: { defualt: () => [gauge] } })
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(layer)))
      assert.isTrue(Exit.isFailure(exit))
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", `perWorker names a pool "defualt", and there is default`)
    }))
})
