/**
 * What keys a configuration has, as its Schema says: a tree of sections, tables and single keys, each with when a change of it takes effect.
 *
 * ```text
 * Section   known keys                 heartbeat: { interval, timeout, maxMissed }
 * Table     keys that the user names   pools: { <name>: … }   python.env: { <name>: … }
 * Key       one value                  callTimeout            python.path (a list is one value)
 * ```
 */
import * as Equal from "effect/Equal"
import type * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import * as ReloadClass from "./ReloadClass.ts"

/** A key by the names on its way: `["pools", "default", "callTimeout"]`. */
export type Path = ReadonlyArray<string>

export type ConfigShape = Section | Table | Key

export interface Section {
  readonly _tag: "Section"
  readonly reload: ReloadClass.Reload
  readonly keys: ReadonlyMap<string, ConfigShape>
}

export interface Table {
  readonly _tag: "Table"
  readonly reload: ReloadClass.Reload
  readonly each: ConfigShape
}

export interface Key {
  readonly _tag: "Key"
  readonly reload: ReloadClass.Reload
  readonly ast: SchemaAST.AST
}

/** The shape of what a Schema describes. */
export const of = (schema: Schema.Top): ConfigShape => shapeOf(schema.ast, {})

const shapeOf = (ast: SchemaAST.AST, above: ReloadClass.Reload): ConfigShape => {
  const present = presentOf(ast)
  const reload: ReloadClass.Reload = {
    ...above,
    ...(ast.context?.annotations?.[ReloadClass.annotation] as ReloadClass.Reload | undefined),
    ...(present.annotations?.["expected"] === "Redacted" ? { secret: true } : {})
  }
  if (present._tag !== "Objects") return { _tag: "Key", reload, ast }
  const [table] = present.indexSignatures
  if (table !== undefined) return { _tag: "Table", reload, each: shapeOf(table.type, reload) }
  return {
    _tag: "Section",
    reload,
    keys: new Map(present.propertySignatures.map(({ name, type }) => [String(name), shapeOf(type, reload)]))
  }
}

/** What an optional value is when it is there. */
const presentOf = (ast: SchemaAST.AST): SchemaAST.AST => {
  if (ast._tag !== "Union") return ast
  const others = ast.types.filter(({ _tag }) => _tag !== "Undefined")
  return others.length === 1 ? others[0]! : ast
}

export const isObject = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value))

/** What stands below a name, if that may be anything. */
export const below = (shape: ConfigShape, name: string): ConfigShape | undefined =>
  shape._tag === "Section" ? shape.keys.get(name) : shape._tag === "Table" ? shape.each : undefined

/** The shape at a path; `undefined` where there is no such key. */
export const at = (shape: ConfigShape, path: Path): ConfigShape | undefined =>
  path.reduce<ConfigShape | undefined>((found, name) => found && below(found, name), shape)

/** Every key, with `*` for what the user names. */
export const keys = (shape: ConfigShape, path: Path = []): ReadonlyArray<readonly [Path, Key]> => {
  if (shape._tag === "Key") return [[path, shape]]
  if (shape._tag === "Table") return keys(shape.each, [...path, "*"])
  return [...shape.keys].flatMap(([name, child]) => keys(child, [...path, name]))
}

/** The keys that a value has, with what stands there. A table without entries has none. */
export const values = (shape: ConfigShape, value: unknown, path: Path = []): ReadonlyArray<readonly [Path, Key, unknown]> => {
  if (shape._tag === "Key") return value === undefined ? [] : [[path, shape, value]]
  if (!isObject(value)) return []
  const names = shape._tag === "Section" ? [...shape.keys.keys()] : Object.keys(value)
  return names.flatMap((name) => values(below(shape, name)!, value[name], [...path, name]))
}

/**
 * `base`, with the keys of these classes as `next` has them. Entries of a table of sections, such as pools, are those of `next`. What the shape
 * does not know stays as `base` has it.
 */
export const combine = (shape: ConfigShape, base: unknown, next: unknown, classes: ReadonlySet<ReloadClass.ReloadClass>): unknown => {
  const taken = () => classes.has(shape.reload.class ?? "roll") ? next : base
  if (shape._tag === "Key" || !isObject(base) || !isObject(next)) return taken()
  if (shape._tag === "Table") {
    if (shape.each._tag !== "Section") return taken()
    const { each } = shape
    return Object.fromEntries(
      Object.entries(next).map(([name, entry]) => [name, name in base ? combine(each, base[name], entry, classes) : entry])
    )
  }
  const made: Record<string, unknown> = { ...base }
  for (const [name, child] of shape.keys) {
    const value = combine(child, base[name], next[name], classes)
    if (value === undefined) delete made[name]
    else made[name] = value
  }
  return made
}

/** Whether two values of a key are the same. */
export const isSame = (one: unknown, other: unknown): boolean => Equal.equals(one, other)

/** A path as people write it: `pools.default.python.env."A.B"`. */
export const render = (path: Path): string => path.map((name) => /^[\w*-]+$/.test(name) ? name : JSON.stringify(name)).join(".")

/** The path that {@link render} writes so. */
export const parse = (text: string): Path =>
  [...text.matchAll(/"(?:[^"\\]|\\.)*"|[^.]+/g)].map(([name]) => name.startsWith("\"") ? JSON.parse(name) as string : name)
