/** Each supervisor of an application tells all that is declared of it: the engine, with the events of each in turn. */
import { assert, describe, it } from "@effect/vitest"
import { Child, Event, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { RecordedEvents } from "@snakepit/core/testing"
import { Deferred, Effect } from "effect"
import { TestClock } from "effect/testing"
import { SnakepitEvent } from "../src/index.ts"

const subjects = new Map(
  [...SnakepitEvent.catalogue.values()].flatMap(({ layer, name }) => {
    const [, subject = ""] = name.split(".")
    return subject.endsWith("_supervisor") ? [[subject, layer] as const] : []
  })
)

const plane = "control"

/** Boots, loses a child for good, one that it starts again, one that does not stop, and gives up. */
const life = (events: SupervisorEvent.SupervisorEvents) =>
  Effect.gen(function*() {
    const recorded = RecordedEvents.make()
    const over = yield* Deferred.make<void>()
    const supervisor = Supervisor.make("supervisor", {
      plane,
      strategy: "one_for_one",
      restart: RestartPolicy.make({ intensity: { maxRestarts: 1, within: "1 minute" } }),
      because: "its children are what may happen",
      limitBecause: "the second failure is to be one too many",
      events,
      children: [
        Child.make("steady", { plane, start: Effect.succeed(Effect.never) }),
        Child.make("once", { plane, restart: "temporary", start: Effect.succeed(Deferred.await(over)) }),
        Child.make("stuck", {
          plane,
          shutdown: "1 second",
          start: Effect.as(Effect.addFinalizer(() => Effect.never), Effect.never)
        })
      ]
    })
    const sink: Event.EventSink = { ...recorded.sink, watches: true }
    const running = yield* Effect.provideService(Supervisor.start(supervisor), Event.EventSink, sink)
    yield* Deferred.succeed(over, undefined)
    yield* Effect.forkChild(running.terminateChild("stuck"))
    yield* TestClock.adjust("10 seconds")
    for (const why of ["first", "second"]) {
      yield* running.failChild("steady", new Error(why))
      yield* TestClock.adjust("10 seconds")
    }
    return recorded.names()
  }).pipe(Effect.scoped)

describe("the supervisors of an application", () => {
  for (const [subject, layer] of subjects) {
    it.effect(`${subject} tells every event that is declared of it`, () =>
      Effect.gen(function*() {
        const declared = Object.values(SupervisorEvent.of(subject, layer)).map(({ name }) => name)
        for (const name of declared) assert.isTrue(SnakepitEvent.catalogue.has(name), name)
        const own = Object.fromEntries(
          declared.map((name) => [name.slice(name.lastIndexOf(".") + 1), SnakepitEvent.catalogue.get(name)!])
        ) as unknown as SupervisorEvent.SupervisorEvents
        assert.sameMembers([...new Set(yield* life(own))], declared)
      }))
  }
})
