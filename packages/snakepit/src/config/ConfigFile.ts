/**
 * A configuration file as a layer: YAML, TOML or JSON by its ending, with the line of each key where the format's parser tells it.
 *
 * **Details**
 *
 * It has the same keys as the configuration in code. Nothing of the source text but a key stands in a message: a file may hold secrets. Anchors and
 * aliases of YAML are refused: a few lines of them can come to gigabytes, or to a value that holds itself, and a password may begin with `&`. So is what
 * its parser only warns of, such as a tag that it does not know: it would take nothing for the value.
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

const unknown = "the parser does not know what to make of it"

/** What is wrong, without what stands there: the parser's own messages quote it. */
const reasons: { readonly [code in Exclude<Yaml.YAMLError["code"], "DUPLICATE_KEY">]: string } = {
  ALIAS_PROPS: "an alias has a tag or an anchor",
  BAD_ALIAS: "it is not how an alias or an anchor is written: what begins with * or & goes into quotes",
  BAD_COLLECTION_TYPE: "the tag is for another kind of value",
  BAD_DIRECTIVE: "it is no directive: what begins with % goes into quotes",
  BAD_DQ_ESCAPE: "there is no such escape in double quotes: write \\\\ for \\, or use single quotes",
  BAD_INDENT: "what belongs together is not indented alike",
  BAD_PROP_ORDER: "a tag or an anchor stands in the wrong place",
  BAD_SCALAR_START: "no value begins with this character: put it into quotes",
  BLOCK_AS_IMPLICIT_KEY: "keys or a list stand where one value belongs: a value with a colon goes into quotes",
  BLOCK_IN_FLOW: "within brackets stands what is taken only outside of them",
  IMPOSSIBLE: unknown,
  KEY_OVER_1024_CHARS: "a key has more than 1024 characters: is a colon missing?",
  MISSING_CHAR: "a character is missing: a quote, a bracket, a comma, a colon, or a space after it",
  MULTILINE_IMPLICIT_KEY: "a key goes over more than one line: is a colon or a quote missing?",
  MULTIPLE_ANCHORS: "a value has more than one anchor",
  MULTIPLE_DOCS: "there are multiple documents, and one is read",
  MULTIPLE_TAGS: "a value has more than one tag",
  NON_STRING_KEY: "a key is no text",
  RESOURCE_EXHAUSTION: "it is nested too deep",
  TAB_AS_INDENT: "a tab indents the line: use spaces",
  TAG_RESOLVE_FAILED: "there is no such tag, or not for this value: what begins with ! goes into quotes",
  UNEXPECTED_TOKEN: "it does not belong there: a value with characters that mean something in YAML goes into quotes"
}

/** Where and why a document of YAML is wrong; JSON is YAML. */
const yamlFault = (text: string, lines: Yaml.LineCounter, { code, pos: [at] }: Yaml.YAMLError): Fault => {
  const { col, line } = lines.linePos(at)
  return { detail: code === "DUPLICATE_KEY" ? `${nameAt(text, at)} stands there twice` : reasons[code], line, column: col }
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

/** The first anchor or alias. */
const anchored = (made: Yaml.Document): Yaml.Node | undefined => {
  let found: Yaml.Node | undefined
  Yaml.visit(made, {
    Node: (_, node) => {
      if (!Yaml.isAlias(node) && node.anchor === undefined) return undefined
      found = node
      return Yaml.visit.BREAK
    }
  })
  return found
}

const yaml: Parse = (text) => {
  try {
    const { lines, made } = document(text)
    const [fault] = [...made.errors, ...made.warnings]
    if (fault !== undefined) return { fault: yamlFault(text, lines, fault) }
    const node = anchored(made)
    if (node !== undefined) {
      const { line } = lines.linePos(node.range?.[0] ?? 0)
      return { fault: { detail: "anchors (&name) and aliases (*name) are not taken: write the value out, or put it into quotes", line } }
    }
    return { value: made.toJS() ?? {}, lineOf: lineIn(made, lines) } // an empty file says nothing
  } catch {
    return { fault: { detail: unknown } }
  }
}

const json: Parse = (text) => {
  try {
    const value: unknown = JSON.parse(text)
    const { lines, made } = document(text) // for what JSON.parse does not tell
    const twice = made.errors.find(({ code }) => code === "DUPLICATE_KEY")
    return twice === undefined ? { value, lineOf: lineIn(made, lines) } : { fault: yamlFault(text, lines, twice) }
  } catch (thrown) {
    if (!(thrown instanceof SyntaxError)) return { fault: { detail: unknown } }
    const { message } = thrown
    const place = /\(line (\d+) column (\d+)\)/.exec(message)
    const [said] = message.split(/ in JSON| \(line/) as [string]
    const detail = message.startsWith("Unexpected token") ? "something stands there that does not belong there" : said // it quotes the file
    return { fault: { detail, ...place === null ? {} : { line: Number(place[1]), column: Number(place[2]) } } }
  }
}

const toml: Parse = (text) => {
  try {
    return { value: parseToml(text), lineOf: noLines }
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) return { fault: { detail: unknown } }
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
