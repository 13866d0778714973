/** `docs/reference/configuration.md`: every key, as the Schemas have it, with what their sources say of it. */
import { ConfigLayer, ConfigPlan, ConfigShape } from "@snakepit/pool"
import { Schema, type SchemaAST } from "effect"
import { readFileSync } from "node:fs"
import { SnakepitConfig } from "snakepit"
import * as ConfigEnvironment from "snakepit/config/ConfigEnvironment"

/** The least that there may be, with everything that there may be. */
const least = {
  gateway: { listen: "unix:gateway.sock" },
  telemetry: { prometheus: {}, otlp: {} },
  pools: { "*": { python: { adapter: "tools" } } }
}

/** Where the keys below a path are declared. */
const sources = [
  { below: [], file: "packages/snakepit/src/SnakepitConfig.ts" },
  { below: ["pools", "*"], file: "packages/pool/src/PoolConfig.ts" },
  { below: ["pools", "*", "python"], file: "packages/bridge/src/PythonConfig.ts" },
  { below: ["gateway"], file: "packages/bridge/src/gateway/GatewayConfig.ts" },
  { below: ["telemetry"], file: "packages/telemetry/src/TelemetryConfig.ts" },
  { below: ["telemetry", "prometheus"], file: "packages/telemetry/src/export/PrometheusConfig.ts" },
  { below: ["telemetry", "otlp"], file: "packages/telemetry/src/export/OtlpConfig.ts" },
  { below: ["telemetry", "history"], file: "packages/telemetry/src/history/HistoryConfig.ts" }
]

/** What stands above each key in its source, and after it on its line. */
const docs = (at: (path: string) => string): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  for (const { below, file } of sources) {
    const open: Array<{ readonly indent: number; readonly name: string }> = []
    let comment: Array<string> = []
    for (const line of readFileSync(at(file), "utf8").split("\n")) {
      if (line.trim() === "*/") continue
      const text = /^\s*(?:\/\*\*|\*(?!\/))\s?(.*?)(?:\s*\*\/)?$/.exec(line)
      if (text !== null) {
        if (line.includes("/**")) comment = []
        if (text[1] !== "") comment.push(text[1]!)
        continue
      }
      const key = /^( +)(\w+): .*?(?:\/\/ (.*))?$/.exec(line)
      if (key !== null) {
        const [, space, name, trailing] = key as unknown as [string, string, string, string | undefined]
        while ((open.at(-1)?.indent ?? -1) >= space.length) open.pop()
        open.push({ indent: space.length, name })
        const path = ConfigShape.render([...below, ...open.map(({ name }) => name)])
        if (!found.has(path)) found.set(path, [...comment, ...trailing === undefined ? [] : [trailing]].join(" "))
      }
      if (line.trim() !== "") comment = []
    }
  }
  return found
}

/** What a key takes, in words. */
const typeOf = (ast: SchemaAST.AST): string => {
  switch (ast._tag) {
    case "Literal":
      return JSON.stringify(ast.literal)
    case "Union":
      return ast.types.filter(({ _tag }) => _tag !== "Undefined").map(typeOf).join(" or ")
    case "Arrays":
      return `list of ${ast.rest.map(typeOf).join(" or ")}`
    case "Boolean":
      return "true or false"
    case "Null":
      return "null"
    case "String":
      return "text"
    case "Number": {
      const checks = (ast.checks ?? []).map(({ annotations }) => String(annotations?.["expected"]))
      const bounds = checks.flatMap((check) => /between (-?\d+) and (\d+)/.exec(check)?.slice(1, 3) ?? [])
      return `whole number${
        bounds.length === 0 ? "" : `, ${bounds[0]} to ${bounds[1] === String(Number.MAX_SAFE_INTEGER) ? "any" : bounds[1]}`
      }`
    }
    default:
      return ast.annotations?.["expected"] === "Duration" ? "time, as \"2 seconds\"" : "text"
  }
}

const intro = `Every key of the configuration, the same in code, in a file (YAML, TOML, JSON) and in the environment. The later holds:
defaults, code, file, environment, patches at run time. See [Configuration](../configuration.md).

| class | a change of the key |
| --- | --- |
| live | is used from then on: by workers that run, and for calls that are made from then on |
| scale | adds or takes away workers or spares; those that stay are not touched |
| roll | is for new processes: the workers of the pool are replaced one by one, without losing a call |
| restart | is for the next start of the program: it is refused, or waits for that |

\`<name>\` is a name of your own: of a pool, of an environment variable.`

const heading = (path: ConfigShape.Path): string => {
  if (path[0] !== "pools") return path.length === 1 ? "The application" : `\`${path[0]}\``
  return path[2] === "python" ? "`pools.<name>.python`: its Python" : "`pools.<name>`: a pool"
}

/** The page. */
export const configurationPage = (note: string, at: (path: string) => string): string => {
  const shape = ConfigShape.of(SnakepitConfig.SnakepitConfig)
  const said = docs(at)
  const decoded = Schema.decodeUnknownSync(SnakepitConfig.SnakepitConfig)({ ...least, pools: { any: least.pools["*"] } })
  const lines = [note, "", "# Configuration keys", "", intro]
  let last = ""
  for (const [path, { ast, reload }] of ConfigShape.keys(shape)) {
    const title = heading(path)
    if (title !== last) lines.push("", `## ${title}`)
    last = title
    const named = ConfigShape.render(path).replaceAll("*", "<name>")
    const value = ConfigLayer.valueAt(decoded, path.map((name, index) => name === "*" && index === 1 ? "any" : name))
    const isGiven = ConfigLayer.valueAt(least, path) !== undefined
    const standard = isGiven ? "required" : value === undefined ? "none" : `\`${ConfigPlan.render(value)}\``
    const facts = [typeOf(ast), `default: ${standard}`, `**${reload.class ?? "?"}**`, ...reload.secret === true ? ["secret"] : []]
    const doc = said.get(ConfigShape.render(path.at(-1) === "*" ? path.slice(0, -1) : path)) ?? ""
    const because = reload.class === "restart" && reload.because !== undefined ? ` Takes a restart: ${reload.because}.` : ""
    lines.push("", `### \`${named}\``, "", `${facts.join(" · ")} · \`${ConfigEnvironment.variableOf(path)}\``)
    if (doc + because !== "") lines.push("", `${doc}${because}`.trim())
  }
  return [...lines, ""].join("\n")
}
