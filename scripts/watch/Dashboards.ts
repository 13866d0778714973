/**
 * `dashboards/*.json` for Grafana. One is drawn by hand, the overview; the others have a panel for every metric of their part, so that what is declared is
 * there. The legend of `supervision` is made from the contracts.
 */
import { Contract, type Instrument } from "@snakepit/core"
import { PoolMetrics } from "@snakepit/pool"
import { HostMetrics, SupervisorMetrics } from "@snakepit/telemetry"
import { labelOf, type Matchers, series } from "./Promql.ts"

interface Target {
  readonly expr: string
  readonly legend: string
}

interface Panel {
  readonly title: string
  readonly description: string
  readonly unit: string
  readonly targets: ReadonlyArray<Target>
}

interface Row {
  readonly title: string
  readonly panels: ReadonlyArray<Panel>
}

export interface Dashboard {
  readonly name: string
  readonly title: string
  readonly description: string
  /** A text in Markdown above the panels. */
  readonly legend?: string
  readonly rows: ReadonlyArray<Row>
}

/** Grafana's names of units. */
const units: Readonly<Record<string, string>> = { s: "s", By: "bytes", "1": "percentunit" }
const unitOf = ({ kind, unit }: Instrument.Declaration): string =>
  kind !== "counter" ? units[unit] ?? "short" : unit === "By" ? "Bps" : unit === "s" ? "percentunit" : "ops"

/** What the variables at the top choose. */
const chosen = ({ labels }: Instrument.Declaration): Matchers => ({
  instance: "=~$instance",
  ...(labels.includes("pool") ? { pool: "=~$pool" } : {})
})

/** Supervisors above the pools are of none. */
const chosenSupervisors = (): Matchers => ({ instance: "=~$instance", pool: "=~($pool)?" })

const choose = (declaration: Instrument.Declaration, more: Matchers = {}): Matchers => ({
  ...(declaration.labels.includes("supervisor") && declaration.labels.includes("pool") ? chosenSupervisors() : chosen(declaration)),
  ...more
})

/** Of several series with the same labels, from several instances: ratios and ages are not added. */
const together = ({ name, unit, kind }: Instrument.Declaration): string =>
  kind === "counter" ? "sum" : unit === "1" ? name.endsWith(".left") ? "min" : "max" : unit === "s" ? "max" : "sum"

const legend = (labels: ReadonlyArray<string>): string => labels.map((label) => `{{${labelOf(label)}}}`).join(" ") || "{{instance}}"

/** A metric by its labels. What has a slot is shown of the ten highest: nobody reads 64 curves. */
const curve = (
  declaration: Instrument.Declaration,
  by: ReadonlyArray<string> = declaration.labels,
  more: Matchers = {}
): ReadonlyArray<Target> => {
  const labels = by.length === 0 ? ["instance"] : by.map(labelOf)
  const matchers = choose(declaration, more)
  if (declaration.kind === "histogram") {
    const rate = `sum by (${[...labels, "le"].join(", ")}) (rate(${series(declaration, matchers, "_bucket")}[$__rate_interval]))`
    return [0.5, 0.99].map((quantile) => ({
      expr: `histogram_quantile(${quantile}, ${rate})`,
      legend: `${legend(by)} p${quantile * 100}`
    }))
  }
  const all = series(declaration, matchers)
  const value = declaration.kind === "counter" ? `rate(${all}[$__rate_interval])` : all
  const expr = `${together(declaration)} by (${labels.join(", ")}) (${value})`
  return [{ expr: by.includes("slot") ? `topk(10, ${expr})` : expr, legend: legend(by) }]
}

const sentence = (clause: string): string => `${clause.charAt(0).toUpperCase()}${clause.slice(1)}.`

