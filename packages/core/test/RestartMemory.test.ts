import { assert, describe, it } from "@effect/vitest"
import { Child, RestartMemory, RestartPolicy, Simulation, Supervisor } from "@snakepit/core"
import { Effect, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { common } from "./AppContract.ts"

const { Line } = Simulation
const never = { start: Effect.succeed(Effect.never) }
const restart = (maxRestarts: number) => RestartPolicy.make({ intensity: { maxRestarts, within: "10 seconds" }, delay: Schedule.spaced(0) })

const app = Supervisor.make("app", {
  ...common,
  strategy: "one_for_one",
  restart: restart(3),
  children: [
    Supervisor.make("pool", { ...common, strategy: "one_for_one", restart: restart(2), children: [Child.make("worker", never)] })
  ]
})
const exit = Line.Exit({ path: "app/pool/worker", how: "failed" })
const wait = (millis: number) => Line.Wait({ millis })

/** Restarts and give-ups, with what was left of the budget. */
const decisions = ({ entries }: Simulation.Timeline) =>
  entries.flatMap((entry) =>
    entry._tag !== "Event" || !/restart$|give_up$/.test(entry.event.name) ? [] : [
      `${entry.at} ${entry.event.attributes["path"]} ${entry.event.name.split(".").at(-1)} ${entry.event.measurements["budgetLeft"]}`
    ]
  )

describe("a memory of restarts", () => {
  it("spends a budget from before the tree, exactly to the millisecond", () => {
    const memory = new Map([["app/pool", [-9_000, -8_000]]])
    assert.deepStrictEqual(decisions(Simulation.simulate(app, [wait(999), exit], { memory })), [
      "999 app/pool give_up 0",
      "999 app restart 2"
    ])
    assert.deepStrictEqual(decisions(Simulation.simulate(app, [wait(1_000), exit], { memory })), ["1000 app/pool restart 0"])
    assert.deepStrictEqual(decisions(Simulation.simulate(app, [wait(2_000), exit], { memory })), ["2000 app/pool restart 1"])
  })

  it("is told by the tree as it stands", () => {
    const { tree } = Simulation.simulate(app, [wait(0)], { memory: new Map([["app", [-5_000]], ["app/pool", [-9_000, -8_000]]]) })
    assert.strictEqual(tree?.budgetLeft, 2)
    assert.strictEqual(tree?.children[0]?.supervisor?.budgetLeft, 0)
  })

  it("is of the first generation: a supervisor that is started again begins with a whole budget", () => {
    const timeline = Simulation.simulate(app, [exit, exit], { memory: new Map([["app/pool", [-2, -1]]]) })
    assert.deepStrictEqual(decisions(timeline), ["0 app/pool give_up 0", "0 app restart 2", "0 app/pool restart 1"])
  })

  it("counts what lies in the future as of the start, so that no clock that was wrong spends a budget for long", () => {
    const memory = new Map([["app/pool", [3_600_000, 3_600_000]]])
    assert.deepStrictEqual(decisions(Simulation.simulate(app, [wait(9_999), exit], { memory }))[0], "9999 app/pool give_up 0")
    assert.deepStrictEqual(decisions(Simulation.simulate(app, [wait(10_000), exit], { memory })), ["10000 app/pool restart 1"])
  })

  it("changes nothing where it has nothing to say", () => {
    const script = [exit, wait(500), exit, exit, wait(20_000), exit]
    const entries = ({ entries }: Simulation.Timeline) => JSON.stringify(entries, (key, value) => key === "heard" ? undefined : value) // it holds the memory itself
    const without = Simulation.simulate(app, script)
    assert.strictEqual(entries(Simulation.simulate(app, script, { memory: new Map() })), entries(without))
    assert.strictEqual(
      entries(Simulation.simulate(app, script, { memory: new Map([["app/other", [0]], ["app/pool", [-10_000]]]) })),
      entries(without)
    )
  })

  it.effect("is read from the context, in Unix time", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_700_000_000_000)
      const memory = new Map([["app/pool", [1_700_000_000_000 - 9_999]]])
      const running = yield* Supervisor.start(app).pipe(Effect.provideService(RestartMemory.RestartMemory, memory))
      const pool = yield* running.at("app/pool")
      assert.strictEqual((yield* pool.tree).budgetLeft, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* pool.tree).budgetLeft, 2)
    }))
})
