/** What `python -m snakepit.describe` prints of an adapter. */
import * as Schema from "effect/Schema"

/** JSON Schema of what crosses the wire, as far as `snakepit._schema` uses it. Anything when it has no keys. */
export interface JsonSchema {
  readonly $ref?: string
  readonly enum?: ReadonlyArray<string | number | boolean | null>
  readonly anyOf?: ReadonlyArray<JsonSchema>
  readonly type?: "null" | "boolean" | "integer" | "number" | "string" | "array" | "object"
  readonly format?: string
  readonly description?: string
  readonly minimum?: number
  readonly exclusiveMinimum?: number
  readonly maximum?: number
  readonly exclusiveMaximum?: number
  readonly multipleOf?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  /** The elements of a list; `false` where there are none beyond `prefixItems`. */
  readonly items?: JsonSchema | false
  readonly prefixItems?: ReadonlyArray<JsonSchema>
  readonly minItems?: number
  readonly maxItems?: number
  readonly properties?: { readonly [name: string]: JsonSchema }
  readonly required?: ReadonlyArray<string>
  readonly additionalProperties?: JsonSchema | false
  readonly minProperties?: number
  readonly maxProperties?: number
}

const inner = Schema.suspend((): Schema.Codec<JsonSchema> => JsonSchema)
const innerOrNone = Schema.Union([Schema.Literal(false), inner])

export const JsonSchema: Schema.Codec<JsonSchema> = Schema.Struct({
  $ref: Schema.optionalKey(Schema.String),
  enum: Schema.optionalKey(Schema.Array(Schema.Union([Schema.String, Schema.Number, Schema.Boolean, Schema.Null]))),
  anyOf: Schema.optionalKey(Schema.Array(inner)),
  type: Schema.optionalKey(Schema.Literals(["null", "boolean", "integer", "number", "string", "array", "object"])),
  format: Schema.optionalKey(Schema.String),
  description: Schema.optionalKey(Schema.String),
  minimum: Schema.optionalKey(Schema.Number),
  exclusiveMinimum: Schema.optionalKey(Schema.Number),
  maximum: Schema.optionalKey(Schema.Number),
  exclusiveMaximum: Schema.optionalKey(Schema.Number),
  multipleOf: Schema.optionalKey(Schema.Number),
  minLength: Schema.optionalKey(Schema.Number),
  maxLength: Schema.optionalKey(Schema.Number),
  pattern: Schema.optionalKey(Schema.String),
  items: Schema.optionalKey(innerOrNone),
  prefixItems: Schema.optionalKey(Schema.Array(inner)),
  minItems: Schema.optionalKey(Schema.Number),
  maxItems: Schema.optionalKey(Schema.Number),
  properties: Schema.optionalKey(Schema.Record(Schema.String, inner)),
  required: Schema.optionalKey(Schema.Array(Schema.String)),
  additionalProperties: Schema.optionalKey(innerOrNone),
  minProperties: Schema.optionalKey(Schema.Number),
  maxProperties: Schema.optionalKey(Schema.Number)
})

/** One tool. */
export const ToolDescription = Schema.Struct({
  name: Schema.String,
  description: Schema.String,
  streams: Schema.Boolean,
  arguments: JsonSchema,
  /** Of what it returns, or of one element of its stream. */
  result: JsonSchema,
  /** What its author says of it, where he says anything. */
  facts: Schema.Struct({
    idempotent: Schema.optionalKey(Schema.Boolean),
    deterministic: Schema.optionalKey(Schema.Boolean),
    blocking: Schema.optionalKey(Schema.Boolean),
    timeout_ms: Schema.optionalKey(Schema.Int),
    hard_limit_ms: Schema.optionalKey(Schema.Int)
  }),
  /** The parts of its contract, each with its hash, as workers announce them. */
  contract: Schema.Record(Schema.String, Schema.String)
})
export type ToolDescription = typeof ToolDescription.Type

/** One adapter; its tools are sorted by name. */
export const Description = Schema.Struct({
  adapter: Schema.String,
  tools: Schema.Array(ToolDescription),
  $defs: Schema.Record(Schema.String, JsonSchema),
  /** What has no schema and is therefore anything, one line each. */
  problems: Schema.Array(Schema.String)
})
export type Description = typeof Description.Type
