/** What is recorded: one line a scenario, of one machine, in the order of the scenarios. */
import { assert, describe, it } from "@effect/vitest"
import * as Record from "./Record.ts"
import { none } from "./Session.ts"

const row = (scenario: string, runs: number) => ({ scenario, runs, seed: 1, ...none, failures: 0, ok: true })
const machine = { cpu: "one", cores: 2 }
const order = ["a", "b", "c"]

describe("a recorded scenario", () => {
  it("takes the place of its last line, and leaves the others", () => {
    const before = { machine, rows: [row("a", 1), row("c", 2)] }
    assert.deepStrictEqual(Record.merge(before, machine, row("c", 9), order).rows, [row("a", 1), row("c", 9)])
    assert.deepStrictEqual(Record.merge(before, machine, row("b", 3), order).rows, [row("a", 1), row("b", 3), row("c", 2)])
    assert.deepStrictEqual(Record.merge(undefined, machine, row("b", 3), order), { machine, rows: [row("b", 3)] })
  })

  it("does not stand beside those of another machine", () => {
    const before = { machine, rows: [row("a", 1)] }
    assert.deepStrictEqual(Record.merge(before, { ...machine, cores: 4 }, row("b", 3), order), {
      machine: { ...machine, cores: 4 },
      rows: [row("b", 3)]
    })
  })
})
