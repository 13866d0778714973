import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@snakepit/core"
import { EventBus, TelemetryEvent } from "@snakepit/telemetry"
import { Context, Effect, type Scope } from "effect"
import { TestClock } from "effect/testing"

const event = (name: string): Event.Event => ({ name, at: 0, measurements: {}, attributes: {} })

const retry = event("snakepit.call.retry")

/** Lets promises, which no fiber waits for, be heard until it holds; the test's own time is its limit. */
const until = (holds: () => boolean) =>
  Effect.promise(async () => {
    while (!holds()) await new Promise((resume) => setImmediate(resume))
  })

/** Lets handlers have what waits for them. */
const settle = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow)

const onBus = <A, E>(body: (bus: EventBus.EventBus["Service"]) => Effect.Effect<A, E, Scope.Scope>) =>
  Effect.provide(Effect.flatMap(EventBus.EventBus, body), EventBus.EventBus.layer)

const handlingOf = (bus: EventBus.EventBus["Service"], name: string): EventBus.Handling => bus.handlers().find((one) => one.name === name)!

const bug = () => {
  throw new Error("a handler with a bug")
}

class Pen extends Context.Service<Pen, { readonly write: (name: string) => void }>()("test/Pen") {}

describe("the event bus", () => {
  it.effect("hands an event to the handlers whose pattern it fits, each in order and in its own time", () =>
    onBus((bus) =>
      Effect.gen(function*() {
        const heard: Array<string> = []
        yield* bus.attach("snakepit.*_supervisor.restart", ({ name }) => heard.push(`restart ${name}`))
        yield* bus.attach("*", ({ name }) => heard.push(`any ${name}`))
        bus.emit(event("snakepit.pool_supervisor.restart"))
        bus.emit(retry)
        assert.deepStrictEqual(heard, [], "nobody works while an event is emitted")
        yield* settle
        assert.deepStrictEqual(heard.toSorted(), [
          "any snakepit.call.retry",
          "any snakepit.pool_supervisor.restart",
          "restart snakepit.pool_supervisor.restart"
        ])
        assert.deepStrictEqual(heard.filter((line) => line.startsWith("any")), [
          "any snakepit.pool_supervisor.restart",
          "any snakepit.call.retry"
        ])
      })
    ))

  it.effect("takes Effects for handlers, with what they need", () =>
    onBus((bus) =>
      Effect.gen(function*() {
        const heard: Array<string> = []
        const handler = ({ name }: Event.Event) => Effect.flatMap(Pen, ({ write }) => Effect.sync(() => write(name)))
        yield* Effect.provideService(bus.attach("*", handler), Pen, { write: (name) => heard.push(name) })
        bus.emit(retry)
        yield* settle
        assert.deepStrictEqual(heard, ["snakepit.call.retry"])
      })
    ))

  it.effect("takes promises for handlers: the next event waits for one, and one that rejects is counted", () =>
    onBus((bus) =>
      Effect.gen(function*() {
        const answers: Array<{ readonly resolve: () => void; readonly reject: (error: Error) => void }> = []
        const ask = () => new Promise<void>((resolve, reject) => answers.push({ resolve, reject }))
        yield* bus.attach("snakepit.call.*", ask, { name: "asks", capacity: 3 })
        for (let n = 0; n < 5; n++) bus.emit(retry)
        yield* settle
        assert.strictEqual(answers.length, 1)
        assert.deepInclude(handlingOf(bus, "asks"), { delivered: 0, dropped: 2, failed: 0, waiting: 2 })
        answers[0]!.resolve()
        yield* until(() => answers.length === 2)
        assert.deepInclude(handlingOf(bus, "asks"), { delivered: 1, failed: 0 })
        answers[1]!.reject(new Error("no"))
        yield* until(() => answers.length === 3)
        assert.deepInclude(handlingOf(bus, "asks"), { delivered: 2, failed: 1 })
      })
    ))

  it.effect("is not ended by a promise that rejects: in a tap, or after its handler was detached", () =>
    onBus((bus) =>
      Effect.gen(function*() {
        const refuse = () => Promise.reject(new Error("no"))
        yield* bus.tap("snakepit.call.*", async () => refuse(), { name: "tap" })
        let refuseLate = (_: Error) => {}
        yield* Effect.scoped(Effect.gen(function*() {
          yield* bus.attach(
            "snakepit.call.*",
            () =>
              new Promise((_, reject) => {
                refuseLate = reject
              })
          )
          bus.emit(retry)
          yield* settle
        }))
        refuseLate(new Error("no")) // what rejects and is not caught fails the whole run of the tests
        yield* until(() => handlingOf(bus, "tap").failed > 0)
        assert.deepInclude(handlingOf(bus, "tap"), { delivered: 1, failed: 1 })
      })
    ))

  it.effect("is not held up by a handler that blocks for ever: its queue keeps the newest and counts the others", () =>
    onBus((bus) =>
      Effect.gen(function*() {
        let heard = 0
        yield* bus.attach("*", () => Effect.uninterruptible(Effect.never), { name: "blocked", capacity: 10 })
        yield* bus.attach("snakepit.call.*", () => heard++, { name: "quick" })
        for (let n = 0; n < 100; n++) {
          bus.emit(retry)
          yield* settle
        }
        assert.strictEqual(heard, 100)
        const { delivered, dropped, failed, waiting } = handlingOf(bus, "blocked")
        // one is with the handler; and the first loss was told, which took a place too
        assert.deepStrictEqual({ delivered, dropped, failed, waiting }, { delivered: 0, dropped: 90, failed: 0, waiting: 10 })
        assert.deepInclude(handlingOf(bus, "quick"), { delivered: 100, dropped: 0, failed: 0, waiting: 0 })
      })
    ))

  it.effect("goes on with a handler that throws, fails or dies, and counts that", () =>
    onBus((bus) =>
      Effect.gen(function*() {
        let heard = 0
        yield* bus.attach("snakepit.call.*", bug, { name: "throws" })
        yield* bus.tap("snakepit.call.*", bug, { name: "throws at once" })
        yield* bus.attach("snakepit.call.*", () => Effect.fail("no"), { name: "fails" })
        yield* bus.attach("snakepit.call.*", () => Effect.die("no"), { name: "dies" })
        yield* bus.attach("snakepit.call.*", () => heard++, { name: "well" })
        bus.emit(retry)
        bus.emit(retry)
        yield* settle
        assert.strictEqual(heard, 2)
        for (const name of ["throws", "throws at once", "fails", "dies"]) {
          assert.deepInclude(handlingOf(bus, name), { delivered: 2, failed: 2, dropped: 0, waiting: 0 }, name)
        }
        assert.strictEqual(handlingOf(bus, "well").failed, 0)
      })
    ))

  it.effect("tells of losses and failures as events, at most once in ten seconds for each handler, and at last of all", () =>
    onBus((bus) =>
      Effect.gen(function*() {
        const told: Array<unknown> = []
        yield* bus.tap("snakepit.event_handler.*", ({ attributes, measurements, name }) => {
          told.push([name, attributes["handler"], measurements["dropped"] ?? measurements["failed"]])
        })
        yield* bus.attach("snakepit.call.*", () => Effect.never, { name: "blocked", capacity: 1 })
        yield* bus.tap("snakepit.call.*", bug, { name: "throws" })
        const storm = (size: number) => {
          for (let n = 0; n < size; n++) bus.emit(retry)
        }
        storm(5)
        yield* settle
        const { name: drop } = TelemetryEvent.event_handler_drop
        const { name: fail } = TelemetryEvent.event_handler_fail
        assert.sameDeepMembers(told, [[fail, "throws", 5], [drop, "blocked", 4]])
        yield* TestClock.adjust(EventBus.tellMillis - 1)
        storm(5000)
        yield* settle
        assert.strictEqual(told.length, 2)
        const { dropped } = handlingOf(bus, "blocked")
        assert.isAbove(dropped, 5000)
        yield* TestClock.adjust(1) // nothing more is lost, and the rest is told all the same
        assert.sameDeepMembers(told.slice(2), [[drop, "blocked", dropped], [fail, "throws", 5005]])
        yield* TestClock.adjust(10 * EventBus.tellMillis)
        assert.strictEqual(told.length, 4, "what is told is told once")
      })
    ))

  it.effect("tells what is untold of a handler when it is detached, and counts it in the totals from then on too", () =>
    onBus((bus) =>
      Effect.gen(function*() {
        const told: Array<unknown> = []
        yield* bus.tap("snakepit.event_handler.*", ({ attributes, measurements }) => {
          told.push([attributes["handler"], measurements["dropped"] ?? measurements["failed"]])
        })
        yield* Effect.scoped(Effect.gen(function*() {
          yield* bus.attach("snakepit.call.*", () => Effect.never, { name: "blocked", capacity: 1 })
          yield* bus.tap("snakepit.call.*", bug, { name: "throws" })
          for (let n = 0; n < 5; n++) bus.emit(retry)
        }))
        assert.sameDeepMembers(told, [["throws", 5], ["blocked", 4]])
        assert.deepStrictEqual(bus.handlers().map(({ pattern }) => pattern), ["snakepit.event_handler.*"])
        assert.deepStrictEqual(bus.totals(), { emitted: 7, dropped: 4, failed: 5 })
      })
    ))

  it.effect("tells nothing of what is lost or fails of that news itself", () =>
    onBus((bus) =>
      Effect.gen(function*() {
        const told: Array<unknown> = []
        yield* bus.tap("snakepit.event_handler.*", ({ attributes }) => told.push(attributes["handler"]))
        yield* bus.tap("*", bug, { name: "throws at all" })
        yield* bus.tap("snakepit.event_handler.*", bug, { name: "throws at the news" })
        bus.emit(retry)
        yield* TestClock.adjust(2 * EventBus.tellMillis)
        assert.deepStrictEqual(told, ["throws at all"])
        assert.strictEqual(handlingOf(bus, "throws at all").failed, 2)
        assert.strictEqual(handlingOf(bus, "throws at the news").failed, 1)
      })
    ))

  it.effect("forgets a handler when its scope closes, whatever it is at", () =>
    onBus((bus) =>
      Effect.gen(function*() {
        let heard = 0
        yield* Effect.scoped(Effect.gen(function*() {
          yield* bus.attach("*", () => heard++)
          yield* bus.attach("*", () => Effect.uninterruptible(Effect.never))
          bus.emit(retry)
          yield* settle
        }))
        bus.emit(retry)
        yield* settle
        assert.strictEqual(heard, 1)
        assert.deepStrictEqual(bus.handlers(), [])
      })
    ))

  it.effect("finds a handler that is attached after the first event of a name", () =>
    onBus((bus) =>
      Effect.gen(function*() {
        bus.emit(retry)
        let heard = 0
        yield* bus.tap("snakepit.call.*", () => heard++)
        bus.emit(retry)
        assert.strictEqual(heard, 1)
      })
    ))

  it.effect("goes on with more names than it remembers", () =>
    onBus((bus) =>
      Effect.gen(function*() {
        let heard = 0
        yield* bus.tap("snakepit.number.*", () => heard++)
        for (let n = 0; n < 3000; n++) bus.emit(event(`snakepit.number.${n}`))
        assert.strictEqual(heard, 3000)
      })
    ))
})
