/** What is wrong with a configuration, key by key: what was said, where, and what there might have been. Secret values are not shown. */
import { NearNames } from "@snakepit/core"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as ConfigLayer from "./ConfigLayer.ts"
import * as ConfigShape from "./ConfigShape.ts"

/** One mistake. */
export const ConfigProblem = Schema.Struct({
  /** `pools.default.callTimeout`; empty when it concerns no key, as when a file cannot be read. */
  key: Schema.String,
  /** `snakepit.yaml, line 4`. */
  source: Schema.String,
  issue: Schema.String
})
export type ConfigProblem = typeof ConfigProblem.Type

/** So many mistakes are told; the first ones are those to mend. */
const mostTold = 20

/** The configuration is not valid, and nothing of it was applied. */
export class ConfigInvalid extends Schema.TaggedError<ConfigInvalid>()("ConfigInvalid", { problems: Schema.Array(ConfigProblem) }) {
  override get message(): string {
    const { problems } = this
    const told = problems.slice(0, mostTold).map(({ issue, key, source }) => `\n  ${key === "" ? source : `${key} (${source})`}: ${issue}`)
    const more = problems.length > mostTold ? `\n  and ${problems.length - mostTold} more` : ""
    return `the configuration is not valid, and nothing of it was applied:${told.join("")}${more}`
  }
}

/** One that concerns no key. */
export const whole = (source: string, issue: string): ConfigInvalid => new ConfigInvalid({ problems: [{ key: "", source, issue }] })

const format = SchemaIssue.makeFormatterStandardSchemaV1()

/** What a Schema has found, with where it was said. */
export const ofIssue = (
  issue: SchemaIssue.Issue,
  shape: ConfigShape.ConfigShape,
  layers: ReadonlyArray<ConfigLayer.ConfigLayer>
): ConfigInvalid => {
  const problems = new Map<string, ConfigProblem>()
  const input = ConfigLayer.merge(layers)
  for (const { message, path: given = [] } of format(issue).issues) {
    const path = given.map((part) => String(typeof part === "object" ? part.key : part))
    const key = ConfigShape.render(path)
    const before = problems.get(key)
    const said = unknownKey(shape, path) ?? `${lower(message)}${got(shape, path, ConfigLayer.valueAt(input, path))}`
    if (before?.issue === said) continue
    const source = ConfigLayer.describe(ConfigLayer.sourceOf(layers, path))
    problems.set(key, { key, source, issue: before === undefined ? said : `${before.issue}; ${said}` })
  }
  return new ConfigInvalid({ problems: [...problems.values()] })
}

/** 80 letters: enough to recognize what one has written. */
const mostShown = 80

/** What was said, when it is one plain value that is no secret. */
const got = (shape: ConfigShape.ConfigShape, path: ConfigShape.Path, value: unknown): string => {
  const key = ConfigShape.at(shape, path)
  if (key?._tag !== "Key" || key.reload.secret === true || value === undefined || typeof value === "object") return ""
  const text = typeof value === "number" ? String(value) : JSON.stringify(value) // which has no infinite number
  return `, and it is ${text.length > mostShown ? `${text.slice(0, mostShown)}…` : text}`
}

const lower = (message: string): string => `${message.charAt(0).toLowerCase()}${message.slice(1)}`

/** What to say of a key that there is not; `undefined` when there is. */
const unknownKey = (shape: ConfigShape.ConfigShape, path: ConfigShape.Path): string | undefined => {
  for (let length = 1; length <= path.length; length++) {
    const above = ConfigShape.at(shape, path.slice(0, length - 1))
    if (above?._tag !== "Section" || above.keys.has(path[length - 1]!)) continue
    return noSuchKey(path[length - 1]!, [...above.keys.keys()])
  }
  return undefined
}

/** Says that there is no such key, and which there are. */
export const noSuchKey = (name: string, keys: ReadonlyArray<string>): string =>
  `there is no such key.${NearNames.hint(name, keys)} Here may be: ${keys.join(", ") || "none"}`
