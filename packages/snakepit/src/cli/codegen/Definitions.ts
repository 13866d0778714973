/** The named types of a contract in the order in which a module can declare them. Pure. */
import type { JsonSchema } from "./Description.ts"

export interface Definition {
  readonly name: string
  readonly schema: JsonSchema
  /** The types that it contains and that contain it, itself included: those are not declared yet where it is. */
  readonly circle: ReadonlySet<string>
}

/** The name in `#/$defs/<name>`. */
export const nameOf = ($ref: string): string => $ref.slice("#/$defs/".length)

/** The names that a schema refers to. */
const references = (schema: JsonSchema): ReadonlyArray<string> => [
  ...schema.$ref === undefined ? [] : [nameOf(schema.$ref)],
  ...[
    ...schema.anyOf ?? [],
    ...schema.prefixItems ?? [],
    ...Object.values(schema.properties ?? {}),
    ...schema.items ? [schema.items] : [],
    ...schema.additionalProperties ? [schema.additionalProperties] : []
  ].flatMap(references)
]

/** What is contained stands before what contains it; otherwise by name. */
export const inOrder = (definitions: { readonly [name: string]: JsonSchema }): ReadonlyArray<Definition> => {
  const names = Object.keys(definitions).toSorted()
  const direct = new Map(names.map((name) => [name, references(definitions[name]!)]))
  const reach = new Map(names.map((name) => [name, reachable(name, direct)]))
  const declared = new Set<string>()
  const order: Array<Definition> = []
  const declare = (name: string): void => {
    if (declared.has(name)) return
    declared.add(name)
    for (const next of (direct.get(name) ?? []).toSorted()) declare(next)
    const circle = new Set(names.filter((other) => reach.get(name)!.has(other) && reach.get(other)!.has(name)))
    order.push({ name, schema: definitions[name]!, circle })
  }
  for (const name of names) declare(name)
  return order
}

const reachable = (from: string, direct: ReadonlyMap<string, ReadonlyArray<string>>): ReadonlySet<string> => {
  const found = new Set<string>()
  const visit = (name: string): void => {
    for (const next of direct.get(name) ?? []) {
      if (found.has(next)) continue
      found.add(next)
      visit(next)
    }
  }
  visit(from)
  return found
}
