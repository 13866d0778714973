/** JSON Schema of the wire as the source of a TypeScript type: for types that contain themselves, which no schema's type can be inferred of. Pure. */
import { nameOf } from "./Definitions.ts"
import type { JsonSchema } from "./Description.ts"
import * as Layout from "./Layout.ts"
import { isLarge } from "./SchemaSource.ts"

/** `interface Name { … }` where it is an object, else `type Name = …`. */
export const declaration = (name: string, schema: JsonSchema, names: ReadonlyMap<string, string>): string =>
  schema.properties === undefined
    ? `export type ${name} = ${typeSource(schema, names)}`
    : `export interface ${name} {\n${members(schema, names).map((member) => `  ${member}\n`).join("")}}`

const members = ({ properties = {}, required = [] }: JsonSchema, names: ReadonlyMap<string, string>): ReadonlyArray<string> =>
  Object.entries(properties).map(([name, property]) =>
    `readonly ${Layout.key(name)}${required.includes(name) ? "" : "?"}: ${typeSource(property, names)}`
  )

const union = (members: ReadonlyArray<string>): string => [...new Set(members)].join(" | ") || "never"

const string = ({ format }: JsonSchema): string => format === "bytes" ? "Uint8Array" : format === "date-time" ? "Date" : "string"

const array = ({ format, items, minItems = 0, prefixItems }: JsonSchema, names: ReadonlyMap<string, string>): string => {
  if (format === "ndarray") return "NdArray.NdArray"
  if (prefixItems === undefined) return `ReadonlyArray<${typeSource(items || {}, names)}>`
  return `readonly [${
    prefixItems.map((item, index) => {
      const source = typeSource(item, names)
      return index < minItems ? source : /^readonly | \| /.test(source) ? `(${source})?` : `${source}?`
    }).join(", ")
  }]`
}

/** The source of the type of what {@link SchemaSource.schemaSource} describes. */
export const typeSource = (schema: JsonSchema, names: ReadonlyMap<string, string>): string => {
  if (schema.$ref !== undefined) return names.get(nameOf(schema.$ref)) ?? "unknown"
  if (schema.enum !== undefined) return union(schema.enum.map((value) => JSON.stringify(value)))
  if (schema.anyOf !== undefined) return union(schema.anyOf.map((member) => typeSource(member, names)))
  switch (schema.type) {
    case "integer":
      return isLarge(schema) ? "number | bigint" : "number"
    case "null":
    case "boolean":
    case "number":
      return schema.type
    case "string":
      return string(schema)
    case "array":
      return array(schema, names)
    case "object":
      return schema.properties === undefined
        ? `{ readonly [name: string]: ${typeSource(schema.additionalProperties || {}, names)} }`
        : `{ ${members(schema, names).join("; ")} }`
    default:
      return "unknown"
  }
}
