/** Contracts of generated adapters: the source of each compiles under this checkout's options, and stays as it is when dprint formats it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Arbitrary from "effect/Arbitrary"
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { contractSource } from "snakepit/cli/codegen/ContractSource"
import { Description, type JsonSchema } from "snakepit/cli/codegen/Description"
import { inProject } from "../docs/Examples.ts"
import { root } from "./fixtures/Program.ts"

const count = 60 // modules: one run of the compiler for all
const lineWidth = 140 // of dprint.json

const types = ["Point", "Array", "a.Point", "Box[int]", "Digits"] as const
const inner = Schema.suspend((): Schema.Codec<JsonSchema> => AnySchema)
const small = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 }))
const text = Schema.String.check(Schema.isPattern(/^[ -~\n]*$/u))
const name = Schema.Union([Schema.Literals(["x", "class", "a b", "__proto__", "\"'", "*/"]), text])
const described = { description: Schema.optionalKey(Schema.Union([Schema.Literal("Ends */ early.\nTwice."), text])) }

const record = Schema.Struct({
  type: Schema.Literal("object"),
  properties: Schema.Record(name, inner),
  required: Schema.Array(Schema.Literals(["x", "class", "a b"])),
  additionalProperties: Schema.optionalKey(Schema.Union([Schema.Literal(false), Schema.Struct({})])),
  ...described
})
const row = Schema.Struct({
  type: Schema.Literal("array"),
  prefixItems: Schema.Array(inner),
  minItems: small,
  items: Schema.Literal(false),
  ...described
})

const AnySchema: Schema.Codec<JsonSchema> = Schema.Union([
  Schema.Struct(described),
  Schema.Struct({ type: Schema.Literals(["null", "boolean"]), ...described }),
  Schema.Struct({ type: Schema.Literal("integer"), minimum: Schema.optionalKey(Schema.Finite), multipleOf: Schema.optionalKey(small) }),
  Schema.Struct({ type: Schema.Literal("number"), exclusiveMaximum: Schema.optionalKey(Schema.Finite), ...described }),
  Schema.Struct({
    type: Schema.Literal("string"),
    format: Schema.optionalKey(Schema.Literals(["bytes", "date-time", "local-date-time", "uuid", "decimal"])),
    minLength: Schema.optionalKey(small),
    pattern: Schema.optionalKey(Schema.Union([Schema.Literals(["^a/b$", "(?P<year>\\d+)", "\n"]), Schema.String]))
  }),
  Schema.Struct({ enum: Schema.Array(Schema.Union([Schema.String, Schema.Int, Schema.Boolean, Schema.Null])) }),
  Schema.Struct({ $ref: Schema.Literals(types.map((type) => `#/$defs/${type}` as const)), ...described }),
  Schema.Struct({ anyOf: Schema.Array(inner).check(Schema.isMinLength(1)) }),
  Schema.Struct({ type: Schema.Literal("array"), items: inner, maxItems: Schema.optionalKey(small) }),
  Schema.Struct({ type: Schema.Literal("array"), format: Schema.Literal("ndarray") }),
  Schema.Struct({ type: Schema.Literal("object"), additionalProperties: inner, minProperties: Schema.optionalKey(small) }),
  record,
  row
])

const definition = Schema.Union([record, row, Schema.Struct({ enum: Schema.Array(Schema.String), ...described })])

const descriptions = Arbitrary.map(
  Arbitrary.schema(Schema.Struct({
    types: Schema.Tuple(types.map(() => definition) as [typeof definition]),
    tools: Schema.Array(Schema.Struct({
      description: text,
      streams: Schema.Boolean,
      arguments: record,
      result: inner,
      facts: Description.fields.tools.value.fields.facts,
      contract: Description.fields.tools.value.fields.contract
    })).check(Schema.isBetweenLength(1, 4))
  })),
  ({ tools, types: schemas }): Description => ({
    adapter: "app.digits",
    problems: [],
    tools: tools.map((tool, index) => ({ ...tool, name: `tool.${index}` })),
    $defs: Object.fromEntries((schemas as ReadonlyArray<JsonSchema>).map((schema, index) => [types[index], schema]))
  })
)

describe("the source of a contract", () => {
  it("compiles, whatever the annotations say, and is formatted", () =>
    inProject((project) => {
      const samples = Effect.runSync(Arbitrary.sampleEffect(descriptions, { count, seed: 25, size: 6 }))
      const sources = samples.map((description) => contractSource(description, "snakepit codegen"))
      sources.forEach((source, index) => project.write(`${index}.ts`, source))
      project.compile()
      const short = sources.filter((source) => source.split("\n").every((line) => line.length <= lineWidth)) // a type is not broken into lines
      assert.isAtLeast(short.length, count / 2)
      const all = short.join("\n") // to a formatter many modules are one
      const { status, stderr, stdout } = spawnSync(
        process.execPath,
        [join(root, "node_modules", "dprint", "bin.cjs"), "fmt", "--stdin", "x.ts"],
        { cwd: root, encoding: "utf8", input: all }
      )
      assert.strictEqual(status, 0, stderr)
      assert.strictEqual(stdout, all)
    }), 120_000)
})
