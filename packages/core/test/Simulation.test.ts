import { assert, describe, it } from "@effect/vitest"
import { Child, RestartPolicy, Semantics, Simulation, Supervisor } from "@snakepit/core"
import { Effect, Schedule } from "effect"
import { common } from "./AppContract.ts"

const { Line } = Simulation
const restart = (maxRestarts: number) =>
  RestartPolicy.make({ intensity: { maxRestarts, within: "5 seconds" }, delay: Schedule.spaced(100) })
const never = { start: Effect.die(new Error("a simulation starts no real child")) }

const app = Supervisor.make("app", {
  ...common,
  strategy: "one_for_one",
  restart: restart(1),
  children: [
    Supervisor.make("data", {
      ...common,
      strategy: "rest_for_one",
      restart: restart(2),
      children: [Child.make("db", never), Child.make("cache", { ...never, shutdown: "1 second" })]
    }),
    Child.make("web", never)
  ]
})

const moments = (timeline: Simulation.Timeline): ReadonlyArray<string> =>
  timeline.entries.flatMap((entry) => entry._tag === "Child" ? [`${entry.at} ${entry.path} ${entry.moment}`] : [])

describe("a simulation", () => {
  it("runs the engine over stand-ins on virtual time", () => {
    const timeline = Simulation.simulate(app, [
      Line.Wait({ millis: 1000 }),
      Line.Exit({ path: "app/data/db", how: "failed" }),
      Line.Wait({ millis: 100 })
    ])
    assert.deepStrictEqual(moments(timeline).slice(8), [
      "1000 app/data/db ended",
      "1000 app/data/db down",
      "1000 app/data/cache stopping",
      "1000 app/data/cache down",
      "1100 app/data/db starting",
      "1100 app/data/db up",
      "1100 app/data/cache starting",
      "1100 app/data/cache up"
    ])
    assert.strictEqual(timeline.outcome._tag, "Running")
    assert.strictEqual(timeline.tree?.children[0]?.supervisor?.children[1]?.generation, 1)
  })

  it("says when and with what the root gives up", () => {
    const { millis, outcome } = Simulation.simulate(app, [
      Line.FailStarts({ path: "app/data/db", times: 1000, how: "fail" }),
      Line.Exit({ path: "app/data/db", how: "failed" }),
      Line.Wait({ millis: 60_000 })
    ])
    assert.strictEqual(outcome._tag, "Failed")
    assert.match(String((outcome as { error: unknown }).error), /supervisor app gave up/)
    assert.strictEqual(millis, 300)
  })

  it("kills a supervisor when its time is over; the supervisors below it stop by themselves, in their order", () => {
    const tree = Supervisor.make("root", {
      ...common,
      strategy: "one_for_one",
      restart: restart(1),
      children: [{ ...app, shutdown: 500 } as typeof app]
    })
    const timeline = Simulation.simulate(tree, [
      Line.StopTakes({ path: "root/app/data/cache", millis: "forever" }),
      Line.Wait({ millis: 10 }),
      Line.TerminateChild({ path: "root/app" }),
      Line.Wait({ millis: 1000 })
    ])
    const after = timeline.entries.filter(({ _tag, at }) => at >= 510 && _tag !== "Step")
    assert.deepStrictEqual(after.map((entry) => `${entry.at} ${entry._tag === "Child" ? `${entry.path} ${entry.moment}` : entry._tag}`), [
      "510 root/app down",
      "510 Event", // abandoned
      "510 Reply",
      "1010 Event", // the cache too
      "1010 root/app/data/db stopping",
      "1010 root/app/data/db down",
      "1010 root/app/data down"
    ])
  })

  it("gives the same timeline twice", () => {
    const script = [
      Line.Exit({ path: "app/data/db", how: "defect" }),
      Line.Together({ exits: [{ path: "app/data/cache", how: "failed" }, { path: "app/data/db", how: "normal" }] }),
      Line.Wait({ millis: 7000 }),
      Line.Shutdown()
    ]
    assert.deepStrictEqual(
      JSON.stringify(Simulation.simulate(app, script).entries),
      JSON.stringify(Simulation.simulate(app, script).entries)
    )
  })

  it("gives a tree of OTP's semantics no time between restarts", () => {
    const otp = Supervisor.make("app", {
      ...common,
      semantics: Semantics.otp,
      strategy: "one_for_one",
      restart: restart(3),
      children: [Child.make("a", never)]
    })
    const { millis, outcome } = Simulation.simulate(otp, [
      Line.FailStarts({ path: "app/a", times: 1000, how: "fail" }),
      Line.Exit({ path: "app/a", how: "failed" })
    ])
    assert.deepStrictEqual([outcome._tag, millis], ["Failed", 0])
  })

  it("gives a child later, by the template of either kind of supervisor", () => {
    const later = Supervisor.make("app", {
      ...common,
      strategy: "one_for_one",
      restart: restart(1),
      children: [],
      added: (key) => Child.make(key, never)
    })
    const { tree } = Simulation.simulate(later, [Line.StartChild({ path: "app/x" })])
    assert.deepStrictEqual(tree?.children.map(({ id, status }) => `${id} ${status}`), ["x running"])
  })

  it("changes a supervisor that runs", () => {
    const next = Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restart(9), children: [Child.make("web", never)] })
    const { entries, tree } = Simulation.simulate(app, [Line.Change({ path: "app", next })])
    assert.deepStrictEqual([tree?.budgetLeft, tree?.children.map(({ id }) => id)], [9, ["web", "data"]])
    assert.deepStrictEqual(entries.flatMap((entry) => entry._tag === "Reply" ? [entry.reply?._tag] : []), ["Done"])
  })
})

