import { assert, describe, it } from "@effect/vitest"
import { ExitReason, InvalidSpec, RestartPolicy, Supervisor } from "@snakepit/core"
import { RecordedEvents, ScriptedChild } from "@snakepit/core/testing"
import { Cause, Duration, Effect, Exit, Option, Schedule, Schema } from "effect"
import { TestClock } from "effect/testing"
import { common } from "./AppContract.ts"

const exit: RestartPolicy.ChildExit = { id: "child", reason: ExitReason.ExitReason.Normal() }

/** Crashes, each so many milliseconds after the child was up again. */
const Lives = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3000 }))).check(Schema.isMaxLength(12))

const policyOf = (maxRestarts: number) =>
  RestartPolicy.make({
    intensity: { maxRestarts, within: "2 seconds" },
    delay: Schedule.min([Schedule.exponential("10 millis"), Schedule.spaced("500 millis")]),
    resetAfter: "1 second"
  })

/** The schedule's reading: when each start would be, until it refuses. */
const bySchedule = (maxRestarts: number, lives: ReadonlyArray<number>) =>
  Effect.gen(function*() {
    const step = yield* Schedule.toStep(RestartPolicy.schedule(policyOf(maxRestarts)))
    const starts: Array<number | string> = []
    let now = 0
    for (const life of lives) {
      now += life
      const next = yield* Effect.exit(step(now, exit))
      if (Exit.isFailure(next)) {
        const error = Option.getOrThrow(Cause.findErrorOption(next.cause)) as { readonly _tag: string }
        return [...starts, `${error._tag} at ${now}`]
      }
      now += Duration.toMillis(next.value[1])
      starts.push(now)
    }
    return starts
  })

/** The supervisor's reading of the same. */
const bySupervisor = (maxRestarts: number, lives: ReadonlyArray<number>) =>
  Effect.gen(function*() {
    const child = ScriptedChild.make("child")
    const running = yield* Supervisor.start(Supervisor.make("app", {
      ...common,
      strategy: "one_for_one",
      restart: policyOf(maxRestarts),
      children: [child]
    }))
    const life = yield* Effect.forkChild(Effect.flip(running.life), { startImmediately: true })
    let generation = 0
    for (const millis of lives) {
      yield* TestClock.adjust(millis)
      const at = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      yield* child.fail()
      yield* TestClock.adjust(0)
      const gaveUp = life.pollUnsafe()
      const starts = child.journal.entries.filter(({ generation, moment }) => moment === "up" && generation > 0).map(({ at }) => at)
      if (gaveUp !== undefined) {
        return Exit.isSuccess(gaveUp) ? [...starts, `${(gaveUp.value.limit as { readonly _tag?: string })._tag} at ${at}`] : starts
      }
      generation++
      for (let waited = 0; child.generation() !== generation && waited < 600; waited++) yield* TestClock.adjust(1)
    }
    return child.journal.entries.filter(({ generation, moment }) => moment === "up" && generation > 0).map(({ at }) => at)
  }).pipe(Effect.scoped)

