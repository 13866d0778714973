import { assert, describe, it } from "@effect/vitest"
import { Child, RestartPolicy, Simulation, Supervisor, SupervisorEvent } from "@snakepit/core"
import * as Comparison from "@snakepit/telemetry/intensity/Comparison"
import * as Reproduction from "@snakepit/telemetry/intensity/Reproduction"
import * as RunRecord from "@snakepit/telemetry/intensity/RunRecord"
import { Effect, Schedule } from "effect"
import * as GeneratedRun from "./GeneratedRun.ts"
import * as ReplayProof from "./ReplayProof.ts"

const { Line } = Simulation
const common = {
  plane: "control",
  strategy: "one_for_one",
  because: "it is a test",
  limitBecause: "it is a test",
  events: SupervisorEvent.of("app_supervisor", "root")
} as const
const child = (id: string) => Child.make(id, { start: Effect.succeed(Effect.never) })
const restart = (maxRestarts: number, delay: Schedule.Schedule<unknown, RestartPolicy.ChildExit, any>) =>
  RestartPolicy.make({ intensity: { maxRestarts, within: "5 seconds" }, delay }) as RestartPolicy.RestartPolicy

const differencesOf = ({ events, run }: GeneratedRun.Recorded) => {
  const record = RunRecord.of(run, events)
  return Comparison.of(record.decisions, Reproduction.of(record))
}

describe("a recorded run, replayed under the policy that it had", () => {
  it("decides as recorded, for generated trees under generated harm", () => { // 10,000 incidents and more: npm run verify:intensity
    const tally = ReplayProof.run(7, Array(150).keys())
    assert.isAbove(tally.incidents, 250)
    assert.deepStrictEqual(tally.otherwise, [])
    assert.strictEqual(tally.reproduced, tally.incidents)
  })

  it("takes delays with chance in them as they fell", () => {
    const app = Supervisor.make("app", {
      ...common,
      restart: restart(3, Schedule.jittered(Schedule.exponential("100 millis"))),
      children: [child("a"), child("b")]
    })
    const exits = Array.from({ length: 6 }, (_, index) => [
      Line.Exit({ path: index % 2 === 0 ? "app/a" : "app/b", how: "failed" }),
      Line.Wait({ millis: 700 })
    ])
    const recorded = GeneratedRun.recorded(app, Simulation.simulate(app, exits.flat()))
    const comparison = differencesOf(recorded)
    assert.isAbove(comparison.incidents.size, 3)
    assert.deepStrictEqual(comparison.differences, [])
  })

  it("knows a delay that was refused from a budget that was spent", () => {
    const app = Supervisor.make("app", { ...common, restart: restart(9, Schedule.recurs(1)), children: [child("a")] })
    const fail = Line.Exit({ path: "app/a", how: "failed" })
    const recorded = GeneratedRun.recorded(app, Simulation.simulate(app, [fail, Line.Wait({ millis: 10 }), fail]))
    assert.strictEqual(recorded.events.at(-1)?.event.attributes["refusedBy"], "delay")
    assert.deepStrictEqual(differencesOf(recorded).differences, [])
  })

  it("begins with what a supervisor remembers of the run before", () => {
    const app = Supervisor.make("app", { ...common, restart: restart(3, Schedule.spaced(100)), children: [child("a")] })
    const fail = Line.Exit({ path: "app/a", how: "failed" })
    const memory = new Map([["app", [-4000, -1000]]]) // the older one counts for one second more
    const script = [fail, Line.Wait({ millis: 2000 }), fail, Line.Wait({ millis: 500 }), fail]
    const recorded = GeneratedRun.recorded(app, Simulation.simulate(app, script, memory))
    const lefts = recorded.events.map(({ event }) => event.measurements["budgetLeft"]).filter((left) => left !== undefined)
    assert.deepStrictEqual(lefts, [0, 0, 0])
    assert.deepStrictEqual(differencesOf(recorded).differences, [])
  })

  it("does without the beginning of a run that the history has dropped", () => {
    const inner = Supervisor.make("inner", { ...common, restart: restart(1, Schedule.spaced(100)), children: [child("a"), child("b")] })
    const app = Supervisor.make("app", { ...common, restart: restart(3, Schedule.spaced(200)), children: [inner, child("c")] })
    const fail = Line.Exit({ path: "app/inner/a", how: "failed" })
    const wait = Line.Wait({ millis: 1000 })
    const { events, run } = GeneratedRun.recorded(app, Simulation.simulate(app, [wait, fail, wait, fail, wait, fail, wait]))
    const dropped = events.findIndex(({ event }) => event.name.endsWith(".recover")) + 1
    const { differences, incidents } = differencesOf({ run, events: events.slice(dropped) })
    assert.isAbove(incidents.size, 0)
    assert.deepStrictEqual(differences, [])
  })

  it("tells a decision that is another one", () => {
    const app = Supervisor.make("app", { ...common, restart: restart(1, Schedule.spaced(100)), children: [child("a")] })
    const { events, run } = GeneratedRun.recorded(
      app,
      Simulation.simulate(app, [Line.Exit({ path: "app/a", how: "failed" }), Line.Wait({ millis: 200 })])
    )
    const record = RunRecord.of(run, events)
    const told = record.decisions.map((decision) => decision.verb === "restart" ? { ...decision, budgetLeft: 5 } : decision)
    const { differences, otherwise } = Comparison.of(told, Reproduction.of(record))
    assert.strictEqual(differences.length, 1)
    assert.strictEqual(otherwise.size, 1)
  })
})
