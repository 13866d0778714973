import { assert, describe, it } from "@effect/vitest"
import { EventBus, EventLog, EventLoop, HostSeries } from "@snakepit/telemetry"
import { Effect, Layer, Metric } from "effect"
import { TestClock } from "effect/testing"

const quiet: EventLoop.Stretch = { count: 100, mean: 0.001, p99: 0.002, max: 0.01, active: 100, idle: 9900 }

describe("the last minute of an event loop", () => {
  it("has the worst of its stretches, and of all of them the mean and the share", () => {
    const minute = new EventLoop.LastMinute()
    minute.close({ count: 300, mean: 0.005, p99: 0.4, max: 2, active: 9900, idle: 100 })
    assert.deepStrictEqual(minute.figures(quiet), { mean: 0.004, p99: 0.4, max: 2, utilization: 0.5 })
    for (let stretch = 0; stretch < 4; stretch++) minute.close(quiet)
    assert.strictEqual(minute.figures(quiet).max, 2)
    minute.close(quiet)
    assert.strictEqual(minute.figures(quiet).max, 0.01)
  })

  it("has figures from the first moment on", () => {
    const nothing: EventLoop.Stretch = { count: 0, mean: 0, p99: 0, max: 0, active: 0, idle: 0 }
    assert.deepStrictEqual(new EventLoop.LastMinute().figures(nothing), { mean: 0, p99: 0, max: 0, utilization: 0 })
  })
})

const Live = EventLog.EventLog.layer.pipe(Layer.provideMerge(EventBus.EventBus.layer))

const valueOf = (name: string) =>
  Effect.map(Metric.snapshot, (all) => {
    const state = all.find(({ id }) => id === name)!.state as { readonly count?: number; readonly value?: number }
    return state.value ?? state.count ?? Number.NaN
  })

describe("the series of the host", () => {
  it.effect("tell everybody who reads them how long the loop was blocked, whoever has read before", () =>
    Effect.gen(function*() {
      yield* HostSeries.begin("1")
      const max = valueOf("nodejs.eventloop.delay.max")
      while ((yield* max) < 0.2) {
        const until = Date.now() + 300
        while (Date.now() < until); // no timer gets past it
        yield* Effect.promise(() => new Promise((resume) => setImmediate(resume))) // Node looks at its timers in between
      }
      for (let reader = 0; reader < 5; reader++) {
        yield* TestClock.adjust("5 seconds")
        assert.isAtLeast(yield* max, 0.2)
      }
      assert.isAbove(yield* valueOf("nodejs.eventloop.utilization"), 0)
    }).pipe(Effect.scoped, Effect.provide(Live), Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("count what handlers of the bus have lost and failed at, also when these are gone", () =>
    Effect.gen(function*() {
      yield* HostSeries.begin("1")
      const bus = yield* EventBus.EventBus
      yield* Effect.scoped(Effect.gen(function*() {
        yield* bus.attach("snakepit.call.*", () => Effect.never, { capacity: 1 })
        yield* bus.tap("snakepit.call.*", () => {
          throw new Error("a handler with a bug")
        })
        for (let n = 0; n < 3; n++) bus.emit({ name: "snakepit.call.retry", at: n, measurements: {}, attributes: {} })
      }))
      assert.strictEqual(yield* valueOf("snakepit.telemetry.events.dropped"), 2)
      assert.strictEqual(yield* valueOf("snakepit.telemetry.handler.failures"), 3)
      assert.strictEqual(yield* valueOf("snakepit.telemetry.events"), 5) // with those that tell of it
    }).pipe(Effect.scoped, Effect.provide(Live), Effect.provideService(Metric.MetricRegistry, new Map())))
})
