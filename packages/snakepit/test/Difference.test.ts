import { assert, describe, it } from "@effect/vitest"
import { contractSource } from "../src/cli/codegen/ContractSource.ts"
import type { Description, JsonSchema } from "../src/cli/codegen/Description.ts"
import * as Difference from "../src/cli/codegen/Difference.ts"

const sourceOf = (
  tools: { readonly [name: string]: JsonSchema },
  types: Description["$defs"] = {},
  about: { readonly result?: string; readonly renew?: string } = {}
): string =>
  contractSource({
    adapter: "shop",
    problems: [],
    $defs: types,
    tools: Object.entries(tools).map(([name, result]) => ({
      name,
      result,
      description: `What ${name} does.`,
      streams: false,
      facts: {},
      contract: { result: about.result ?? "00ff" },
      arguments: { type: "object", properties: {}, required: [], additionalProperties: false }
    }))
  }, about.renew ?? "snakepit codegen")

const [text, whole] = [{ type: "string" }, { type: "integer" }] as const

describe("the difference of two contracts", () => {
  it("is none between equal ones", () => assert.deepStrictEqual(Difference.between(sourceOf({ a: text }), sourceOf({ a: text })), []))

  it("names the tools and types that were added, removed or changed, with their lines", () => {
    const before = sourceOf({ gone: text, kept: text, other: text }, { Point: { enum: ["a"] } })
    const after = sourceOf({ fresh: text, kept: text, other: whole }, { Point: { enum: ["a", "b"] } })
    assert.deepStrictEqual(Difference.between(before, after).map(({ how, what }) => `${how} ${what}`), [
      "changed type Point",
      "removed tool gone",
      "changed tool other",
      "added tool fresh"
    ])
    const other = Difference.between(before, after).find(({ what }) => what === "tool other")
    assert.deepStrictEqual(other?.lines, [
      "-   Rpc.make(\"other\", { success: Schema.String })",
      "+   Rpc.make(\"other\", { success: Schema.Int })"
    ])
  })

  it("leaves the tool alone that another one was added behind", () =>
    assert.deepStrictEqual(Difference.between(sourceOf({ a: text }), sourceOf({ a: text, b: text })).map(({ what }) => what), ["tool b"]))

  it("tells of a hash with its tool, and of a command as of the rest", () => {
    const changes = Difference.between(sourceOf({ a: text }), sourceOf({ a: text }, {}, { result: "ff00", renew: "other" }))
    assert.deepStrictEqual(changes.map(({ how, lines, what }) => [how, what, lines.length]), [["changed", "the rest", 2], [
      "changed",
      "tool a",
      2
    ]])
  })

  it("is everything when the file was empty", () =>
    assert.deepStrictEqual(Difference.between("", sourceOf({ a: text })).map(({ how, what }) => `${how} ${what}`), [
      "changed the rest",
      "added tool a"
    ]))

  it("shows the first lines of a change", () => {
    const words = (from: number): JsonSchema => ({ enum: Array.from({ length: 20 }, (_, index) => `a rather long word ${from + index}`) })
    const shown = Difference.render(Difference.between(sourceOf({ a: words(0) }), sourceOf({ a: words(100) }))).split("\n")
    assert.strictEqual(shown[0], "  changed  tool a")
    assert.strictEqual(shown.length, 1 + 12 + 1)
    assert.match(shown.at(-1)!, /^ {4}… \d+ more lines$/)
  })
})
