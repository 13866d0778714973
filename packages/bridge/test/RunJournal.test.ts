import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as RunJournal from "../src/process/RunJournal.ts"

const header: RunJournal.Header = {
  runId: "run-1",
  machine: "m",
  bootId: "b",
  pidNamespace: "pid:[1]",
  pid: 10,
  startTicks: 20
}

/** A life of processes as a script: small numbers so that ids meet. */
const Step = Schema.Struct({
  what: Schema.Literals(["reserved", "started", "taken", "leaked", "gone"]),
  who: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 })),
  pid: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4_194_304 }))
})
const Script = Schema.Array(Step).check(Schema.isMaxLength(40))

const lineOf = ({ pid, what, who }: typeof Step.Type): RunJournal.Line => {
  const id = `default/${who}#0`
  switch (what) {
    case "reserved":
      return { reserved: id, pool: "default" }
    case "started":
      return { started: id, pid, startTicks: pid * 3 }
    case "taken":
      return { taken: id, by: `default/${pid}` }
    case "leaked":
      return { leaked: id }
    case "gone":
      return { gone: id }
  }
}

const play = (lines: ReadonlyArray<RunJournal.Line>): Map<string, RunJournal.ProcessEntry> => {
  const entries = new Map<string, RunJournal.ProcessEntry>()
  for (const line of lines) RunJournal.apply(entries, line)
  return entries
}

const textOf = (lines: ReadonlyArray<RunJournal.Line>): string => RunJournal.encode(header, []) + lines.map(RunJournal.encodeLine).join("")

describe("RunJournal", () => {
  it.prop("a journal that is read says what the run knew, whatever happened", { script: Script }, ({ script }) => {
    const lines = script.map(lineOf)
    assert.deepStrictEqual(RunJournal.parse(textOf(lines)), { header, entries: play(lines), damage: undefined })
  }, { arbitrary: { runs: 300 } })

  it.prop("written anew, it says the same in at most four lines an entry", { script: Script }, ({ script }) => {
    const entries = play(script.map(lineOf))
    const text = RunJournal.encode(header, entries.values())
    assert.deepStrictEqual(RunJournal.parse(text), { header, entries, damage: undefined })
    assert.isAtMost(text.split("\n").length - 2, 4 * entries.size)
  }, { arbitrary: { runs: 300 } })

  it.prop(
    "cut off anywhere, it says what the run knew at that point, and is not damaged",
    { script: Script, at: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })) },
    ({ at, script }) => {
      const lines = script.map(lineOf)
      const begin = RunJournal.encode(header, []).length
      const text = textOf(lines)
      const cut = text.slice(0, begin + Math.floor(at * (text.length - begin)))
      const whole = cut.split("\n").length - 2
      assert.deepStrictEqual(RunJournal.parse(cut), { header, entries: play(lines.slice(0, whole)), damage: undefined })
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop("any text can be read, and what is not a journal is called damaged", { text: Schema.String }, ({ text }) => {
    assert.isString(RunJournal.parse(text).damage)
  }, { arbitrary: { runs: 300 } })

  it("a line that is none is told, and the others still count", () => {
    const lines: ReadonlyArray<RunJournal.Line> = [{ reserved: "a", pool: "p" }, { started: "a", pid: 1, startTicks: 2 }]
    const damaged = textOf(lines.slice(0, 1)) + "\0\0\0\n" + lines.slice(1).map(RunJournal.encodeLine).join("")
    assert.deepStrictEqual(RunJournal.parse(damaged), { header, entries: play(lines), damage: "line 3 is no change of a process" })
  })

  it("a newer version may say more in the header and in a line", () => {
    const text = `${JSON.stringify({ ...header, colour: "blue" })}\n{"reserved":"a","pool":"p","since":1}\n`
    const read = RunJournal.parse(text)
    assert.deepStrictEqual([read.header, read.damage], [header, undefined])
  })
})
