/** The checker must find what it is there for: hand-made histories that are not sound. */
import { assert, describe, it } from "@effect/vitest"
import * as Ledger from "./Ledger.ts"

const made = (id: number, idempotent = false): Ledger.Line => ({ id, pool: "default", tool: idempotent ? "again" : "once", idempotent })
const told = (id: number, outcome: Ledger.Outcome): Ledger.Line => ({ id, outcome })
const ran = (...ids: ReadonlyArray<number>): ReadonlyArray<Ledger.Execution> => ids.map((id) => ({ id, pid: 4711 }))
const account = (ledger: ReadonlyArray<Ledger.Line>, journal: ReadonlyArray<Ledger.Execution>, killed = false) =>
  Ledger.account({ ledger, journal, killed })

describe("the account of the calls", () => {
  it("is sound when each call has one outcome that fits what ran", () => {
    const ledger = [
      made(1),
      made(2, true),
      made(3),
      told(1, "completed"),
      made(4),
      told(3, "unknown"),
      told(2, "completed"),
      told(4, "refused"),
      made(5),
      told(5, "failed"),
      made(6),
      told(6, "interrupted")
    ]
    assert.deepStrictEqual(account(ledger, ran(1, 2, 2, 3, 5)), {
      accepted: 6,
      completed: 2,
      failed: 2,
      unknown: 2,
      lost: 0,
      twice: 0,
      problems: []
    })
  })

  it("finds a call without an outcome, unless its caller was killed", () => {
    assert.include(account([made(1)], ran(1)), { lost: 1, unknown: 0 })
    assert.include(account([made(1)], ran(1), true), { lost: 0, unknown: 1 })
  })

  it("finds a call with two outcomes, even the same", () => {
    assert.include(account([made(1), told(1, "completed"), told(1, "completed")], ran(1)), { lost: 1, twice: 0 })
    assert.include(account([made(1), told(1, "unknown"), told(1, "completed")], ran(1), true), { lost: 1 })
  })

  it("finds a call that completed and never ran", () => {
    assert.include(account([made(1), told(1, "completed")], []), { lost: 1 })
    assert.include(account([made(1, true), told(1, "completed")], ran(2)), { lost: 1 })
  })

  it("finds a call that is not idempotent and ran twice, whatever was told of it", () => {
    for (const outcome of ["completed", "failed", "unknown", "interrupted"] as const) {
      assert.include(account([made(1), told(1, outcome)], ran(1, 1)), { twice: 1 })
    }
    assert.include(account([made(1)], ran(1, 1), true), { twice: 1 })
    assert.include(account([made(1, true), told(1, "completed")], ran(1, 1, 1)), { twice: 0 })
  })

  it("finds a call that ran although it was told not to have", () => {
    assert.include(account([made(1), told(1, "refused")], ran(1)), { twice: 1 })
    assert.include(account([made(1, true), told(1, "refused")], ran(1)), { twice: 1 })
  })

  it("finds what was never made, and what went wrong", () => {
    assert.lengthOf(account([told(9, "completed")], []).problems, 1)
    assert.lengthOf(account([], ran(9)).problems, 1)
    assert.lengthOf(account([made(1), { id: 1, outcome: "wrong", cause: "it returned 2" }], ran(1)).problems, 1)
  })
})

describe("the files", () => {
  it("are read up to the last whole line", () => {
    assert.deepStrictEqual(Ledger.readLedger(`${JSON.stringify(made(1))}\n{"id":1,"out`), [made(1)])
    assert.deepStrictEqual(Ledger.readJournal("1 10\n2 20\n3"), [{ id: 1, pid: 10 }, { id: 2, pid: 20 }])
    assert.deepStrictEqual(Ledger.readJournal(""), [])
  })

  it("are refused when two writes were mixed up", () => {
    assert.throws(() => Ledger.readJournal("1 102 20\n\n"), "mixed up")
  })
})