/** `Pool queue depth` of `snakepit.pool.queue.depth`. */
const titleOf = ({ name }: Instrument.Declaration): string => {
  const words = name.replace(/^snakepit\./, "").replaceAll(/[._]/g, " ")
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`
}

const panel = (declaration: Instrument.Declaration, title = titleOf(declaration), targets = curve(declaration)): Panel => ({
  title,
  description: sentence(declaration.description),
  unit: unitOf(declaration),
  targets
})

const ratio = (above: string, below: string): string => `${above} / ${below}`
const perSecond = (declaration: Instrument.Declaration, by: string, more: Matchers = {}): string =>
  `sum by (${by}) (rate(${series(declaration, choose(declaration, more))}[$__rate_interval]))`

const overview: Dashboard = {
  name: "overview",
  title: "Snakepit: overview",
  description: "Whether calls are answered, by whom, and what was decided when something failed.",
  rows: [
    {
      title: "Calls",
      panels: [
        panel(PoolMetrics.calls, "Calls per second, by outcome", curve(PoolMetrics.calls, ["pool", "outcome"])),
        {
          title: "Share of calls that were not answered",
          description: "Calls whose outcome was not ok, among those that are over; what callers have cancelled is not counted.",
          unit: "percentunit",
          targets: [{
            expr: ratio(perSecond(PoolMetrics.calls, "pool", { outcome: "!~ok|cancelled" }), perSecond(PoolMetrics.calls, "pool")),
            legend: "{{pool}}"
          }]
        },
        panel(PoolMetrics.callDuration, "How long calls take", curve(PoolMetrics.callDuration, ["pool"])),
        panel(PoolMetrics.queueDepth, "Calls that wait"),
        panel(PoolMetrics.saturation, "How busy the workers are"),
        panel(PoolMetrics.workers, "Workers, by how they stand")
      ]
    },
    {
      title: "Decisions",
      panels: [
        panel(SupervisorMetrics.restarts, "Restarts per second, by supervisor", curve(SupervisorMetrics.restarts, ["supervisor", "pool"])),
        panel(SupervisorMetrics.budgetLeft, "Restart budgets that are left"),
        panel(SupervisorMetrics.giveUps, "Supervisors that gave up")
      ]
    },
    {
      title: "Host",
      panels: [
        panel(HostMetrics.memory, "Memory of the host"),
        panel(HostMetrics.cpu, "CPU of the host", curve(HostMetrics.cpu, [])),
        panel(HostMetrics.loopDelayP99, "How late its timers are")
      ]
    }
  ]
}

/** A panel for each, in rows of what their names begin with. */
const rowsOf = (declarations: ReadonlyArray<Instrument.Declaration>): ReadonlyArray<Row> => {
  const rows = new Map<string, Array<Instrument.Declaration>>()
  for (const declaration of declarations) {
    const [first = "", second = ""] = declaration.name.split(".")
    const title = first === "snakepit" ? second : first
    rows.set(title, [...rows.get(title) ?? [], declaration])
  }
  return [...rows].map(([title, declared]) => ({
    title: titleOf({ ...declared[0]!, name: `x.${title}` }).slice(2),
    panels: declared.map((one) => panel(one))
  }))
}

/** Who restarts whom, how often, and why, as the contracts promise it. */
const supervisors = (root: Contract.Contract): string => {
  const rows = Contract.flatten(root).map(({ contract, path }) => {
    const limit = contract.intensity === "unlimited"
      ? "never gives up"
      : `${contract.intensity.maxRestarts} restarts in ${contract.intensity.withinMillis / 1000} s`
    return `| ${path} | ${contract.strategy} | ${limit} | ${contract.limitBecause} |`
  })
  return ["| supervisor | strategy | limit, by default | because |", "| --- | --- | --- | --- |", ...rows].join("\n")
}

/** All dashboards. */
export const dashboards = (root: Contract.Contract, declarations: ReadonlyArray<Instrument.Declaration>): ReadonlyArray<Dashboard> => {
  const of = (fits: (declaration: Instrument.Declaration) => boolean) => rowsOf(declarations.filter(fits))
  return [
    overview,
    {
      name: "pools",
      title: "Snakepit: pools",
      description: "For those whose calls they are: queues, calls, tools, sessions.",
      rows: of(({ layer }) => layer === "control")
    },
    {
      name: "workers",
      title: "Snakepit: workers",
      description: "Each worker's process, by its slot; the ten highest.",
      rows: of(({ layer }) => layer === "execution")
    },
    {
      name: "supervision",
      title: "Snakepit: supervision",
      description: "What supervisors decide, and what they may still decide before they give up.",
      legend: supervisors(root),
      rows: of((declaration) => SupervisorMetrics.declarations.includes(declaration))
    },
    {
      name: "host",
      title: "Snakepit: host",
      description: "The host's process, the way to its workers, and telemetry itself.",
      rows: of(({ layer, name }) => layer === "bridge" || (layer === "telemetry" && !name.startsWith("snakepit.supervisor.")))
    }
  ]
}

/** Every query of a dashboard. */
export const queries = ({ rows }: Dashboard): ReadonlyArray<string> =>
  rows.flatMap(({ panels }) => panels).flatMap(({ targets }) => targets).map(({ expr }) => expr)

// ── as Grafana has it ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const datasource = { type: "prometheus", uid: "${datasource}" }

/** Grafana divides the width by 24; three panels stand beside each other. */
const width = 8
const height = 8

const variable = (name: string, declaration: Instrument.Declaration) => ({
  name,
  type: "query",
  datasource,
  query: { query: `label_values(${series(declaration)}, ${name})`, refId: name },
  definition: `label_values(${series(declaration)}, ${name})`,
  refresh: 2,
  sort: 1,
  multi: true,
  includeAll: true,
  allValue: ".*",
  current: { text: "All", value: "$__all" }
})

/** The file of a dashboard. */
export const file = ({ description, legend, name, rows, title }: Dashboard): string => {
  const panels: Array<unknown> = []
  let y = 0
  const add = (made: Record<string, unknown>, x: number, w: number, h: number) =>
    panels.push({ id: panels.length + 1, gridPos: { x, y, w, h }, ...made })
  if (legend !== undefined) {
    add({ type: "text", title: "What each supervisor may do", options: { mode: "markdown", content: legend } }, 0, 24, height)
    y += height
  }
  for (const row of rows) {
    add({ type: "row", title: row.title, collapsed: false, panels: [] }, 0, 24, 1)
    y += 1
    for (const [index, { description, targets, title, unit }] of row.panels.entries()) {
      if (index > 0 && index % 3 === 0) y += height
      add(
        {
          type: "timeseries",
          title,
          description,
          datasource,
          fieldConfig: { defaults: { unit, min: 0, custom: { fillOpacity: 10, showPoints: "never" } }, overrides: [] },
          options: { legend: { displayMode: "list", placement: "bottom", showLegend: true }, tooltip: { mode: "multi", sort: "desc" } },
          targets: targets.map(({ expr, legend }, number) => ({
            refId: String.fromCodePoint(65 + number),
            datasource,
            expr,
            legendFormat: legend,
            range: true
          }))
        },
        index % 3 * width,
        width,
        height
      )
    }
    y += height
  }
  const dashboard = {
    uid: `snakepit-${name}`,
    title,
    description,
    tags: ["snakepit"],
    schemaVersion: 42,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: "10s",
    time: { from: "now-1h", to: "now" },
    links: [{ type: "dashboards", title: "Snakepit", tags: ["snakepit"], asDropdown: true, includeVars: true, keepTime: true }],
    templating: {
      list: [
        { name: "datasource", type: "datasource", query: "prometheus", label: "Prometheus", current: {}, refresh: 1 },
        variable("instance", HostMetrics.buildInfo),
        variable("pool", PoolMetrics.size)
      ]
    },
    annotations: { list: [] },
    panels
  }
  return `${JSON.stringify(dashboard, undefined, 2)}\n`
}
