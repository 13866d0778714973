import { assert, describe, it } from "@effect/vitest"
import { Child, RestartPolicy, Simulation, Supervisor, SupervisorEvent } from "@snakepit/core"
import type * as Decision from "@snakepit/telemetry/intensity/Decision"
import * as IncidentOutcome from "@snakepit/telemetry/intensity/IncidentOutcome"
import * as Reproduction from "@snakepit/telemetry/intensity/Reproduction"
import * as RunRecord from "@snakepit/telemetry/intensity/RunRecord"
import { Effect, Schedule } from "effect"
import { readFileSync } from "node:fs"
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

const reproduced = ({ events, run }: GeneratedRun.Recorded) => {
  const { decisions, lives: { reproduction } } = RunRecord.of(run, events)
  return { ...reproduction, incidents: IncidentOutcome.of(decisions) }
}

describe("a recorded run, replayed under the policy that it had", () => {
  it("decides as recorded, for generated trees under generated harm", () => { // 10,000 incidents and more: npm run verify:intensity
    const tally = ReplayProof.run(7, Array(300).keys())
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
    const recorded = GeneratedRun.recorded(app, exits.flat())
    const { differences, incidents } = reproduced(recorded)
    assert.isAbove(incidents.length, 3)
    assert.deepStrictEqual(differences, [])
  })

  it("knows a delay that was refused from a budget that was spent", () => {
    const app = Supervisor.make("app", { ...common, restart: restart(9, Schedule.recurs(1)), children: [child("a")] })
    const fail = Line.Exit({ path: "app/a", how: "failed" })
    const recorded = GeneratedRun.recorded(app, [fail, Line.Wait({ millis: 10 }), fail])
    assert.strictEqual(recorded.events.at(-1)?.event.attributes["refusedBy"], "delay")
    assert.deepStrictEqual(reproduced(recorded).differences, [])
  })

  it("begins with what a supervisor remembers of the run before", () => {
    const app = Supervisor.make("app", { ...common, restart: restart(3, Schedule.spaced(100)), children: [child("a")] })
    const fail = Line.Exit({ path: "app/a", how: "failed" })
    const memory = new Map([["app", [-4000, -1000]]]) // the older one counts for one second more
    const script = [fail, Line.Wait({ millis: 2000 }), fail, Line.Wait({ millis: 500 }), fail]
    const recorded = GeneratedRun.recorded(app, script, memory)
    const lefts = recorded.events.map(({ event }) => event.measurements["budgetLeft"]).filter((left) => left !== undefined)
    assert.deepStrictEqual(lefts, [0, 0, 0])
    assert.deepStrictEqual(reproduced(recorded).differences, [])
  })

  it("does without the beginning of a run that the history has dropped", () => {
    const inner = Supervisor.make("inner", { ...common, restart: restart(1, Schedule.spaced(100)), children: [child("a"), child("b")] })
    const app = Supervisor.make("app", { ...common, restart: restart(3, Schedule.spaced(200)), children: [inner, child("c")] })
    const fail = Line.Exit({ path: "app/inner/a", how: "failed" })
    const wait = Line.Wait({ millis: 1000 })
    const { events, run } = GeneratedRun.recorded(app, [wait, fail, wait, fail, wait, fail, wait])
    const dropped = events.findIndex(({ event }) => event.name.endsWith(".recover")) + 1
    const { differences, incidents, unknown } = reproduced({ run, events: events.slice(dropped) })
    assert.isAbove(incidents.length, 0)
    assert.deepStrictEqual([differences, [...unknown]], [[], []])
  })

  it("does not say that it decides otherwise where that may be for a lost beginning", () => {
    const app = Supervisor.make("app", { ...common, restart: restart(2, Schedule.spaced(100)), children: [child("a")] })
    const fail = Line.Exit({ path: "app/a", how: "failed" })
    const waits = (millis: number) => Line.Wait({ millis })
    const script = [waits(1000), fail, waits(1000), fail, waits(4500), fail]
    const { events, run } = GeneratedRun.recorded(app, script)
    const { differences, otherwise, unknown } = reproduced({ run, events: events.slice(3) }) // until when the first restart counts, has gone
    assert.deepStrictEqual([differences.length, otherwise.size], [0, 0])
    assert.deepStrictEqual([...unknown.values()], ["the beginning is no longer in the record"])
  })

  it("does not say so either where a decision before is not in the record", () => {
    const app = Supervisor.make("app", { ...common, restart: restart(2, Schedule.spaced(100)), children: [child("a")] })
    const script = Array.from({ length: 2 }, () => [Line.Exit({ path: "app/a", how: "failed" }), Line.Wait({ millis: 1000 })]).flat()
    const { events, run } = GeneratedRun.recorded(app, script)
    const { otherwise, unknown } = reproduced({ run, events: events.toSpliced(1, 1) }) // the first restart
    assert.strictEqual(otherwise.size, 0)
    assert.include([...unknown.values()], "a decision before is not in the record")
  })

  it("decides as recorded in a run of examples/digits, in which a worker was killed and another one frozen", () => {
    const [head, ...lines] = readFileSync(new URL("./fixtures/digits.jsonl", import.meta.url), "utf8").trimEnd().split("\n")
    const events: ReadonlyArray<RunRecord.Numbered> = lines.map((line) => JSON.parse(line))
    const { differences, incidents, unknown } = reproduced({ run: JSON.parse(head!), events })
    assert.deepStrictEqual(incidents.map(({ child }) => child), [0, 1].map((slot) => `snakepit/pools/default/fleet/${slot}/process`))
    assert.deepStrictEqual([differences, [...unknown]], [[], []])
  })

  it("follows a limit that is changed while the supervisor runs, and children that are started by hand", () => {
    const make = (maxRestarts: number) =>
      Supervisor.make("app", {
        ...common,
        restart: restart(maxRestarts, Schedule.spaced(100)),
        children: [child("a")],
        added: (key) => child(key)
      })
    const fail = Line.Exit({ path: "app/x", how: "failed" })
    const wait = Line.Wait({ millis: 500 })
    const script = [
      Line.StartChild({ path: "app/x" }),
      fail,
      wait,
      Line.Change({ path: "app", next: make(2) }),
      fail,
      wait,
      Line.TerminateChild({ path: "app/x" }),
      Line.RestartChild({ path: "app/x" }),
      fail
    ]
    const recorded = GeneratedRun.recorded(make(1), script)
    assert.deepStrictEqual(recorded.events.map(({ event }) => event.name.split(".")[2]), [
      "start",
      "restart",
      "recover",
      "restart",
      "recover",
      "terminate",
      "give_up"
    ])
    assert.deepStrictEqual(reproduced(recorded).differences, [])
  })

  it("tells a decision that is another one, one that is missing and one too many", () => {
    const app = Supervisor.make("app", { ...common, restart: restart(1, Schedule.spaced(100)), children: [child("a")] })
    const fail = Line.Exit({ path: "app/a", how: "failed" })
    const { events, run } = GeneratedRun.recorded(app, [fail, Line.Wait({ millis: 200 }), fail])
    const { decisions } = RunRecord.of(run, events)
    assert.deepStrictEqual(decisions.map(({ verb }) => verb), ["start", "restart", "recover", "give_up"])
    const [start, first, recover, last] = decisions
    const found = (changed: ReadonlyArray<Decision.Decision>) => {
      const { differences, otherwise } = Reproduction.of(run.contract, changed)
      return [differences.map(({ recorded, replayed }) => [recorded?.verb, replayed?._tag]), otherwise.size]
    }
    assert.deepStrictEqual(found(decisions), [[], 0])
    assert.deepStrictEqual(found([start!, { ...first!, budgetLeft: 5 } as Decision.Ended, recover!, last!]), [[["restart", "Restart"]], 1])
    const nothing = JSON.stringify({ of: 0, nth: 4, inputs: [] })
    const leave = { ...recover!, verb: "leave", reason: "Failed", heard: nothing } as Decision.Ended
    assert.deepStrictEqual(found([...decisions, leave]), [[["leave", undefined]], 1])
    const inputsOf = ({ heard }: Decision.Decision) => JSON.parse(String(heard)).inputs
    const both = { ...recover!, heard: JSON.stringify({ of: 0, nth: 2, inputs: [...inputsOf(recover!), ...inputsOf(last!)] }) }
    assert.deepStrictEqual(found([start!, first!, both]), [[[undefined, "GiveUp"]], 1]) // at the end, and of an incident of its own
  })

  it("says what it cannot know of a record that does not hold what was heard", () => {
    const app = Supervisor.make("app", { ...common, restart: restart(1, Schedule.spaced(100)), children: [child("a")] })
    const { events, run } = GeneratedRun.recorded(app, [Line.Exit({ path: "app/a", how: "failed" })])
    const older = events.map(({ event, seq }) => ({ seq, event: { ...event, attributes: { ...event.attributes, heard: undefined } } }))
    const { differences, unknown } = reproduced({ run, events: older })
    assert.deepStrictEqual(differences, [])
    assert.deepStrictEqual([...unknown.values()], ["what was heard is not in the record"])
  })
})
