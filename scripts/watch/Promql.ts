/** Queries in PromQL: made from declared metrics, and taken apart again to see which they name. */
import { Instrument } from "@snakepit/core"

/** Of a label: its value, or with `=~`, `!=` and the like in front, what it must fit. */
export type Matchers = Readonly<Record<string, string>>

/** A label as Prometheus names it. */
export const labelOf = (label: string): string => label.replaceAll(/[^a-zA-Z0-9_]+/g, "_")

const matcher = ([label, value]: [string, string]): string => {
  const [, operator = "=", text] = /^(=~|!=|!~)?(.*)$/.exec(value)!
  return `${labelOf(label)}${operator}"${text}"`
}

const braces = (matchers: Matchers): string =>
  Object.keys(matchers).length === 0 ? "" : `{${Object.entries(matchers).map(matcher).join(",")}}`

/** The series of a metric. Throws a `RangeError` for a label that it does not have. */
export const series = (
  declaration: Instrument.Declaration,
  matchers: Matchers = {},
  part: "" | "_bucket" | "_sum" | "_count" = ""
): string => {
  const unknown = Object.keys(matchers).find((label) => label !== "instance" && !declaration.labels.includes(label))
  if (unknown !== undefined) throw new RangeError(`${declaration.name} has no label ${unknown}`)
  return `${Instrument.prometheusName(declaration)}${part}${braces(matchers)}`
}

/** What a query names. */
export interface Named {
  readonly metric: string
  readonly labels: ReadonlyArray<string>
}

const keywords = new Set(["by", "without", "on", "ignoring", "group_left", "group_right", "offset", "unless", "or", "and", "bool"])

/** The metrics that a query names, each with the labels that it is selected by; `grouping`: the labels of all `by (…)` and `on (…)`. */
export const named = (query: string): { readonly metrics: ReadonlyArray<Named>; readonly grouping: ReadonlyArray<string> } => {
  const bare = query.replaceAll(/"(?:[^"\\]|\\.)*"/g, "\"\"").replaceAll(/\[[^\]]*\]/g, "")
  const grouping: Array<string> = []
  const rest = bare.replaceAll(/\b(?:by|on|without|ignoring)\s*\(([^)]*)\)/g, (_, labels: string) => {
    grouping.push(...labels.split(",").map((label) => label.trim()).filter((label) => label !== ""))
    return " "
  })
  const metrics: Array<Named> = []
  for (const [, metric, after, labels = ""] of rest.matchAll(/(?<![\w$.])([a-zA-Z_:][\w:]*)\s*(\(|\{([^}]*)\})?/g)) {
    if (after === "(" || keywords.has(metric!)) continue
    metrics.push({ metric: metric!, labels: [...labels.matchAll(/(\w+)\s*(?:=~|!=|!~|=)/g)].map(([, label]) => label!) })
  }
  return { metrics, grouping }
}

/** What is wrong with a query: a metric or a label that nobody declares. Empty when nothing is. */
export const undeclared = (query: string, declarations: ReadonlyArray<Instrument.Declaration>): ReadonlyArray<string> => {
  const known = new Map(declarations.flatMap((declaration): ReadonlyArray<readonly [string, ReadonlyArray<string>]> => {
    const name = Instrument.prometheusName(declaration)
    const labels = ["instance", ...declaration.labels.map(labelOf)]
    return declaration.kind === "histogram"
      ? [[`${name}_bucket`, [...labels, "le"]], [`${name}_sum`, labels], [`${name}_count`, labels]]
      : [[name, labels]]
  }))
  const { grouping, metrics } = named(query)
  if (metrics.length === 0) return [`${query} names no metric`]
  const wrong = metrics.flatMap(({ labels, metric }) => {
    const has = known.get(metric)
    return has === undefined
      ? [`nobody declares ${metric}`]
      : labels.filter((label) => !has.includes(label)).map((label) => `${metric} has no label ${label}`)
  })
  const all = new Set(metrics.flatMap(({ metric }) => known.get(metric) ?? []))
  return [...wrong, ...grouping.filter((label) => !all.has(label)).map((label) => `no metric of ${query} has the label ${label}`)]
}
