import { assert, describe, it } from "@effect/vitest"
import { Child, DynamicSupervisor, GiveUpAt, RestartPolicy, Supervisor, Why } from "@snakepit/core"
import { ScriptedChild } from "@snakepit/core/testing"
import { Effect, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { common } from "./AppContract.ts"

const restart = RestartPolicy.make({ intensity: { maxRestarts: 3, within: "1 minute" }, delay: Schedule.spaced("2 seconds") })
const app = { ...common, strategy: "rest_for_one", restart } as const

/** app: db, then cache with an index below it, then a fleet. */
const start = Effect.gen(function*() {
  const db = ScriptedChild.make("db")
  const index = ScriptedChild.make("index")
  const cache = Supervisor.make("cache", { ...app, children: [index] })
  const fleet = DynamicSupervisor.make("fleet", {
    ...common,
    restart,
    child: (key: string) => Child.make(key, { start: Effect.succeed(Effect.never) })
  })
  const running = yield* Supervisor.start(Supervisor.make("app", { ...app, children: [db, cache, fleet] }))
  const why = (path: string) => Effect.map(running.why(path), (why) => why === undefined ? "running" : Why.render(why).split("\n"))
  const giveUp = (path: string) =>
    Effect.gen(function*() {
      const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      return GiveUpAt.render(yield* running.giveUpAt(path), now)
    })
  return { db, index, running, why, giveUp }
})

describe("why", () => {
  it.effect("follows a victim to the exit that took it down, through its supervisor", () =>
    Effect.gen(function*() {
      const { db, running, why } = yield* start
      assert.strictEqual(yield* why("app/cache/index"), "running")
      yield* db.fail("disk full")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* why("app/cache/index"), [
        "app/cache/index: its supervisor is not running",
        "app/cache: it is restarted along with a sibling",
        "app/db: ScriptedError: db: disk full; it is started again at 2000"
      ])
      assert.deepStrictEqual((yield* why("app/fleet/any"))[0], "app/fleet/any: its supervisor is not running")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* why("app/cache/index"), "running")
      const error = yield* Effect.flip(running.why("app/cache/nobody"))
      assert.match(error.message, /^app has no child "app\/cache\/nobody"/)
    }))

  it.effect("names the operator, and what is still starting", () =>
    Effect.gen(function*() {
      const { db, index, running, why } = yield* start
      yield* running.terminateChild("cache")
      assert.deepStrictEqual(yield* why("app/cache/index"), [
        "app/cache/index: its supervisor is not running",
        "app/cache: an operator stopped it; start it with restartChild"
      ])
      yield* index.setStartTakes("5 seconds")
      yield* Effect.forkChild(running.restartChild("cache"), { startImmediately: true })
      assert.deepStrictEqual(yield* why("app/cache/index"), ["app/cache/index: its start has not been acknowledged yet"])
      assert.deepStrictEqual(yield* why("app/cache"), ["app/cache: its start has not been acknowledged yet"])
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* why("app/cache"), "running")
      yield* db.setStartTakes("1 second")
      yield* db.fail()
      yield* TestClock.adjust("2500 millis")
      assert.deepStrictEqual(yield* why("app/cache"), [
        "app/cache: it is restarted along with a sibling",
        "app/db: its start has not been acknowledged yet"
      ])
    }))

  it.effect("tells how the whole tree ended", () =>
    Effect.gen(function*() {
      const { db, giveUp, running, why } = yield* start
      const life = yield* Effect.forkChild(Effect.flip(running.life), { startImmediately: true })
      yield* db.fail("disk full")
      yield* db.failNextStarts(9, "disk full")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* giveUp("app"), "gives up in 5000 ms, over db, when 3 more restarts have failed at once")
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(life.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.isDefined(life.pollUnsafe())
      assert.deepStrictEqual(yield* why("app/cache"), [
        "app: the supervisor stops or has ended: it gave up over db: ScriptedError: db: disk full"
      ])
      assert.strictEqual(yield* giveUp("app"), "is over: it gave up over db: ScriptedError: db: disk full")
    }))
})

describe("giveUpAt", () => {
  it.effect("supposes a crash when nothing is being restarted, and goes by the restarts so far", () =>
    Effect.gen(function*() {
      const { db, giveUp, index } = yield* start
      const healthy = "when 3 more restarts have failed at once"
      assert.strictEqual(yield* giveUp("app"), `gives up in 6000 ms, over db, ${healthy} (supposing that db crashes now)`)
      assert.strictEqual(yield* giveUp("app/cache"), `gives up in 6000 ms, over index, ${healthy} (supposing that index crashes now)`)
      assert.strictEqual(yield* giveUp("app/fleet"), "does not give up: nothing is restarted")
      yield* index.fail()
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(
        yield* giveUp("app/cache"),
        "gives up in 4000 ms, over index, when 2 more restarts have failed at once (supposing that index crashes now)"
      )
      yield* db.fail()
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* giveUp("app/cache"), "does not give up: it is not running")
    }))

  it.effect("replays what the delay schedule remembers", () =>
    Effect.gen(function*() {
      const child = ScriptedChild.make("child")
      const backoff = RestartPolicy.make({
        intensity: { maxRestarts: 4, within: "1 minute" },
        delay: Schedule.exponential("1 second"),
        resetAfter: "30 seconds"
      })
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...app, strategy: "one_for_one", restart: backoff, children: [child] })
      )
      yield* child.fail()
      yield* TestClock.adjust("1 second")
      yield* child.fail()
      yield* TestClock.adjust("2 seconds") // at 3 s two are spent, and the next delays are 4 s and 8 s
      const answer = yield* running.giveUpAt("app")
      assert.deepStrictEqual(
        answer,
        GiveUpAt.GiveUpAt.GivesUp({ earliest: 15_000, latest: 15_000, crash: "child", child: "child", restarts: 2 })
      )
    }))

  it.effect("says that it does not know when more was asked than is kept, and knows again after a calm", () =>
    Effect.gen(function*() {
      const child = ScriptedChild.make("child")
      const policy = RestartPolicy.make({ intensity: { maxRestarts: 2, within: 100 }, delay: Schedule.spaced(60), resetAfter: 1000 })
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...app, strategy: "one_for_one", restart: policy, children: [child] })
      )
      for (let crash = 0; crash < 257; crash++) {
        yield* child.fail()
        yield* TestClock.adjust(60)
      }
      assert.deepStrictEqual(yield* running.giveUpAt("app"), GiveUpAt.GiveUpAt.Unknown({ because: "its past is longer than its memory" }))
      yield* TestClock.adjust(1000)
      yield* child.fail()
      yield* TestClock.adjust(60)
      assert.deepStrictEqual(yield* running.giveUpAt("app"), GiveUpAt.GiveUpAt.Never({ because: "the window drains" }))
    }))
})
