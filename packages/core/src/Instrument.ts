/**
 * Declared metrics: what a package measures, said once beside what is measured, as data.
 *
 * **When to use**
 *
 * Declare a metric in the package's `XMetrics.ts` with {@link declare}. The series of a subject are begun with {@link series} in the scope that the
 * subject lives in, or one with {@link register}, and end with it: no series outlives what it is about. The reference,
 * the dashboards and the alerts are made from the declarations.
 *
 * **Details**
 *
 * Series are read, not written: whoever collects asks `read` in that moment, so that what is measured keeps a plain number of its own and
 * does not meet the collector. They are metrics of Effect, in the `Metric.MetricRegistry` of the context, and any exporter of Effect finds
 * them there.
 *
 * Names are those of OpenTelemetry, dotted and without a unit, and its semantic conventions where there is one for what is measured. Prometheus has
 * the same with underscores, the unit as a suffix and `_total` for a counter: {@link prometheusName}.
 *
 * **Gotchas**
 *
 * Labels must be few and bounded: a slot, never a pid; a declared tool, never what a caller wrote.
 *
 * **Example** (A queue that says how long it is)
 *
 * ```ts
 * import { Instrument } from "@snakepit/core"
 * import { Context } from "effect"
 *
 * const depth = Instrument.declare({
 *   name: "snakepit.pool.queue.depth",
 *   layer: "control",
 *   kind: "gauge",
 *   unit: "{call}",
 *   description: "calls that wait for a worker",
 *   labels: ["pool"]
 * })
 * const queue: Array<unknown> = []
 * const remove = Instrument.register(Context.empty(), depth, { pool: "default" }, () => queue.length)
 * Instrument.prometheusName(depth) // => "snakepit_pool_queue_depth"
 * remove()
 * ```
 *
 * @see https://opentelemetry.io/docs/specs/semconv/general/metrics/ for names and units
 * @see https://prometheus.io/docs/practices/naming/ for those of Prometheus
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { Layer } from "./Event.ts"

/** Of a histogram in seconds, from 100 µs to a minute; three a decade, so that an estimated quantile is off by a factor of 2.5 at most. */
export const secondsBoundaries: ReadonlyArray<number> = [
  ...[0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05],
  ...[0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60]
]

/** One declared metric. */
export interface Declaration<out L extends string = string> {
  readonly name: `${string}.${string}`
  readonly layer: Layer
  readonly kind: "counter" | "gauge" | "histogram"
  /** In UCUM: `s`, `By`, `1` for a ratio, `{call}` for a count of calls. */
  readonly unit: "s" | "By" | "1" | `{${string}}`
  /** What is measured, as a clause without a full stop. */
  readonly description: string
  readonly labels: ReadonlyArray<L>
  /** Every value that a label may have, where these are known beforehand; the others are as many as there are pools, slots, or tools. */
  readonly values?: { readonly [label: string]: ReadonlyArray<string> }
  /** Of a histogram: the upper bounds of its buckets, rising; what is above the last is in one of its own. */
  readonly boundaries?: ReadonlyArray<number>
}

/** Declares a metric. Throws a `RangeError` when a histogram has no boundaries, another kind has some, or values are given for what is no label. */
export const declare = <const L extends string>(declaration: Declaration<L>): Declaration<L> => {
  if ((declaration.kind === "histogram") !== (declaration.boundaries !== undefined)) {
    throw new RangeError(`${declaration.name}: boundaries are what a histogram has, and nothing else`)
  }
  const unknown = Object.keys(declaration.values ?? {}).find((label) => !declaration.labels.some((known) => known === label))
  if (unknown !== undefined) throw new RangeError(`${declaration.name}: ${unknown} has values and is no label`)
  return declaration
}

/** The value of each label. */
export type Labels<L extends string> = { readonly [K in L]: string }

const removed = ({ remove }: Metric.Registration): () => void => () => void remove()

/**
 * Begins a series of a counter or gauge, which is `read` when somebody collects. Returns what ends it. What is read must be finite, as JSON has no
 * other numbers; where there is nothing to read there is no series. A throw in it would lose the whole collection.
 */
