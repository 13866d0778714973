/**
 * JSON Schema of the wire as the source of an Effect Schema. What a value is in TypeScript is what the codec carries, so that nothing is
 * transformed: Type and Encoded are the same. Pure.
 */
import { nameOf } from "./Definitions.ts"
import type { JsonSchema } from "./Description.ts"
import * as Layout from "./Layout.ts"

/** What references become. */
export interface Names {
  /** The name in TypeScript of each named type. */
  readonly of: ReadonlyMap<string, string>
  /** Those that are not declared yet where the source stands. */
  readonly later: ReadonlySet<string>
}

/** A single argument stays on the line of its call and is broken into lines itself; one that ends in another call does not. */
const call = (name: string, ...args: ReadonlyArray<Layout.Layout>): Layout.Layout =>
  args.length === 1 && !isChain(args[0]!) ? [`${name}(`, args[0]!, ")"] : Layout.list(`${name}(`, args, ")")

/** As {@link checked} makes it: a schema, and the call on it. */
const isChain = (layout: Layout.Layout): boolean => Array.isArray(layout) && layout.length === 2

const checked = (schema: Layout.Layout, checks: ReadonlyArray<string>): Layout.Layout =>
  checks.length === 0 ? schema : [schema, call(".check", ...checks)]

const checksOf = (schema: JsonSchema, checks: { readonly [Key in keyof JsonSchema]?: string }): ReadonlyArray<string> =>
  Object.entries(checks).flatMap(([key, check]) => {
    const bound = schema[key as keyof JsonSchema]
    return bound === undefined ? [] : [`Schema.${check}(${String(bound)})`]
  })

/** Whether a number of that range may be one that only a bigint holds exactly. */
export const isLarge = ({ exclusiveMaximum, exclusiveMinimum, maximum, minimum }: JsonSchema): boolean =>
  [exclusiveMaximum, exclusiveMinimum, maximum, minimum].some((bound) => bound !== undefined && Math.abs(bound) > Number.MAX_SAFE_INTEGER)

const numberChecks = {
  minimum: "isGreaterThanOrEqualTo",
  exclusiveMinimum: "isGreaterThan",
  maximum: "isLessThanOrEqualTo",
  exclusiveMaximum: "isLessThan",
  multipleOf: "isMultipleOf"
}

/** Python's pattern, when JavaScript can read it; Python checks it anyway. */
const patternOf = ({ pattern }: JsonSchema): ReadonlyArray<string> => {
  if (pattern === undefined) return []
  try {
    return [`Schema.isPattern(${String(new RegExp(pattern, "u"))})`]
  } catch {
    return []
  }
}

const string = (schema: JsonSchema): Layout.Layout => {
  switch (schema.format) {
    case "bytes":
      return checked("Schema.Uint8Array", checksOf(schema, { minLength: "isMinLength", maxLength: "isMaxLength" }))
    case "date-time":
      return "Schema.Date"
    case "uuid":
      return "Schema.String.check(Schema.isGUID())"
    default: // Python counts code points
      return checked("Schema.String", [
        ...checksOf(schema, { minLength: "isMinCodePoints", maxLength: "isMaxCodePoints" }),
        ...patternOf(schema)
      ])
  }
}

const array = (schema: JsonSchema, names: Names): Layout.Layout => {
  if (schema.format === "ndarray") return "NdArray.schema"
  if (schema.format === "stream") return call("Tool.InputStream", schemaSource(schema.items || {}, names))
  if (schema.prefixItems === undefined) {
    const items = call("Schema.Array", schemaSource(schema.items || {}, names))
    return checked(items, checksOf(schema, { minItems: "isMinLength", maxItems: "isMaxLength" }))
  }
  const items = schema.prefixItems.map((item, index) => {
    const source = schemaSource(item, names)
    return index < (schema.minItems ?? 0) ? source : call("Schema.optionalKey", source)
  })
  return call("Schema.Tuple", items.length === 0 ? "[]" : Layout.list("[", items, "]"))
}

/** `{ a: Schema.Int, b: Schema.optionalKey(Schema.String) }`. */
export const fieldsSource = ({ properties = {}, required = [] }: JsonSchema, names: Names): Layout.Layout =>
  Layout.object(
    Object.entries(properties).map(([name, property]) => {
      const source = schemaSource(property, names)
      return {
        name,
        comment: property.description === undefined ? undefined : Layout.comment(property.description),
        layout: required.includes(name) ? source : call("Schema.optionalKey", source)
      }
    })
  )

const objectSource = (schema: JsonSchema, names: Names): Layout.Layout => {
  const { additionalProperties: rest, properties } = schema
  if (properties === undefined) {
    const record = call("Schema.Record", "Schema.String", schemaSource(rest || {}, names))
    return checked(record, checksOf(schema, { minProperties: "isMinProperties", maxProperties: "isMaxProperties" }))
  }
  const struct = call("Schema.Struct", fieldsSource(schema, names))
  // an index signature holds for the fields as well, so it cannot say more than unknown
  return rest ? call("Schema.StructWithRest", struct, "[Schema.Record(Schema.String, Schema.Unknown)]") : struct
}

const literal = (value: unknown): string => JSON.stringify(value)

const enumSource = (values: ReadonlyArray<unknown>): Layout.Layout => {
  const literals = values.filter((value) => value !== null).map(literal)
  const source = literals.length === 1
    ? call("Schema.Literal", literals[0]!)
    : call("Schema.Literals", literals.length === 0 ? "[]" : Layout.list("[", literals, "]"))
  return values.includes(null) ? literals.length === 0 ? "Schema.Null" : call("Schema.NullOr", source) : source
}

/** Any number: an integer is one. */
const isNumber = (schema: JsonSchema): boolean => schema.type === "number" && Object.keys(schema).length === 1

const unionSource = (all: ReadonlyArray<JsonSchema>, names: Names): Layout.Layout => {
  const members = all.some(isNumber) ? all.filter((member) => member.type !== "integer" || isLarge(member)) : all
  const sources = members.filter(({ type }) => type !== "null").map((member) => schemaSource(member, names))
  const union = sources.length === 1 ? sources[0]! : call("Schema.Union", Layout.list("[", sources, "]"))
  return sources.length === members.length ? union : call("Schema.NullOr", union)
}

/** The source of one schema. */
export const schemaSource = (schema: JsonSchema, names: Names): Layout.Layout => {
  if (schema.$ref !== undefined) {
    const name = names.of.get(nameOf(schema.$ref)) ?? "Schema.Unknown"
    return names.later.has(nameOf(schema.$ref)) ? `Schema.suspend((): Schema.Codec<${name}> => ${name})` : name
  }
  if (schema.enum !== undefined) return enumSource(schema.enum)
  if (schema.anyOf !== undefined) return unionSource(schema.anyOf, names)
  switch (schema.type) {
    case "null":
      return "Schema.Null"
    case "boolean":
      return "Schema.Boolean"
    case "integer":
      return isLarge(schema) ? "Schema.Union([Schema.Int, Schema.BigInt])" : checked("Schema.Int", checksOf(schema, numberChecks))
    case "number":
      return checked("Schema.Number", checksOf(schema, numberChecks))
    case "string":
      return string(schema)
    case "array":
      return array(schema, names)
    case "object":
      return objectSource(schema, names)
    default:
      return "Schema.Unknown"
  }
}
