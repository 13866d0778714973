import { assert, describe, it } from "@effect/vitest"
import { Child, RestartPolicy, Simulation, Supervisor } from "@snakepit/core"
import { Generate, Replay, TreePlan } from "@snakepit/core/testing"
import { Effect, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { common } from "./AppContract.ts"

const { Line } = Simulation
const never = { start: Effect.die(new Error("a simulation starts no real child")) }
const tree = (maxRestarts: number, delay: Schedule.Schedule<unknown, RestartPolicy.ChildExit, any> = Schedule.spaced(100)) =>
  Supervisor.make("app", {
    ...common,
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: { maxRestarts, within: "5 seconds" }, delay }),
    children: [Child.make("db", never), Child.make("web", never)]
  })
const throughJson = (log: Replay.Log): Replay.Log => JSON.parse(JSON.stringify(log)) as Replay.Log
const crash = Line.Exit({ path: "app/db", how: "failed" })

describe("a replay", () => {
  it("goes through the same decisions, on the other side of JSON", () => {
    for (let index = 0; index < 100; index++) {
      const planned = Generate.bySeed(3, index)
      const log = throughJson(Replay.record(TreePlan.simulate(Generate.toTheEnd(planned))))
      const divergence = Replay.play(TreePlan.make(planned.tree), log)
      assert.isUndefined(divergence, divergence && `case ${index}: ${Replay.describe(divergence)}`)
    }
  })

  it.effect("goes through the same decisions on the clock of a test", () =>
    Effect.gen(function*() {
      for (let index = 0; index < 100; index++) {
        const planned = Generate.bySeed(4, index)
        const log = Replay.record(TreePlan.simulate(planned))
        const divergence = yield* Effect.provide(Replay.playOnTestClock(TreePlan.make(planned.tree), log), TestClock.layer())
        assert.isUndefined(divergence, divergence && `case ${index}: ${Replay.describe(divergence)}`)
      }
      const log = Replay.record(Simulation.simulate(tree(2), [Line.Wait({ millis: 70 }), crash, Line.Wait({ millis: 1000 })]))
      const divergence = yield* Effect.provide(Replay.playOnTestClock(tree(1), log), TestClock.layer())
      assert.match(Replay.describe(divergence!), /^decision 1 is another: .* generation 0 at 70 ms .*"budgetLeft":0/)
    }))

  it("falls as the jitter of the run fell", () => {
    const jittered = tree(5, Schedule.jittered(Schedule.spaced(1000)))
    const log = Replay.record(Simulation.simulate(jittered, [crash, Line.Wait({ millis: 3000 }), crash, Line.Wait({ millis: 3000 })]))
    assert.isUndefined(Replay.play(jittered, throughJson(log)))
    assert.isUndefined(Replay.play(tree(5), throughJson(log)), "the delays are those of the log")
  })

  it("refuses what the policy refused", () => {
    const refusing = tree(5, Schedule.recurs(1))
    const log = Replay.record(Simulation.simulate(refusing, [crash, crash]))
    assert.strictEqual(log.outcome, "Failed")
    assert.isUndefined(Replay.play(refusing, throughJson(log)))
  })

  it("says where a changed tree parts from the run", () => {
    const log = Replay.record(Simulation.simulate(tree(2), [crash, Line.Wait({ millis: 1000 }), crash, Line.Wait({ millis: 1000 })]))
    const divergence = Replay.play(tree(1), log)
    assert.strictEqual(
      Replay.describe(divergence!),
      "decision 1 is another: the log has snakepit.app_supervisor.restart of app/db generation 0 at 0 ms " +
        "{\"delayMillis\":100,\"budgetLeft\":1,\"victims\":0}, the replay snakepit.app_supervisor.restart of app/db generation 0 at 0 ms " +
        "{\"delayMillis\":100,\"budgetLeft\":0,\"victims\":0}"
    )
  })

  it("says what is missing, what is too much, and how the end differs", () => {
    const log = Replay.record(Simulation.simulate(tree(1), [crash, Line.Wait({ millis: 500 })]))
    const more = { ...log, decisions: log.decisions.slice(0, -1) }
    assert.match(Replay.describe(Replay.play(tree(1), more)!), /^decision 2 is another: the log has none, the replay .*recover/)
    const less = { ...log, script: [] }
    assert.match(Replay.describe(Replay.play(tree(1), less)!), /^decision 1 is another: the log has .*restart.*, the replay none$/)
    assert.strictEqual(
      Replay.describe(Replay.play(tree(1), { ...log, outcome: "Stopped" })!),
      "the tree is Running at the end; in the log it is Stopped"
    )
  })

  it("writes down an added child, and says that it cannot for a supervisor", () => {
    const added = Line.StartChild({ path: "app/x", child: Simulation.behaving(Child.make("x", never), { startMillis: 5 }) })
    const script = [added, Line.Wait({ millis: 10 }), Line.Exit({ path: "app/x", how: "failed" }), Line.Wait({ millis: 500 })]
    const log = throughJson(Replay.record(Simulation.simulate(tree(1), script)))
    assert.isUndefined(Replay.play(tree(1), log))
    assert.lengthOf(log.decisions, 3)
    const supervisor = Simulation.simulate(tree(1), [Line.StartChild({ path: "app/app", child: tree(1) })])
    assert.throws(() => Replay.record(supervisor), /the script adds the supervisor app\/app, which cannot be written down/)
  })
})
