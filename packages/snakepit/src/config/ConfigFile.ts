/**
 * A configuration file as a layer: YAML, TOML or JSON by its ending, with the line of each key where the format's parser tells it.
 *
 * **Details**
 *
 * It has the same keys as the configuration in code. Values of the source text stand in no message: a file may hold secrets. Aliases of YAML are
 * refused: a few lines of them can come to gigabytes, or to a value that holds itself.
 */
import { ConfigInvalid, type ConfigLayer, type ConfigShape } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { extname } from "node:path"
import { parse as parseToml, TomlError } from "smol-toml"
import * as Yaml from "yaml"

/** 1 MiB: a thousand pools, and nothing that a mistake in the path would read for long. */
const mostBytes = 1 << 20

/** What a text says. */
interface Parsed {
  readonly value: unknown
  /** The line of a key, from 1. */
  readonly lineOf: (path: ConfigShape.Path) => number | undefined
}

/** Why a text says nothing. `line` and `column` count from 1. */
interface Fault {
  readonly detail: string
  readonly line?: number | undefined
  readonly column?: number | undefined
}

type Parse = (text: string) => Parsed | { readonly fault: Fault }

const noLines = (): undefined => undefined

/** Where and why a document of YAML is wrong; JSON is YAML. */
const yamlFault = (text: string, lines: Yaml.LineCounter, { code, message, pos: [at] }: Yaml.YAMLError): Fault => {
  const { col, line } = lines.linePos(at)
  const detail = code === "DUPLICATE_KEY" ? `${nameAt(text, at)} stands there twice` : message
  return { detail, line, column: col }
}

/** The key that begins here, in words. */
const nameAt = (text: string, at: number): string => `the key "${/^["']?([\w.-]*)/.exec(text.slice(at, at + 80))?.[1] ?? ""}"` // 80: no key is longer

const document = (text: string) => {
  const lines = new Yaml.LineCounter()
  return { lines, made: Yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true, uniqueKeys: true }) }
}

const lineIn = (made: Yaml.Document, lines: Yaml.LineCounter) => (path: ConfigShape.Path): number | undefined => {
  let node: unknown = made.contents
  let line: number | undefined
  for (const name of path) {
    const pair = Yaml.isMap(node) ? node.items.find(({ key }) => Yaml.isScalar(key) && String(key.value) === name) : undefined
    if (pair === undefined) return line
    const { range } = pair.key as Yaml.Scalar
    if (range) ({ line } = lines.linePos(range[0]))
    node = pair.value
  }
  return line
}

const yaml: Parse = (text) => {
  const { lines, made } = document(text)
  const [error] = made.errors
  if (error !== undefined) return { fault: yamlFault(text, lines, error) }
  try {
    return { value: made.toJS({ maxAliasCount: 0 }) ?? {}, lineOf: lineIn(made, lines) } // an empty file says nothing
  } catch {
    return { fault: { detail: "aliases (*name) are not taken: write the value out" } }
  }
}

const json: Parse = (text) => {
  try {
    const value: unknown = JSON.parse(text)
    const { lines, made } = document(text) // for what JSON.parse does not tell
    const twice = made.errors.find(({ code }) => code === "DUPLICATE_KEY")
    return twice === undefined ? { value, lineOf: lineIn(made, lines) } : { fault: yamlFault(text, lines, twice) }
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    const place = /\(line (\d+) column (\d+)\)/.exec(message)
    const [detail] = message.split(/, (?:\.\.\.)?"| in JSON| \(line/) as [string] // what follows quotes the file
    return { fault: { detail, ...place === null ? {} : { line: Number(place[1]), column: Number(place[2]) } } }
  }
}

const toml: Parse = (text) => {
  try {
    return { value: parseToml(text), lineOf: noLines }
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) return { fault: { detail: "the parser does not know what to make of it" } }
    const { column, line, message } = thrown
    const [first] = message.split("\n") as [string] // what follows quotes the file
    const name = /redefine/.test(first) ? /^\s*\[*([\w."-]+)/.exec(text.split("\n")[line - 1] ?? "")?.[1] : undefined
    const detail = first.replace("Invalid TOML document: ", "")
    return { fault: { detail: name === undefined ? detail : `the key "${name}" stands there twice: ${detail}`, line, column } }
  }
}

const formats: { readonly [ending: string]: { readonly name: string; readonly parse: Parse } } = {
  ".yaml": { name: "YAML", parse: yaml },
  ".yml": { name: "YAML", parse: yaml },
  ".toml": { name: "TOML", parse: toml },
  ".json": { name: "JSON", parse: json }
}

/** What stands in a file, or why that cannot be read. */
export const read = (file: string): Effect.Effect<Uint8Array, ConfigInvalid.ConfigInvalid, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const refused = (why: string) => ConfigInvalid.whole(file, why)
    const unreadable = (error: { readonly message: string; readonly reason: { readonly _tag: string } }) =>
      refused(
        error.reason._tag === "NotFound" ? "there is no such file. Make it, or leave configFile out" : `it cannot be read: ${error.message}`
      )
    const { size, type } = yield* Effect.mapError(files.stat(file), unreadable)
    if (type !== "File") return yield* refused(`it is no file but a ${type.toLowerCase()}`)
    if (size > mostBytes) return yield* refused(`it has ${size} bytes, and at most ${mostBytes} are read: is it the right one?`)
    return yield* Effect.mapError(files.readFile(file), unreadable)
  })

const textOf = (bytes: Uint8Array): string | undefined => {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** What is said there, as the layer of `file`. */
export const parse = (file: string, bytes: Uint8Array): Effect.Effect<ConfigLayer.ConfigLayer, ConfigInvalid.ConfigInvalid> =>
  Effect.suspend(() => {
    const text = textOf(bytes)
    if (text === undefined) return Effect.fail(ConfigInvalid.whole(file, "it is not written in UTF-8: save it in that encoding"))
    const format = formats[extname(file).toLowerCase()]
    if (format === undefined) {
      return Effect.fail(ConfigInvalid.whole(file, `a configuration file ends in ${Object.keys(formats).join(", ")}`))
    }
    const parsed = format.parse(text)
    if ("fault" in parsed) {
      const { column, detail, line } = parsed.fault
      const where = line === undefined ? "" : `, line ${line}${column === undefined ? "" : `, column ${column}`}`
      return Effect.fail(ConfigInvalid.whole(`${file}${where}`, `it is no ${format.name}: ${detail}`))
    }
    const { lineOf, value } = parsed
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return Effect.fail(ConfigInvalid.whole(file, "it is no list of keys: it begins with `pools:`, or another key of the configuration"))
    }
    return Effect.succeed({ value, sourceOf: (path) => ({ _tag: "File", file, line: lineOf(path) }) })
  })