describe("a world with a will of its own", () => {
  it("decides what each start meets", () => {
    const fates: Simulation.Fates = ({ generation, path }) =>
      path !== "app/data/db" ? undefined : generation === 0
        ? { ends: { afterMillis: 50, how: "failed" } }
        : generation === 1
        ? { startMillis: 20, answer: "refused" }
        : { startMillis: 30 }
    const simulated = Simulation.make(app, undefined, { fates })
    simulated.boot()
    simulated.play(Line.Wait({ millis: 1000 }))
    const told = simulated.entries.flatMap((entry) => entry._tag === "Event" ? [entry.event] : [])
    simulated.discard()
    assert.deepStrictEqual(
      told.flatMap(({ at, attributes, name }) =>
        /restart|recover/.test(name) ? [[at, attributes["generation"], attributes["stage"] ?? "up"]] : []
      ),
      [[50, 0, "running"], [170, 1, "starting"], [300, 2, "up"]]
    )
  })
})

describe("the events of a simulated recovery", () => {
  const restarts = (tree: Supervisor.Any, ...script: ReadonlyArray<Simulation.Line>) =>
    Simulation.simulate(tree, script).entries.flatMap((entry) =>
      entry._tag === "Event" && entry.event.name.endsWith(".restart") ? [entry.event] : []
    )
  const group = {
    ...common,
    strategy: "one_for_all",
    restart: restart(5),
    children: ["a", "b", "c"].map((id) => Child.make(id, never))
  } as const

  it("share one incident through all its attempts; the next recovery has another", () => {
    const told = restarts(
      Supervisor.make("app", group),
      Line.FailStarts({ path: "app/b", times: 2, how: "fail" }),
      Line.Exit({ path: "app/a", how: "failed" }),
      Line.Wait({ millis: 1000 }),
      Line.Exit({ path: "app/a", how: "failed" })
    )
    const [first, second, third, next, ...others] = told.map(({ attributes }) => attributes["incident"])
    assert.deepStrictEqual([second, third, others], [first, first, []])
    assert.notStrictEqual(next, first)
  })

  it("count as victims whom it takes down, and nobody who had ended already", () => {
    const [told] = restarts(
      Supervisor.make("app", { ...group, semantics: Semantics.otp }),
      Line.StopTakes({ path: "app/b", millis: 100 }),
      Line.TerminateChild({ path: "app/b" }), // in OTP the exits wait for it
      Line.Exit({ path: "app/a", how: "failed" }),
      Line.Exit({ path: "app/c", how: "failed" }),
      Line.Wait({ millis: 100 })
    )
    assert.deepInclude(told, { measurements: { delayMillis: 0, budgetLeft: 4, victims: 0 } })
  })
})
