import { assert, describe, it } from "@effect/vitest"
import { RegisteredName } from "@snakepit/core"
import { ConfigServer } from "@snakepit/pool"
import { Effect, Fiber, PubSub, Schema, Stream } from "effect"
import * as Configuration from "../src/Configuration.ts"
import { SnakepitConfig } from "../src/SnakepitConfig.ts"

const config = Schema.decodeUnknownSync(SnakepitConfig)({ pools: { default: { python: { adapter: "tools" } } } })
const snapshot = (version: number): Configuration.Snapshot => ({ version, at: 0, config, provenance: new Map(), pending: [] })

const service = Effect.map(ConfigServer.makeStore<SnakepitConfig>(), (store) => {
  store.history.push(snapshot(1))
  const publish = (version: number) => {
    store.history.push(snapshot(version))
    PubSub.publishUnsafe(store.snapshots, snapshot(version))
  }
  return {
    store,
    publish,
    make: (store: ConfigServer.Store<SnakepitConfig>) => Configuration.make(store, RegisteredName.make("config_server"))
  }
})

describe("the configuration of an application", () => {
  it.effect("tells each snapshot once, also one that comes while somebody begins to listen", () =>
    Effect.gen(function*() {
      const { make, publish, store } = yield* service
      let isFirst = true
      const { changes } = make({
        ...store,
        get history() {
          if (isFirst) publish(2)
          isFirst = false
          return store.history
        }
      })
      const heard = yield* Effect.forkChild(Stream.runCollect(Stream.take(changes, 2)), { startImmediately: true })
      yield* Effect.yieldNow
      publish(3)
      assert.deepStrictEqual((yield* Fiber.join(heard)).map(({ version }) => version), [2, 3])
    }))

  it.effect("knows nothing of a pool that there is not", () =>
    Effect.gen(function*() {
      const { make, store } = yield* service
      const { why } = make(store)
      assert.strictEqual((yield* why("pools.default.callTimeout")).source, "default")
      assert.strictEqual((yield* why("pools.default.python.env.TOKEN")).value, undefined)
      for (const key of ["pools.defualt.callTimeout", "pools.defualt"]) {
        const { issue } = yield* Effect.flip(why(key))
        assert.include(issue, "there is no such key. Did you mean \"default\"? Here may be: default")
      }
    }))
})
