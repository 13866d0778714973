import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as SupervisorState from "../src/SupervisorState.ts"
import { Scenario, SimulatedWorld } from "./SimulatedWorld.ts"

const anything = Arbitrary.schema(Scenario)

/** What goes wrong between siblings, and with an operator at work, needs a supervisor that does not end first. */
const longLives = Arbitrary.map(anything, (scenario): Scenario => ({
  ...scenario,
  strategy: scenario.strategy === "one_for_one" ? "rest_for_one" : scenario.strategy,
  autoShutdown: "never",
  dynamic: false,
  bootFirst: true,
  maxRestarts: 8,
  script: scenario.script.filter((line) => line._tag !== "Shutdown").map((line) => line._tag === "Delay" ? { ...line, but: 0 } : line)
}))

// about a second together; with runs: 40_000 they found every fault that SupervisorState.test.ts tells
const check = { arbitrary: { runs: 1500, size: 40 } }

describe("the machine of a supervisor, in a generated world", () => {
  it.prop("keeps every invariant after every event", { scenario: anything }, ({ scenario }) => new SimulatedWorld(scenario).play(), check)

  it.prop(
    "keeps every invariant in groups that live long",
    { scenario: longLives },
    ({ scenario }) => new SimulatedWorld(scenario).play(),
    check
  )

  it.prop("leaves its snapshots as they were taken", { scenario: anything }, ({ scenario }) => {
    const world = new SimulatedWorld(scenario)
    const taken: Array<readonly [SupervisorState.SupervisorState, SupervisorState.SupervisorState]> = []
    world.play((state) => taken.push([SupervisorState.snapshot(state), structuredClone(state)]))
    for (const [copy, then] of taken.slice(-10)) {
      assert.deepStrictEqual(copy, { ...then, window: copy.window })
      assert.strictEqual(copy.window.times.length, then.window.times.length - then.window.head)
    }
  }, { arbitrary: { runs: 60, size: 20 } })
})
