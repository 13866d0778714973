/**
 * `dashboards/alerts.yml` and its page: alert rules for Prometheus, one group per layer. What a supervisor may do follows from its contract: one with a limit
 * can give up, one without goes on trying. The rest is about what is measured.
 */
import { BridgeMetrics } from "@snakepit/bridge"
import { Contract, type Event, type Instrument } from "@snakepit/core"
import { PoolMetrics } from "@snakepit/pool"
import { ExportMetrics, HostMetrics, SupervisorMetrics } from "@snakepit/telemetry"
import { stringify } from "yaml"
import { type Matchers, series } from "./Promql.ts"

/** `page`: somebody should look now, since calls fail or soon will. `ticket`: within a day. */
export type Severity = "page" | "ticket"

export interface Alert {
  readonly name: `Snakepit${string}`
  readonly layer: Event.Layer
  readonly severity: Severity
  readonly query: string
  /** How long it must hold. */
  readonly lasts?: string
  /** With `{{ $labels.pool }}` for what it is about. */
  readonly summary: string
  /** What it means. */
  readonly meaning: string
  /** What to do next. */
  readonly next: string
}

const layers: ReadonlyArray<Event.Layer> = ["root", "foundation", "telemetry", "bridge", "control", "execution"]

/**
 * A counter has risen by more than `than` within the window. `increase` does not see the first value of a series, and one that counts what is rare may begin
 * with 1: hence the series that was not there before.
 */
const rose = (counter: Instrument.Declaration, matchers: Matchers, window: string, than = 0): string => {
  const all = series(counter, matchers)
  return `increase(${all}[${window}]) > ${than} or (${all} unless ${all} offset ${window}) > ${than}`
}

const pascal = (kind: string): string => kind.replaceAll(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase())

/** `worker` of `snakepit.worker_supervisor.restart`. */
const kindOf = ({ events }: Contract.Contract): string => /^snakepit\.(\w+)_supervisor\./.exec(events[0]!)![1]!

const inPool = (kind: string): string => SupervisorMetrics.kindsOfPools.some((known) => known === kind) ? " of pool {{ $labels.pool }}" : ""

/** What must be known of a supervisor that gives up: for everybody below a pool, the pool goes on; what a pool or more loses, people notice. */
const gaveUp = (contract: Contract.Contract): Alert => {
  const kind = kindOf(contract)
  const grave = ["root", "foundation", "pool"].includes(kind)
  const { intensity, layer, limitBecause } = contract
  const limit = intensity === "unlimited" ? "" : `${intensity.maxRestarts} restarts in ${intensity.withinMillis / 1000} s by default`
  return {
    name: kind === "pool" ? "SnakepitPoolEscalated" : `Snakepit${pascal(kind)}GaveUp`,
    layer,
    severity: grave ? "page" : "ticket",
    query: rose(SupervisorMetrics.giveUps, { supervisor: kind }, "10m"),
    summary: `The ${kind} supervisor${inPool(kind)} gave up`,
    meaning: `Its limit was reached (${limit}, because ${limitBecause}), and the failure went to its parent.`,
    next: "Look at the incident: `snakepit incident <id>`, with the id of its give_up event; its cause is the first failure of the chain."
  }
}

/** More in so long than the capped backoff of a child that is simply down: 5 s, so some 120 in ten minutes, of which a few are already news. */
const keepsRestarting = (contract: Contract.Contract): Alert => {
  const kind = kindOf(contract)
  return {
    name: `Snakepit${pascal(kind)}KeepsRestarting`,
    layer: contract.layer,
    severity: kind === "pools" ? "page" : "ticket",
    query: rose(SupervisorMetrics.restarts, { supervisor: kind }, "10m", 5),
    summary: `A child of the ${kind} supervisor${inPool(kind)} is restarted again and again`,
    meaning: `It never gives up, because ${contract.limitBecause}: nobody else will say that something below it does not work.`,
    next: `Read the cause of the latest \`snakepit.${kind}_supervisor.restart\` event: it names the child, what is wrong, and what to do.`
  }
}

const supervisors = (root: Contract.Contract): ReadonlyArray<Alert> => {
  const all = new Map(Contract.flatten(root).map(({ contract }) => [kindOf(contract), contract]))
  return [...all.values()].map((contract) => contract.intensity === "unlimited" ? keepsRestarting(contract) : gaveUp(contract))
}

