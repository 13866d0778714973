/** The module of a contract, from the description of its adapter. The same description gives the same text. Pure. */
import * as Definitions from "./Definitions.ts"
import type { Description, ToolDescription } from "./Description.ts"
import * as Layout from "./Layout.ts"
import * as Naming from "./Names.ts"
import { fieldsSource, type Names, schemaSource } from "./SchemaSource.ts"
import * as TypeSource from "./TypeSource.ts"

const none: ReadonlySet<string> = new Set()

/** A duration as people write it. */
const duration = (millis: number): string => {
  const [unit, name] = millis % 60_000 === 0
    ? [60_000, "minute"] as const
    : millis % 1000 === 0
    ? [1000, "second"] as const
    : [1, "milli"] as const
  return JSON.stringify(`${millis / unit} ${name}${millis === unit ? "" : "s"}`)
}

const annotationsOf = ({ contract, facts }: ToolDescription): ReadonlyArray<Layout.Layout> => [
  ...facts.idempotent ? ["Tool.Idempotent, true"] : [],
  ...facts.deterministic ? ["Tool.Deterministic, true"] : [],
  ...facts.blocking ? ["Tool.Blocking, true"] : [],
  ...facts.timeout_ms === undefined ? [] : [`Tool.CallTimeout, ${duration(facts.timeout_ms)}`],
  ...facts.hard_limit_ms === undefined ? [] : [`Tool.HardLimit, ${duration(facts.hard_limit_ms)}`],
  [
    "Tool.Contract, ",
    Layout.object(Object.entries(contract).map(([name, hash]) => ({ name, layout: JSON.stringify(hash) })))
  ]
]

const payloadOf = ({ arguments: given }: ToolDescription, names: Names): Layout.Layout | undefined => {
  // the pool takes a stream of inputs out of the fields of a struct: there further keywords are left out
  const streams = Object.values(given.properties ?? {}).some(({ format }) => format === "stream")
  if (given.additionalProperties && !streams) return schemaSource(given, names)
  return Object.keys(given.properties ?? {}).length === 0 ? undefined : fieldsSource(given, names)
}

const procedure = (tool: ToolDescription, names: Names): Layout.Item => {
  const payload = payloadOf(tool, names)
  const isVoid = !tool.streams && tool.result.type === "null"
  const options = [
    ...payload === undefined ? [] : [{ name: "payload", layout: payload }],
    ...isVoid ? [] : [{ name: "success", layout: schemaSource(tool.result, names) }],
    ...tool.streams ? [{ name: "stream", layout: "true" }] : []
  ]
  const name = JSON.stringify(tool.name)
  return {
    comment: tool.description === "" ? undefined : Layout.comment(tool.description),
    layout: [
      `Rpc.make(${name}`,
      ...options.length === 0 ? [")"] : [", ", Layout.object(options), ")"]
    ],
    calls: annotationsOf(tool).map((annotation) => [".annotate(", annotation, ")"])
  }
}

const typeOf = ({ circle, name, schema }: Definitions.Definition, names: ReadonlyMap<string, string>): string => {
  const own = names.get(name) ?? name
  const doc = schema.description === undefined ? "" : `${Layout.comment(schema.description)}\n`
  const source = schemaSource(schema, { of: names, later: circle })
  return circle.size === 0
    ? `${doc}${Layout.render([`export const ${own} = `, source])}\nexport type ${own} = typeof ${own}.Type\n`
    : `${doc}${TypeSource.declaration(own, schema, names)}\n${Layout.render([`export const ${own}: Schema.Codec<${own}> = `, source])}\n`
}

/** `renew`: the command that makes it anew. */
export const contractSource = (description: Description, renew: string): string => {
  const { $defs, adapter, tools } = description
  const name = Naming.ofContract(adapter)
  const names = Naming.ofTypes(Object.keys($defs), name)
  const types = Definitions.inOrder($defs).map((definition) => typeOf(definition, names))
  const group: Layout.List = {
    open: "RpcGroup.make(",
    items: tools.map((tool) => procedure(tool, { of: names, later: none })),
    close: ")"
  }
  const body = [
    ...types,
    `export class ${name} extends ${Layout.broken(group)} {}\n`
  ].join("\n")
  return `/**
 * The tools of the Python adapter \`${adapter}\`, made from its annotations by \`snakepit codegen\`. Edit those, and renew this file:
 *
 *     ${renew}
 */
${body.includes("Schema.") ? "import { Schema } from \"effect\"\n" : ""}import { Rpc, RpcGroup } from "effect/rpc"
import { ${body.includes("NdArray.") ? "NdArray, " : ""}Tool } from "snakepit"

${body}`
}
