import { assert, describe, it } from "@effect/vitest"
import { Child, RestartPolicy, Simulation, Supervisor, SupervisorEvent } from "@snakepit/core"
import { Effect, Schedule, Schema } from "effect"

const { Line } = Simulation
const ids = ["a", "b", "c", "d"] as const
const id = Schema.Literals(ids)
const how = Schema.Literals(["normal", "shutdown", "failed", "defect"])
const RestartTypes = Schema.Literals(["permanent", "permanent", "transient", "temporary"])

const Specs = Schema.Struct({
  strategy: Schema.Literals(["one_for_one", "one_for_all", "rest_for_one"]),
  children: Schema.Array(Schema.Struct({ id, restart: RestartTypes, shutdown: Schema.Literals(["brutal", "infinity", "300 millis"]) }))
    .check(Schema.isMaxLength(5))
})

const Lines = Schema.TaggedUnion({
  Exit: { id, how },
  Together: { first: id, second: id, how },
  ExitAndChange: { first: id, second: id, specs: Specs },
  FailStarts: { id, times: Schema.Literals([1, 2, 3]) },
  StartTakes: { id, millis: Schema.Literals([0, 40]) },
  StopTakes: { id, millis: Schema.Literals([0, 40, 2000]) },
  FailChild: { id },
  TerminateChild: { id },
  RestartChild: { id },
  DeleteChild: { id },
  Change: { specs: Specs },
  Wait: { millis: Schema.Literals([0, 10, 45, 100]) }
})

const restart = RestartPolicy.make({ intensity: "unlimited", delay: Schedule.spaced(50) })
const common = {
  plane: "control",
  because: "it is generated",
  limitBecause: "it is generated",
  events: SupervisorEvent.of("app_supervisor", "root")
} as const

const supervisorOf = ({ children, strategy }: typeof Specs.Type): Supervisor.Any => {
  const distinct = children.filter(({ id }, index) => children.findIndex((other) => other.id === id) === index)
  return Supervisor.make<string, any>("app", {
    ...common,
    restart,
    strategy,
    children: distinct.map(({ id, ...facts }) => Child.makeUnchecked(id, { start: Effect.succeed(Effect.never), ...facts }, undefined))
  })
}

const path = (id: string): string => `app/${id}`

const linesOf = (line: typeof Lines.Type): ReadonlyArray<Simulation.Line> => {
  switch (line._tag) {
    case "Together":
      return [Line.Together({ exits: [line.first, line.second].map((id) => ({ path: path(id), how: line.how })) })]
    case "ExitAndChange":
      return [
        Line.Exit({ path: path(line.first), how: "failed" }),
        Line.Exit({ path: path(line.second), how: "failed" }),
        Line.Change({ path: "app", next: supervisorOf(line.specs) })
      ]
    case "Change":
      return [Line.Change({ path: "app", next: supervisorOf(line.specs) })]
    case "Exit":
      return [Line.Exit({ path: path(line.id), how: line.how })]
    case "FailStarts":
      return [Line.FailStarts({ path: path(line.id), times: line.times, how: "fail" })]
    case "StartTakes":
      return [Line.StartTakes({ path: path(line.id), millis: line.millis })]
    case "StopTakes":
      return [Line.StopTakes({ path: path(line.id), millis: line.millis })]
    case "Wait":
      return [Line.Wait({ millis: line.millis })]
    case "FailChild":
    case "TerminateChild":
    case "RestartChild":
    case "DeleteChild":
      return [Line[line._tag]({ path: path(line.id) })]
  }
}

describe("a supervisor that is changed again and again, with generated harm", () => {
  it.prop(
    "answers every call, strands nobody, and comes to rest",
    { first: Specs, lines: Schema.Array(Lines).check(Schema.isMaxLength(25)) },
    ({ first, lines }) => {
      const script = lines.flatMap(linesOf)
      const timeline = Simulation.simulate(supervisorOf(first), [...script, Line.Wait({ millis: 60_000 })])
      assert.strictEqual(timeline.outcome._tag, "Running")
      for (const { because, path, status } of timeline.tree!.children) {
        assert.include(["running", "down"], status, `${path} is ${status} at rest`)
        assert.notStrictEqual(because, "stranded", path)
      }
      const calls = script.filter(({ _tag }) => ["Change", "TerminateChild", "RestartChild", "DeleteChild"].includes(_tag))
      assert.lengthOf(timeline.entries.filter(({ _tag }) => _tag === "Reply"), calls.length, "every call has its answer")
    },
    { arbitrary: { runs: 1500, size: 40 } }
  )

  it("restarts a child whose group was to be restarted from one that was deleted meanwhile", () => {
    const facts = { restart: "permanent", shutdown: "brutal" } as const
    const supervisor = (...ids: ReadonlyArray<"a" | "b" | "d">) =>
      supervisorOf({ strategy: "rest_for_one", children: ids.map((id) => ({ id, ...facts })) })
    const timeline = Simulation.simulate(supervisor("b", "a"), [
      Line.FailChild({ path: path("a") }),
      Line.TerminateChild({ path: path("a") }),
      Line.DeleteChild({ path: path("a") }),
      Line.Change({ path: "app", next: supervisor("a", "d") }), // b stands behind them now
      Line.Exit({ path: path("b"), how: "normal" }),
      Line.Wait({ millis: 100 })
    ])
    const b = timeline.tree!.children.find((child) => child.path === path("b"))
    assert.strictEqual(b?.status, "running")
  })
})