const wait = series(PoolMetrics.queueDepth)
const refused = `sum by (instance, pool) (rate(${series(PoolMetrics.calls, { outcome: "refused" })}[5m]))`
const over = `sum by (instance, pool) (rate(${series(PoolMetrics.calls)}[5m]))`
const serving = `sum by (instance, pool) (${series(PoolMetrics.workers, { state: "=~ready|busy" })})`
const here = series(HostMetrics.buildInfo)

const measured: ReadonlyArray<Alert> = [
  {
    name: "SnakepitGone",
    layer: "root",
    severity: "page",
    query: `max by (instance) (${here} offset 10m) unless max by (instance) (${here})`,
    lasts: "1m",
    summary: "{{ $labels.instance }} was there ten minutes ago and is not any more",
    meaning: "The application has ended (code 70: its root gave up), its host was killed, or its /metrics cannot be reached.",
    next:
      "Look at the exit code of the process: 70 is a root that gave up, and its last line says why. If it runs, look at telemetry.prometheus and the network."
  },
  {
    name: "SnakepitHostKeepsRestarting",
    layer: "root",
    severity: "page",
    query: `resets(${series(HostMetrics.uptime)}[15m]) >= 3`,
    summary: "{{ $labels.instance }} has started three times in a quarter of an hour",
    meaning: "Something outside starts the application again and again: its own limits, and what they protect, begin anew each time.",
    next: "Read what the last run said before its end; a telemetry.history that budgets are resumed from keeps limits across starts."
  },
  {
    name: "SnakepitEventLoopBlocked",
    layer: "root",
    severity: "ticket",
    query: `${series(HostMetrics.loopDelayP99)} > 0.5`,
    lasts: "5m",
    summary: "Timers of {{ $labels.instance }} are late by {{ $value | humanizeDuration }}",
    meaning: "The host computes instead of answering: heartbeats and limits are late, and every pool is slow.",
    next: "Move what computes in the host into a tool or a worker thread; a CPU profile of the host (node --cpu-prof) names it."
  },
  {
    name: "SnakepitEventsDropped",
    layer: "telemetry",
    severity: "ticket",
    query: rose(HostMetrics.eventsDropped, {}, "10m"),
    summary: "Events of {{ $labels.instance }} were lost before a handler of them, or the event log, took them in",
    meaning: "A handler is slower than what is told, or hangs; or the log's file cannot be written.",
    next:
      "The latest `snakepit.event_handler.drop` event names the handler. Where there is none it is the log: look at the disk of telemetry.eventLog."
  },
  {
    name: "SnakepitOtlpDropped",
    layer: "telemetry",
    severity: "ticket",
    query: rose(ExportMetrics.dropped, {}, "10m"),
    summary: "{{ $labels.signal }} did not reach the collector ({{ $labels.reason }})",
    meaning: "refused: the collector answers that it does not want them. full: it has been away so long that more waited than is kept.",
    next:
      "Read the latest `snakepit.otlp.drop` event: its status is the collector's answer. 401 and 403: telemetry.otlp.headers. 404: telemetry.otlp.url."
  },
  {
    name: "SnakepitReconnecting",
    layer: "bridge",
    severity: "ticket",
    query: rose(BridgeMetrics.reconnects, {}, "10m", 5),
    summary: "Streams to workers of pool {{ $labels.pool }} break while their processes live",
    meaning:
      "Calls survive it, and take longer. Sockets of this machine do not break by themselves: something closes them, or a process has no files left.",
    next: "Look at the cause in `snakepit.worker.detach` events, and at the open files of host and workers."
  },
  {
    name: "SnakepitPythonTelemetryDropped",
    layer: "bridge",
    severity: "ticket",
    query: rose(BridgeMetrics.recordsDropped, { reason: "!~tap|credit" }, "10m"), // those two are lost where a worker or its tap comes anew
    summary: "Events, spans or log lines of workers of pool {{ $labels.pool }} were left out ({{ $labels.reason }})",
    meaning:
      "Tools tell more than is taken in (queue, ingest), or what is not let in: names, keys and texts of a pool are bounded. No call is touched.",
    next: "docs/telemetry/from-python.md says for each reason what to do; `snakepit.python.drop` events name the worker."
  },
  {
    name: "SnakepitBudgetNearlySpent",
    layer: "control",
    severity: "ticket",
    // no `for`: budgets are spent and come back within ten to sixty seconds. What was spent is told for ten minutes instead
    query: `min_over_time(${series(SupervisorMetrics.budgetLeft)}[10m]) < 0.5`,
    summary:
      "The {{ $labels.supervisor }} supervisor {{ $labels.pool }} had only {{ $value | humanizePercentage }} of its restarts left within ten minutes",
    meaning:
      "A few more failures within its window, and it gives up, if it has not; what follows stands in docs/architecture/supervision.md.",
    next:
      "Find what fails before it does: the causes of its restart events. `snakepit intensity review` says whether the limit fits the load."
  },
  {
    name: "SnakepitPoolSaturated",
    layer: "control",
    severity: "ticket",
    query: `${series(PoolMetrics.saturation)} >= 1 and ${wait} > 0`,
    lasts: "10m",
    summary: "Every worker of pool {{ $labels.pool }} is busy, and calls wait",
    meaning: "More is asked for than the workers do; the queue grows until calls are refused.",
    next:
      "Raise pools.<name>.size (live), or let autoscale; if the tools have become slow, see which by snakepit_pool_call_duration_seconds."
  },
  {
    name: "SnakepitQueueNearlyFull",
    layer: "control",
    severity: "page",
    query: `${wait} / ${series(PoolMetrics.queueCapacity)} > 0.8`,
    lasts: "2m",
    summary: "The queue of pool {{ $labels.pool }} is {{ $value | humanizePercentage }} full",
    meaning: "The next calls will be refused with QueueFull.",
    next: "As with SnakepitPoolSaturated, now; or let callers ask for less."
  },
  {
    name: "SnakepitCallsRefused",
    layer: "control",
    severity: "page",
    query: `${refused} / ${over} > 0.05`,
    lasts: "5m",
    summary: "Pool {{ $labels.pool }} refuses {{ $value | humanizePercentage }} of its calls",
    meaning: "They were not run: its queue is full, it is down or drained, a circuit is open, or they are not what its tools take.",
    next: "snakepit_pool_failures_total says by which error; docs/failures.md says what each means."
  },
  {
    name: "SnakepitCallsLost",
    layer: "control",
    severity: "ticket",
    query: rose(PoolMetrics.calls, { outcome: "lost" }, "10m", 3),
    summary: "Calls of {{ $labels.tool }} in pool {{ $labels.pool }} were lost with their workers",
    meaning: "Workers die under this tool. Its callers were told WorkerCrashed, OutcomeUnknown or SessionLost.",
    next:
      "Look at `snakepit.process.exit` events of the pool: exitClass and output say how workers die. Declare idempotent what may be run twice."
  },
  {
    name: "SnakepitCallRanTwice",
    layer: "control",
    severity: "page",
    query: `${series(PoolMetrics.twice)} > 0`,
    summary: "A call of pool {{ $labels.pool }} that is not idempotent began twice",
    meaning: "Snakepit promises that this does not happen: it is a defect of it.",
    next: "Report it, with the event log of the time."
  },
  {
    name: "SnakepitPoolTooSmall",
    layer: "control",
    severity: "page",
    query: `${serving} / sum by (instance, pool) (${series(PoolMetrics.size)}) < 0.5`,
    lasts: "5m",
    summary: "Fewer than half the workers of pool {{ $labels.pool }} serve",
    meaning: "They do not come up, are avoided, or are being replaced all the time.",
    next: "snakepit_pool_workers by state says how they stand; `snakepit watch` shows why."
  },
  {
    name: "SnakepitCircuitOpen",
    layer: "control",
    severity: "ticket",
    query: `${series(PoolMetrics.circuits)} > 0`,
    lasts: "5m",
    summary: "Circuits of pool {{ $labels.pool }} stay open",
    meaning: "A tool, or the pool, has failed in a row: its calls are refused, but for one now and then that finds out.",
    next: "`snakepit.circuit.open` events name the tool and the error."
  },
  {
    name: "SnakepitCallsQuarantined",
    layer: "control",
    severity: "ticket",
    query: `${series(PoolMetrics.quarantined)} > 0`,
    summary: "Calls of pool {{ $labels.pool }} are refused because they have crashed workers",
    meaning: "The same arguments have ended several workers.",
    next: "`snakepit.call.quarantine` events name the tool; mend it, then release the calls or let their time pass."
  },
  {
    name: "SnakepitWorkerFlapping",
    layer: "execution",
    severity: "ticket",
    query: `changes(${series(PoolMetrics.generation)}[15m]) >= 3`,
    summary: "Worker {{ $labels.pool }}/{{ $labels.slot }} was replaced {{ $value }} times in a quarter of an hour",
    meaning: "It dies, hangs, or reaches its limits of memory or age soon after it has come up.",
    next:
      "`snakepit.process.exit` events of the slot say how it ended; planned ones come from pools.<name>.recycle, whose limits are then too low."
  },
  {
    name: "SnakepitWorkerUnreachable",
    layer: "execution",
    severity: "ticket",
    query: `${series(PoolMetrics.heartbeatAge)} > 60`,
    lasts: "1m",
    summary: "Worker {{ $labels.pool }}/{{ $labels.slot }} was last heard {{ $value | humanizeDuration }} ago",
    meaning: "It computes without ever answering (a tool that holds the GIL), is stopped, or hangs, and its watchdog has not ended it.",
    next:
      "The latest `snakepit.watchdog.verdict` event of the slot says what the kernel knows of it. Declare tools that are meant to do that `blocking`."
  },
  {
    name: "SnakepitHeartbeatsMissed",
    layer: "execution",
    severity: "ticket",
    query: rose(PoolMetrics.heartbeatMisses, {}, "10m", 20),
    summary: "Workers of pool {{ $labels.pool }} answer late, {{ $value | humanize }} times in ten minutes",
    meaning: "Tools hold the GIL for longer than heartbeat.timeout, or the machine has too little CPU.",
    next: "Compare with the CPU time of its workers; release the GIL in long tools, or raise heartbeat.timeout."
  }
]

