/** What the queues and the choice of a worker are made of, against plain models. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { ById } from "../src/control/ById.ts"
import { Fifo } from "../src/control/Fifo.ts"
import * as LeastBusy from "../src/control/LeastBusy.ts"
import type * as Line from "../src/control/Line.ts"
import * as TenantQueue from "../src/control/TenantQueue.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

interface Waiting extends Line.Linked<Waiting> {
  readonly id: number
  readonly tenant: string
}

const waiting = (id: number, tenant: string): Waiting => ({ id, tenant, line: undefined, before: undefined, after: undefined })

describe("TenantQueue", () => {
  const tenant = Schema.Literals(["a", "a", "a", "b", "c"])
  const Step = Schema.Union([
    Schema.TaggedStruct("Push", { tenant }),
    Schema.TaggedStruct("Unshift", { tenant }),
    Schema.TaggedStruct("Take", {}),
    Schema.TaggedStruct("Leave", { nth: int(0, 9) })
  ])

  it.prop(
    "lets no tenant pass a waiting one twice, and keeps the order of each",
    { script: Schema.Array(Step).check(Schema.isMaxLength(60)) },
    ({ script }) => {
      const queue = TenantQueue.make<Waiting>()
      const lines = new Map<string, Array<Waiting>>([["a", []], ["b", []], ["c", []]])
      /** How often others were served since a waiting tenant was, or since it waits. */
      const passed = new Map<string, Map<string, number>>()
      let ids = 0
      for (const step of script) {
        switch (step._tag) {
          case "Push":
          case "Unshift": {
            const call = waiting(ids++, step.tenant)
            const line = lines.get(step.tenant)!
            if (step._tag === "Push") line.push(call)
            else line.unshift(call)
            if (step._tag === "Push") TenantQueue.push(queue, call)
            else TenantQueue.unshift(queue, call)
            break
          }
          case "Leave": {
            const all = [...lines.values()].flat()
            const call = all[step.nth % Math.max(1, all.length)]
            if (call === undefined) break
            const line = lines.get(call.tenant)!
            line.splice(line.indexOf(call), 1)
            TenantQueue.leave(call)
            if (line.length === 0) passed.delete(call.tenant)
            break
          }
          case "Take": {
            const call = TenantQueue.take(queue)
            assert.strictEqual(call === undefined, [...lines.values()].every((line) => line.length === 0))
            if (call === undefined) break
            assert.strictEqual(call, lines.get(call.tenant)!.shift())
            passed.delete(call.tenant)
            for (const [other, line] of lines) {
              if (other === call.tenant || line.length === 0) continue
              const counts = passed.get(other) ?? new Map<string, number>()
              passed.set(other, counts.set(call.tenant, (counts.get(call.tenant) ?? 0) + 1))
              assert.isAtMost(counts.get(call.tenant)!, 1, `${call.tenant} passed ${other} twice`)
            }
          }
        }
        const members = [...TenantQueue.members(queue)]
        assert.strictEqual(queue.length, members.length)
        for (const [tenant, line] of lines) {
          assert.deepStrictEqual(members.flatMap((call) => call.tenant === tenant ? [call.id] : []), line.map(({ id }) => id))
          assert.strictEqual(TenantQueue.lengthOf(queue, tenant), line.length)
        }
      }
    },
    { arbitrary: { runs: 2000, size: 40 } }
  )
})

describe("LeastBusy", () => {
  it.prop(
    "finds the first of the slots with the fewest calls",
    {
      size: Schema.Literals([1, 3, 32, 33, 70]),
      script: Schema.Array(Schema.Struct({ slot: int(0, 69), calls: int(-1, 5) })).check(Schema.isMaxLength(60))
    },
    ({ script, size }) => {
      const busy = LeastBusy.make(size)
      const model = new Map<number, number>()
      assert.strictEqual(LeastBusy.first(busy), -1)
      for (const { calls, slot } of script) {
        LeastBusy.set(busy, slot % size, calls)
        if (calls < 0) model.delete(slot % size)
        else model.set(slot % size, calls)
        const [least] = [...model].toSorted(([a, ofA], [b, ofB]) => ofA - ofB || a - b)
        assert.strictEqual(LeastBusy.first(busy), least === undefined ? -1 : least[0])
      }
    },
    { arbitrary: { runs: 500 } }
  )
})

describe("Fifo", () => {
  it("gives what was put in, in order, also while more comes, and lets some be taken out", () => {
    const fifo = new Fifo<number>()
    for (const item of [1, 2, 3]) fifo.push(item)
    assert.strictEqual(fifo.take(), 1)
    fifo.push(4)
    assert.deepStrictEqual(fifo.sift((item) => item % 2 === 0), [3])
    assert.deepStrictEqual([...fifo], [2, 4])
    assert.strictEqual(fifo.length, 2)
    assert.deepStrictEqual([fifo.take(), fifo.take(), fifo.take()], [2, 4, undefined])
    fifo.push(5)
    assert.deepStrictEqual([...fifo], [5])
  })
})

describe("ById", () => {
  const Step = Schema.Struct({ id: int(0, 40), what: Schema.Literals(["set", "set", "set", "delete"]) })

  it.prop(
    "is a Map whose keys come in order, also when places are shared",
    { script: Schema.Array(Step).check(Schema.isMaxLength(80)), places: Schema.Literals([1, 4, 16]) },
    ({ places, script }) => {
      const table = new ById<string>(places)
      const model = new Map<number, string>()
      for (const [nth, { id, what }] of script.entries()) {
        if (what === "set") {
          table.set(id, `${nth}`)
          model.set(id, `${nth}`)
        } else {
          table.delete(id)
          model.delete(id)
        }
        assert.strictEqual(table.size, model.size)
        assert.strictEqual(table.get(id), model.get(id))
        assert.deepStrictEqual([...table], [...model].toSorted(([a], [b]) => a - b))
      }
    },
    { arbitrary: { runs: 500, size: 80 } }
  )

  it("goes on when entries leave while they are visited", () => {
    const table = new ById<string>(4)
    for (let id = 0; id < 9; id++) table.set(id, `${id}`)
    const seen: Array<number> = []
    for (const id of table.keys()) {
      seen.push(id)
      table.delete(id + 1)
    }
    assert.deepStrictEqual(seen, [0, 2, 4, 6, 8])
  })
})
