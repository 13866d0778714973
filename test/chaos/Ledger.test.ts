/** The checker must find what it is there for: hand-made histories that are not sound. */
import { assert, describe, it } from "@effect/vitest"
import * as Ledger from "./Ledger.ts"

const made = (id: number, idempotent = false): Ledger.Line => ({
  id,
  pool: "default",
  tool: idempotent ? "again" : "once",
  idempotent,
  at: 1000
})
const told = (id: number, outcome: Ledger.Outcome): Ledger.Line => ({ id, outcome })
const ran = (...ids: ReadonlyArray<number>): ReadonlyArray<Ledger.Execution> => ids.map((id) => ({ id, pid: 4711 }))
const account = (ledger: ReadonlyArray<Ledger.Line>, journal: ReadonlyArray<Ledger.Execution>, killedAt?: number) =>
  Ledger.account({ ledger, journal, killedAt })
const ending: Ledger.Line = { ending: 2000 }

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
      ending,
      told(6, "interrupted")
    ]
    assert.deepStrictEqual(account(ledger, ran(1, 2, 2, 3, 5)), {
      accepted: 5,
      refused: 1,
      completed: 2,
      failed: 1,
      unknown: 2,
      lost: 0,
      twice: 0,
      problems: []
    })
  })

  it("finds a call without an outcome, unless its caller was killed", () => {
    assert.include(account([made(1)], ran(1)), { lost: 1, unknown: 0 })
    assert.include(account([made(1)], ran(1), 1500), { lost: 0, unknown: 1 })
  })

  it("finds a call that was open beyond its bound when its host was killed", () => {
    const call = { ...made(1), bound: 400 }
    assert.include(account([call], ran(1), 1400), { lost: 0, unknown: 1 })
    assert.include(account([call], ran(1), 1401), { lost: 1, unknown: 0 })
    assert.include(account([call], [], 1401), { lost: 1, unknown: 0 })
  })

  it("finds a call that was interrupted although nothing had asked its host to end", () => {
    assert.include(account([made(1), told(1, "interrupted")], ran(1)), { lost: 1, unknown: 0 })
    assert.include(account([made(1), told(1, "interrupted"), ending], ran(1)), { lost: 1, unknown: 0 })
    assert.include(account([made(1), ending, told(1, "interrupted")], ran(1)), { lost: 0, unknown: 1 })
  })

  it("finds a call that failed in a tool and never ran", () => {
    assert.include(account([made(1), told(1, "failed")], []), { lost: 1, failed: 0 })
    assert.include(account([made(1, true), told(1, "failed")], ran(2)), { lost: 1, failed: 0 })
  })

  it("counts what was refused apart from what was accepted, and each accepted call once", () => {
    const outcomes = ["completed", "failed", "refused", "unknown", "interrupted", "wrong"] as const
    const ledger = outcomes.flatMap((outcome, id) => [made(id), told(id, outcome), ...(id % 2 === 0 ? [told(id, outcome)] : [])])
    const { accepted, completed, failed, lost, refused, unknown } = account([...ledger, made(9)], [])
    assert.strictEqual(accepted + refused, outcomes.length + 1)
    assert.strictEqual(accepted, completed + failed + unknown + lost)
    assert.include(account([made(1), told(1, "refused")], []), { accepted: 0, refused: 1, failed: 0, lost: 0 })
  })

  it("finds a call with two outcomes, even the same", () => {
    assert.include(account([made(1), told(1, "completed"), told(1, "completed")], ran(1)), { lost: 1, twice: 0 })
    assert.include(account([made(1), told(1, "unknown"), told(1, "completed")], ran(1), 1500), { lost: 1 })
  })

  it("finds a call that completed and never ran", () => {
    assert.include(account([made(1), told(1, "completed")], []), { lost: 1 })
    assert.include(account([made(1, true), told(1, "completed")], ran(2)), { lost: 1 })
  })

  it("finds a call that is not idempotent and ran twice, whatever was told of it", () => {
    for (const outcome of ["completed", "failed", "unknown", "interrupted"] as const) {
      assert.include(account([made(1), told(1, outcome)], ran(1, 1)), { twice: 1 })
    }
    assert.include(account([made(1)], ran(1, 1), 1500), { twice: 1 })
    assert.include(account([made(1, true), told(1, "completed")], ran(1, 1, 1)), { twice: 0 })
  })

  it("finds a call that ran although it was told not to have", () => {
    assert.include(account([made(1), told(1, "refused")], ran(1)), { twice: 1 })
    assert.include(account([made(1, true), told(1, "refused")], ran(1)), { twice: 1 })
  })

  it("knows which calls run, and on which process, by the last time that each began", () => {
    const journal = [{ id: 1, pid: 10 }, { id: 2, pid: 10 }, { id: 3, pid: 11 }, { id: 1, pid: 11 }]
    const ledger = [made(1), made(2), made(3), told(3, "completed"), made(4)]
    assert.deepStrictEqual([...Ledger.running({ ledger, journal })], [[11, [made(1)]], [10, [made(2)]]])
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