/** Every alert, layer by layer. */
export const alerts = (root: Contract.Contract): ReadonlyArray<Alert> => {
  const all = [...supervisors(root), ...measured]
  return layers.flatMap((layer) => all.filter((alert) => alert.layer === layer))
}

/** Where its section stands. */
export const page = "docs/reference/alerts.md"

/** The rules, as Prometheus reads them. */
export const rules = (all: ReadonlyArray<Alert>): string =>
  "# Generated by `npm run gen` from the declared metrics and the contracts of the tree. Do not edit.\n" + stringify({
    groups: layers.map((layer) => ({
      name: `snakepit-${layer}`,
      rules: all.filter((alert) => alert.layer === layer).map(({ lasts, meaning, name, next, query, severity, summary }) => ({
        alert: name,
        expr: query,
        ...(lasts === undefined ? {} : { for: lasts }),
        labels: { severity, layer },
        annotations: { summary, description: meaning, next_step: next, docs: `${page}#${name.toLowerCase()}` }
      }))
    }))
  }, { lineWidth: 0 })

/** The page, with a section for each. */
export const alertsPage = (note: string, all: ReadonlyArray<Alert>): string =>
  [
    note,
    "",
    "# Alerts",
    "",
    "What `dashboards/alerts.yml` watches. Load it in Prometheus as a rule file ([Exporting](../telemetry/exporting.md#alerts)). `page`: somebody should look",
    "now, since calls fail or soon will. `ticket`: within a day.",
    "",
    "| alert | layer | severity | says |",
    "| --- | --- | --- | --- |",
    ...all.map(({ layer, name, severity, summary }) =>
      `| [${name}](#${name.toLowerCase()}) | ${layer} | ${severity} | ${shown(summary)} |`
    ),
    "",
    ...all.flatMap(({ lasts, meaning, name, next, query }) => [
      `## ${name}`,
      "",
      meaning,
      "",
      `**Next step.** ${next}`,
      "",
      "```promql",
      query,
      "```",
      ...(lasts === undefined ? [] : ["", `For ${lasts}.`]),
      ""
    ])
  ].join("\n")

/** A template as people read it: `{{ $labels.pool }}` is `<pool>`. */
const shown = (template: string): string =>
  template.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, "`<$1>`").replaceAll(/\{\{ \$value[^}]*\}\}/g, "`<value>`")
