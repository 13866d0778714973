/**
 * Environment variables as a layer: `SNAKEPIT__POOLS__DEFAULT__CALL_TIMEOUT="1 minute"` is `pools.default.callTimeout`.
 *
 * **Details**
 *
 * Two underscores separate; one stands where a key has a capital letter, a `-` or a `_`. The name of a pool that the layers below have is taken from
 * them; of another it is the name in small letters. What stands below `python.env` is a name of its own and taken as it is. A value is text where the
 * key takes text, and else JSON: `4`, `true`, `["src"]`.
 */
import { ConfigInvalid, ConfigLayer, ConfigShape } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

const prefix = "SNAKEPIT__"

/** The name of the variable of a key, with `*` for what the user names. */
export const variableOf = (path: ConfigShape.Path): string =>
  `${prefix}${path.map((name) => name === "*" ? "<NAME>" : name.replace(/([A-Z])/g, "_$1").replaceAll("-", "_").toUpperCase()).join("__")}`

const plain = (name: string): string => name.replace(/[_-]/g, "").toLowerCase()

type Problem = ConfigInvalid.ConfigProblem

/** The layer of the variables in `environment`; `below` is what the layers below it say. */
export const layer = (
  shape: ConfigShape.ConfigShape,
  environment: { readonly [name: string]: string | undefined },
  below: unknown
): Effect.Effect<ConfigLayer.ConfigLayer, ConfigInvalid.ConfigInvalid> =>
  Effect.suspend(() => {
    const problems: Array<Problem> = []
    const variables = new Map<string, string>()
    let value: unknown = {}
    for (const [variable, text] of Object.entries(environment)) {
      if (!variable.startsWith(prefix) || text === undefined) continue
      const found = pathOf(shape, variable.slice(prefix.length).split("__"), below)
      const source = `environment, ${variable}`
      if ("issue" in found) {
        problems.push({ key: ConfigShape.render(found.path), source, issue: found.issue })
        continue
      }
      const { key, path } = found
      variables.set(ConfigShape.render(path), variable)
      const said = path.reduceRight<unknown>((inner, name) => Object.fromEntries([[name, inner]]), valueOf(key, text))
      value = ConfigLayer.merge([ConfigLayer.code(value), ConfigLayer.code(said)])
    }
    if (problems.length > 0) return Effect.fail(new ConfigInvalid.ConfigInvalid({ problems }))
    return Effect.succeed({
      value,
      sourceOf: (path) => {
        const name = ConfigShape.render(path)
        const variable = variables.get(name) ?? [...variables].find(([key]) => key.startsWith(`${name}.`))?.[1] ?? prefix
        return { _tag: "Environment", variable }
      }
    })
  })

type Found =
  | { readonly path: ConfigShape.Path; readonly key: ConfigShape.Key }
  | { readonly path: ConfigShape.Path; readonly issue: string }

/** The key that is meant. */
const pathOf = (shape: ConfigShape.ConfigShape, words: ReadonlyArray<string>, below: unknown): Found => {
  const path: Array<string> = []
  let at = shape
  for (const [index, word] of words.entries()) {
    if (at._tag === "Key") return { path: [...path, word], issue: `there is no such key: ${ConfigShape.render(path)} is one value` }
    if (at._tag === "Table" && at.each._tag === "Key") return { path: [...path, words.slice(index).join("__")], key: at.each }
    const present = ConfigLayer.valueAt(below, path)
    const names = at._tag === "Section" ? [...at.keys.keys()] : Object.keys(ConfigShape.isObject(present) ? present : {})
    const name = names.find((name) => plain(name) === plain(word)) ?? (at._tag === "Table" ? word.toLowerCase() : undefined)
    if (name === undefined) return { path: [...path, camel(word)], issue: ConfigInvalid.noSuchKey(camel(word), names) }
    path.push(name)
    at = ConfigShape.below(at, name)!
  }
  if (at._tag === "Key") return { path, key: at }
  return { path, issue: `it is a section: name one of its keys${at._tag === "Section" ? `, ${[...at.keys.keys()].join(", ")}` : ""}` }
}

/** `CALL_TIMEOUT` as a key would be written. */
const camel = (word: string): string => word.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())

/** Text where the key takes that, and else what the text says in JSON. */
const valueOf = ({ ast }: ConfigShape.Key, text: string): unknown => {
  if (Schema.is(Schema.make(SchemaAST.toEncoded(ast)))(text)) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
