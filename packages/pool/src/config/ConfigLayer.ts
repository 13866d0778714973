/**
 * Where a configuration comes from: layers, each over those before it, and of every key which of them has said it.
 *
 * ```text
 *  the Schema's defaults  <  code  <  file  <  environment  <  patches at run time
 * ```
 *
 * **Details**
 *
 * Sections are merged, all else is replaced: a list is one value. A patch follows RFC 7386: `null` takes back what patches before it have said of
 * the key, or of all keys of a section. So a patch cannot say `null` itself, as `python.env` may.
 */
import * as ConfigShape from "./ConfigShape.ts"

/** Who has said a key. */
export type Source =
  | { readonly _tag: "Default" }
  | { readonly _tag: "Code" }
  /** Lines count from 1; `undefined` where the format's parser tells none. */
  | { readonly _tag: "File"; readonly file: string; readonly line: number | undefined }
  | { readonly _tag: "Environment"; readonly variable: string }
  | { readonly _tag: "Patch" }

/** What one source says. */
export interface ConfigLayer {
  readonly value: unknown
  /** Where in the source it says so. */
  readonly sourceOf: (path: ConfigShape.Path) => Source
}

/** A source in words: `snakepit.yaml, line 4`. */
export const describe = (source: Source): string => {
  switch (source._tag) {
    case "Default":
      return "default"
    case "Code":
      return "code"
    case "File":
      return source.line === undefined ? source.file : `${source.file}, line ${source.line}`
    case "Environment":
      return `environment, ${source.variable}`
    case "Patch":
      return "patch at run time"
  }
}

/** What a program says in its code. */
export const code = (value: unknown): ConfigLayer => ({ value, sourceOf: () => ({ _tag: "Code" }) })

/** What was said at run time. */
export const patch = (value: unknown): ConfigLayer => ({ value, sourceOf: () => ({ _tag: "Patch" }) })

/** `upper` over `lower`. */
const over = (lower: unknown, upper: unknown): unknown => {
  if (upper === undefined) return lower
  if (!ConfigShape.isObject(lower) || !ConfigShape.isObject(upper)) return upper
  const names = new Set([...Object.keys(lower), ...Object.keys(upper)])
  return Object.fromEntries([...names].map((name) => [name, over(own(lower, name), own(upper, name))]))
}

const own = (value: { readonly [key: string]: unknown }, name: string): unknown => Object.hasOwn(value, name) ? value[name] : undefined

/** All layers as one, the last over the others. */
export const merge = (layers: ReadonlyArray<ConfigLayer>): unknown => layers.reduce<unknown>((lower, { value }) => over(lower, value), {})

/** What stands at a path; `undefined` where nothing does. */
export const valueAt = (value: unknown, path: ConfigShape.Path): unknown =>
  path.reduce<unknown>((found, name) => ConfigShape.isObject(found) ? own(found, name) : undefined, value)

/** Who has said what stands at a path, or next above it. */
export const sourceOf = (layers: ReadonlyArray<ConfigLayer>, path: ConfigShape.Path): Source => {
  for (let length = path.length; length > 0; length--) {
    const part = path.slice(0, length)
    const layer = layers.findLast(({ value }) => valueAt(value, part) !== undefined)
    if (layer !== undefined) return layer.sourceOf(part)
  }
  return { _tag: "Default" }
}

/** Who has said each key of a decoded configuration, by the key's path in words. */
export const provenance = (
  shape: ConfigShape.ConfigShape,
  layers: ReadonlyArray<ConfigLayer>,
  decoded: unknown
): ReadonlyMap<string, Source> =>
  new Map(
    ConfigShape.values(shape, decoded).map(([path]) => {
      const layer = layers.findLast(({ value }) => valueAt(value, path) !== undefined)
      return [ConfigShape.render(path), layer === undefined ? { _tag: "Default" } : layer.sourceOf(path)]
    })
  )

/** `patch` upon what was patched before. */
export const patched = (before: unknown, patch: unknown): unknown => {
  if (!ConfigShape.isObject(patch)) return patch
  const made = new Map(Object.entries(ConfigShape.isObject(before) ? before : {}))
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) made.delete(name)
    else if (value !== undefined) made.set(name, patched(made.get(name), value))
  }
  return Object.fromEntries(made)
}