export const register = <L extends string>(
  context: Context.Context<never>,
  { description, kind, name, unit }: Declaration<L>,
  labels: Labels<L>,
  read: () => number
): () => void => {
  const options = { description, attributes: { ...labels, unit } }
  const ignored = { update: () => {}, modify: () => {} }
  if (kind === "counter") {
    const metric = Metric.counter(name, { ...options, incremental: true })
    return removed(Metric.registerUnsafe(metric, context, { ...ignored, get: () => ({ count: read(), incremental: true }) }))
  }
  if (kind === "gauge") {
    return removed(Metric.registerUnsafe(Metric.gauge(name, options), context, { ...ignored, get: () => ({ value: read() }) }))
  }
  throw new RangeError(`${name} is a histogram: its series are begun with registerHistogram`)
}

/** Counts values by the buckets of a declaration. To record one is a search among some 20 numbers and three additions. */
export class Histogram {
  private readonly boundaries: ReadonlyArray<number>
  private readonly counts: Float64Array
  private count = 0
  private sum = 0
  private min = Infinity
  private max = -Infinity

  constructor({ boundaries = [] }: Declaration) {
    this.boundaries = boundaries
    this.counts = new Float64Array(boundaries.length + 1)
  }

  record(value: number): void {
    const { boundaries } = this
    let low = 0
    let high = boundaries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (value <= boundaries[middle]!) high = middle
      else low = middle + 1
    }
    this.counts[low]!++
    this.count++
    this.sum += value
    if (value < this.min) this.min = value
    if (value > this.max) this.max = value
  }

  /** As Effect has it: the buckets are cumulative. */
  get state(): Metric.HistogramState {
    let below = 0
    const buckets = this.boundaries.map((boundary, index): [number, number] => [boundary, below += this.counts[index]!])
    const { count, max, min, sum } = this
    return { buckets, count, min: count === 0 ? 0 : min, max: count === 0 ? 0 : max, sum }
  }
}

/** Begins a series of a histogram. Returns what ends it. */
export const registerHistogram = <L extends string>(
  context: Context.Context<never>,
  { boundaries = [], description, name, unit }: Declaration<L>,
  labels: Labels<L>,
  histogram: Histogram
): () => void => {
  const metric = Metric.histogram(name, { description, boundaries, attributes: { ...labels, unit } })
  return removed(
    Metric.registerUnsafe(metric, context, { update: () => {}, modify: () => {}, get: () => histogram.state })
  )
}

/** The series of one subject, which end together. */
export class Series {
  private readonly context: Context.Context<never>
  private readonly ends: Array<() => void> = []

  constructor(context: Context.Context<never>) {
    this.context = context
  }

  /** Begins one of a counter or gauge. What it reads must be finite: see {@link register}. */
  add<L extends string>(declaration: Declaration<L>, labels: Labels<L>, read: () => number): void {
    this.ends.push(register(this.context, declaration, labels, read))
  }

  /** Begins one of a histogram. */
  addHistogram<L extends string>(declaration: Declaration<L>, labels: Labels<L>, histogram: Histogram): void {
    this.ends.push(registerHistogram(this.context, declaration, labels, histogram))
  }

  /** Ends all of them. */
  end(): void {
    for (const end of this.ends.splice(0)) end()
  }
}

/** Series that end with the scope. */
export const series: Effect.Effect<Series, never, Scope.Scope> = Effect.acquireRelease(
  Effect.map(Effect.context<never>(), (context) => new Series(context)),
  (series) => Effect.sync(() => series.end())
)

/** The unit as a suffix; what is counted (`{call}`) is in the name already. */
const suffixes: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes", "1": "_ratio" }

/** The name of a metric for Prometheus, for `metricNameMapper` of Effect's `PrometheusMetrics`: {@link prometheusNames}. */
export const prometheusName = ({ kind, name, unit }: Declaration): string => {
  const base = name.replaceAll(/[^a-zA-Z0-9]+/g, "_")
  const suffix = kind === "counter" && unit === "1" ? "" : suffixes[unit] ?? ""
  return `${base}${base.endsWith(suffix) ? "" : suffix}${kind === "counter" ? "_total" : ""}`
}

/** The names of declared metrics for Prometheus, by their own; a name that is not declared stays as it is. */
export const prometheusNames = (declarations: ReadonlyArray<Declaration>): (name: string) => string => {
  const names = new Map<string, string>(declarations.map((declaration) => [declaration.name, prometheusName(declaration)]))
  return (name) => names.get(name) ?? name
}
