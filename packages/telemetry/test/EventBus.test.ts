import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@snakepit/core"
import { EventBus } from "@snakepit/telemetry"
import { Effect } from "effect"

const event = (name: string): Event.Event => ({ name, at: 0, measurements: {}, attributes: {} })

describe("the event bus", () => {
  it.effect("hands an event to the handlers whose pattern it fits, in the order of attaching", () =>
    Effect.gen(function*() {
      const bus = yield* EventBus.EventBus
      const heard: Array<string> = []
      yield* bus.attach("snakepit.*_supervisor.restart", ({ name }) => heard.push(`restart ${name}`))
      yield* bus.attach("*", ({ name }) => heard.push(`any ${name}`))
      bus.emit(event("snakepit.pool_supervisor.restart"))
      bus.emit(event("snakepit.call.retry"))
      assert.deepStrictEqual(heard, [
        "restart snakepit.pool_supervisor.restart",
        "any snakepit.pool_supervisor.restart",
        "any snakepit.call.retry"
      ])
    }).pipe(Effect.provide(EventBus.EventBus.layer)))

  it.effect("detaches a handler that throws and goes on with the others", () =>
    Effect.gen(function*() {
      const bus = yield* EventBus.EventBus
      let calls = 0
      let heard = 0
      yield* bus.attach("*", () => {
        calls++
        throw new Error("a handler with a bug")
      })
      yield* bus.attach("*", () => heard++)
      bus.emit(event("snakepit.call.retry"))
      bus.emit(event("snakepit.call.retry"))
      assert.deepStrictEqual([calls, heard], [1, 2])
    }).pipe(Effect.provide(EventBus.EventBus.layer)))

  it.effect("forgets a handler when its scope closes", () =>
    Effect.gen(function*() {
      const bus = yield* EventBus.EventBus
      let heard = 0
      yield* Effect.scoped(bus.attach("*", () => heard++))
      bus.emit(event("snakepit.call.retry"))
      assert.strictEqual(heard, 0)
    }).pipe(Effect.provide(EventBus.EventBus.layer)))

  it("takes nothing but * for special in a pattern", () => {
    assert.isTrue(EventBus.matcher("snakepit.a.*")("snakepit.a.b"))
    assert.isFalse(EventBus.matcher("snakepit.a.*")("snakepitXa.b"))
    assert.isFalse(EventBus.matcher("snakepit.a")("snakepit.a.b"))
  })
})
