/** The page of metrics, made from their declarations. */
import { type Event, Instrument } from "snakepit"

/** Layers from outside in, as the tree has them. */
const layers: ReadonlyArray<Event.Layer> = ["root", "foundation", "telemetry", "bridge", "control", "execution"]

const headings: Readonly<Record<Event.Layer, string>> = {
  root: "Root",
  foundation: "Foundation",
  telemetry: "The host, its supervisors, and telemetry itself",
  bridge: "Between host and workers, and the gateway",
  control: "Pools and calls",
  execution: "Workers"
}

const code = (text: string): string => `\`${text}\``

const labelOf = (label: string, values: ReadonlyArray<string> | undefined): string =>
  values === undefined || values.length > 12 ? code(label) : `${code(label)}: ${values.join(", ")}`

const row = (declaration: Instrument.Declaration): string => {
  const { boundaries, description, kind, labels, name, unit, values = {} } = declaration
  const buckets = boundaries === undefined ? "" : `. Buckets: ${boundaries.join(", ")}`
  const cells = [
    `${code(name)}<br>${code(Instrument.prometheusName(declaration))}`,
    kind,
    code(unit),
    labels.map((label) => labelOf(label, values[label])).join("; "),
    description + buckets
  ]
  return `| ${cells.join(" | ")} |`
}

export const metricsPage = (note: string, declarations: ReadonlyArray<Instrument.Declaration>): string =>
  [
    note,
    "",
    "# Metrics",
    "",
    "Everything that a Snakepit application measures. The first name is that of OpenTelemetry, the second that of Prometheus; units are UCUM. `pool`, `slot` and",
    "`tool` have as many values as there are pools, places for workers, and tools that workers announce (100 at most for each pool; calls of anything else are",
    "`other`); every other label has a closed set of values. No label is a pid, a session or a call. How to get at them: [metrics](../telemetry/metrics.md).",
    ...layers.flatMap((layer) => {
      const own = declarations.filter((declaration) => declaration.layer === layer)
      const table = ["| metric | kind | unit | labels | what |", "| --- | --- | --- | --- | --- |", ...own.map(row)]
      return own.length === 0 ? [] : ["", `## ${headings[layer]}`, "", ...table]
    }),
    ""
  ].join("\n")