describe("a restart policy", () => {
  it.effect.prop(
    "has two readings that agree to the millisecond",
    { lives: Lives, maxRestarts: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 })) },
    ({ lives, maxRestarts }) =>
      Effect.gen(function*() {
        const began = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        const expected = yield* bySchedule(maxRestarts, lives)
        const actual = yield* bySupervisor(maxRestarts, lives)
        const shifted = actual.map((start) =>
          typeof start === "number" ? start - began : start.replace(/\d+$/, (at) => String(Number(at) - began))
        )
        assert.deepStrictEqual(shifted, expected)
      }),
    { arbitrary: { runs: 40 } }
  )

  it("takes for resetAfter its window, or a minute when it is unlimited, unless it says otherwise", () => {
    const limited = { intensity: { maxRestarts: 1, within: "3 seconds" } } as const
    assert.deepStrictEqual(
      [limited, { ...limited, resetAfter: "5 seconds" } as const, { intensity: "unlimited" } as const].map((options) =>
        RestartPolicy.make(options).resetAfterMillis
      ),
      [3000, 5000, 60_000]
    )
  })

  it.effect("starts its delay over after resetAfter without a crash", () =>
    Effect.gen(function*() {
      const step = RestartPolicy.delayStep(RestartPolicy.make({
        intensity: { maxRestarts: 99, within: "1 second" },
        delay: Schedule.exponential("10 millis"),
        resetAfter: "1 second"
      }))
      const delays = yield* Effect.forEach([0, 100, 200, 1199, 2199], (now) => step(now, exit))
      assert.deepStrictEqual(delays, [10, 20, 40, 80, 10])
    }))

  it.effect("refuses with DelayEnded when its delay ends", () =>
    Effect.gen(function*() {
      const step = RestartPolicy.delayStep(RestartPolicy.make({
        intensity: { maxRestarts: 99, within: "1 minute" },
        delay: Schedule.recurs(2)
      }))
      yield* step(0, exit)
      yield* step(1, exit)
      const error = yield* Effect.flip(step(2, exit))
      assert.strictEqual(error._tag, "DelayEnded")
      assert.strictEqual(error.restarts, 2)
    }))

  it.effect("starts a delay that ends over when it is unlimited", () =>
    Effect.gen(function*() {
      const step = RestartPolicy.delayStep(RestartPolicy.make({ intensity: "unlimited", delay: Schedule.recurs(2) }))
      for (let now = 0; now < 20; now++) assert.strictEqual(yield* step(now, exit), 0)
    }))

  it.effect("needs no fiber for a delay that is known at once, and dies of a schedule that throws", () =>
    Effect.gen(function*() {
      const intensity = { maxRestarts: 99, within: "1 minute" } as const
      const known = RestartPolicy.delayStep(RestartPolicy.make({ intensity, delay: Schedule.spaced("1 second") }))
      yield* known(0, exit)
      assert.deepStrictEqual(known(1, exit), Exit.succeed(1000))
      const throwing = Schedule.fromStep(Effect.succeed((): Effect.Effect<never> => {
        throw new Error("not a schedule")
      }))
      const step = RestartPolicy.delayStep(RestartPolicy.make({ intensity, delay: throwing }))
      for (let restart = 0; restart < 2; restart++) {
        const died = yield* Effect.exit(step(restart, exit))
        assert.isTrue(Exit.hasDies(died))
      }
    }))

  it.effect("gives up with the error of its own delay", () =>
    Effect.gen(function*() {
      const refuse = Schedule.fromStep(
        Effect.succeed((): Effect.Effect<never, "no more money"> => Effect.fail("no more money"))
      )
      const child = ScriptedChild.make("child")
      const recorded = RecordedEvents.make()
      const running = yield* Effect.provide(
        Supervisor.start(Supervisor.make("app", {
          ...common,
          strategy: "one_for_one",
          restart: RestartPolicy.make({ intensity: { maxRestarts: 9, within: "1 minute" }, delay: refuse }),
          children: [child]
        })),
        recorded.layer
      )
      yield* child.fail()
      const gaveUp = yield* Effect.flip(running.life)
      assert.strictEqual(gaveUp.limit as unknown, "no more money")
      assert.deepStrictEqual(recorded.names(), ["snakepit.app_supervisor.start", "snakepit.app_supervisor.give_up"])
    }))

  it("is refused when its limit makes no sense", () => {
    assert.throws(
      () => RestartPolicy.make({ intensity: { maxRestarts: -1, within: "1 second" } }),
      InvalidSpec.InvalidSpec,
      "whole number of 0 or more"
    )
    assert.throws(() => RestartPolicy.make({ intensity: { maxRestarts: 1.5, within: "1 second" } }), InvalidSpec.InvalidSpec)
    assert.throws(() => RestartPolicy.make({ intensity: { maxRestarts: 1, within: 0 } }), InvalidSpec.InvalidSpec, "above 0")
    assert.throws(() => RestartPolicy.make({ intensity: { maxRestarts: 1, within: "Infinity" } }), InvalidSpec.InvalidSpec, "unlimited")
  })
})
