import { assert, describe, it } from "@effect/vitest"
import { contractSource } from "../src/cli/codegen/ContractSource.ts"
import type { Description, JsonSchema, ToolDescription } from "../src/cli/codegen/Description.ts"

const toolOf = (more: Partial<ToolDescription>): ToolDescription => ({
  name: "use",
  description: "",
  streams: false,
  arguments: { type: "object", properties: {}, required: [], additionalProperties: false },
  result: { type: "null" },
  facts: {},
  contract: {},
  ...more
})

const descriptionOf = (tools: ReadonlyArray<ToolDescription>, $defs: Description["$defs"] = {}): Description => ({
  adapter: "app.gpu_tools",
  tools,
  $defs,
  problems: []
})

/** The source without its header. */
const sourceOf = (tools: ReadonlyArray<ToolDescription>, $defs: Description["$defs"] = {}): string =>
  contractSource(descriptionOf(tools, $defs), "snakepit codegen").replace(/^\/\*\*[\s\S]*?\*\/\n/, "")

const taking = (properties: { readonly [name: string]: JsonSchema }, more: Partial<JsonSchema> = {}): ToolDescription =>
  toolOf({ arguments: { type: "object", properties, required: Object.keys(properties), additionalProperties: false, ...more } })

describe("the source of a contract", () => {
  it("names the group after the adapter, imports what it uses, and carries the hashes", () =>
    assert.strictEqual(
      sourceOf([toolOf({ contract: { "argument a": "00ff", result: "ff00" } })]),
      `import { Rpc, RpcGroup } from "effect/rpc"
import { Tool } from "snakepit"

export class GpuTools extends RpcGroup.make(
  Rpc.make("use")
    .annotate(Tool.Contract, { "argument a": "00ff", result: "ff00" })
) {}
`
    ))

  it("says who made it, and how to renew it", () =>
    assert.include(
      contractSource(descriptionOf([toolOf({})]), "snakepit codegen --out A.ts"),
      "\n *\n *     snakepit codegen --out A.ts\n */\n"
    ))

  it("annotates with what its author says of a tool", () => {
    const facts = { idempotent: true, deterministic: true, blocking: true, timeout_ms: 2500, hard_limit_ms: 120_000 }
    assert.include(
      sourceOf([toolOf({ facts })]),
      `  Rpc.make("use")
    .annotate(Tool.Idempotent, true)
    .annotate(Tool.Deterministic, true)
    .annotate(Tool.Blocking, true)
    .annotate(Tool.CallTimeout, "2500 millis")
    .annotate(Tool.HardLimit, "2 minutes")
    .annotate(Tool.Contract, {})
)`
    )
  })

  it("takes streams of inputs, and further keywords where there is none", () => {
    const stream = { type: "array", format: "stream", items: { type: "integer" } } as const
    assert.include(sourceOf([taking({ numbers: stream })]), "Rpc.make(\"use\", { payload: { numbers: Tool.InputStream(Schema.Int) } })")
    assert.include(
      sourceOf([taking({ numbers: stream }, { additionalProperties: {} })]),
      "Rpc.make(\"use\", { payload: { numbers: Tool.InputStream(Schema.Int) } })"
    )
    assert.include(
      sourceOf([taking({ a: { type: "string" } }, { additionalProperties: {} })]),
      "payload: Schema.StructWithRest(Schema.Struct({ a: Schema.String }), [Schema.Record(Schema.String, Schema.Unknown)])"
    )
  })

  it("declares types before what contains them, and those that contain themselves with their type", () => {
    const node: JsonSchema = {
      type: "object",
      properties: { next: { $ref: "#/$defs/A" }, leaf: { $ref: "#/$defs/Z" } },
      required: ["leaf"]
    }
    const source = sourceOf([toolOf({ result: { $ref: "#/$defs/A" } })], { A: node, Z: { enum: ["z"] } })
    assert.include(
      source,
      `export const Z = Schema.Literal("z")
export type Z = typeof Z.Type

export interface A {
  readonly next?: A
  readonly leaf: Z
}
export const A: Schema.Codec<A> = Schema.Struct({ next: Schema.optionalKey(Schema.suspend((): Schema.Codec<A> => A)), leaf: Z })
`
    )
  })

  it("gives names that mean something already, or are no names, others", () => {
    const named = ["Array", "GpuTools", "a.Point", "Box[list[int]]", "class", "Point"]
    const source = sourceOf([toolOf({})], Object.fromEntries(named.map((name) => [name, { enum: [name] }])))
    assert.deepStrictEqual(
      [...source.matchAll(/export const (\S+) = (.*)/g)].map(([, name, schema]) => [name, schema]),
      [
        ["Array_", "Schema.Literal(\"Array\")"],
        ["Box_list_int", "Schema.Literal(\"Box[list[int]]\")"],
        ["GpuTools_", "Schema.Literal(\"GpuTools\")"],
        ["Point", "Schema.Literal(\"Point\")"],
        ["a_Point", "Schema.Literal(\"a.Point\")"],
        ["class_", "Schema.Literal(\"class\")"]
      ]
    )
  })

  it("breaks what does not fit on a line", () => {
    const long = Array.from({ length: 12 }, (_, index) => `choice number ${index}`)
    const source = sourceOf([taking({ which: { enum: long }, also: { anyOf: [{ type: "null" }, { enum: long }] } })])
    assert.include(source, "      which: Schema.Literals([\n        \"choice number 0\",\n")
    assert.include(source, "      also: Schema.NullOr(Schema.Literals([\n        \"choice number 0\",\n")
    assert.isTrue(source.split("\n").every((line) => line.length <= 140))
  })

  it("leaves a pattern that JavaScript cannot read to Python", () => {
    assert.include(sourceOf([taking({ a: { type: "string", pattern: "^a/b$" } })]), "Schema.isPattern(/^a\\/b$/u)")
    assert.include(sourceOf([taking({ a: { type: "string", pattern: "(?P<year>\\d+)" } })]), "{ payload: { a: Schema.String } }")
  })
})
