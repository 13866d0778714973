/** The series of the host's own process, and of what is told in it. */
import { Instrument } from "@snakepit/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { readdirSync } from "node:fs"
import { constants, type PerformanceEntry, PerformanceObserver } from "node:perf_hooks"
import { EventBus } from "../EventBus.ts"
import { EventLog } from "../EventLog.ts"
import * as EventLoop from "./EventLoop.ts"
import * as HostMetrics from "./HostMetrics.ts"

/** Where the open files of this process are listed. */
const folder = "/proc/self/fd"

const openFiles = (): number | undefined => {
  try {
    return readdirSync(folder).length
  } catch {
    return undefined // no /proc
  }
}

/** How V8 names kinds of collections, by the numbers that Node has for them. */
const gcTypes: ReadonlyMap<number, typeof HostMetrics.gcTypes[number]> = new Map([
  [constants.NODE_PERFORMANCE_GC_MAJOR, "major"],
  [constants.NODE_PERFORMANCE_GC_MINOR, "minor"],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, "incremental"],
  [constants.NODE_PERFORMANCE_GC_WEAKCB, "weakcb"]
])

/** Counts collections of garbage, from now on until the scope closes. */
const collections = Effect.acquireRelease(
  Effect.sync(() => {
    const histograms = new Map(HostMetrics.gcTypes.map((type) => [type, new Instrument.Histogram(HostMetrics.gc)]))
    const observer = new PerformanceObserver((seen) => {
      for (const { detail, duration } of seen.getEntries() as Array<PerformanceEntry & { readonly detail: { readonly kind: number } }>) {
        const type = gcTypes.get(detail.kind)
        if (type !== undefined) histograms.get(type)!.record(duration / 1000)
      }
    })
    observer.observe({ entryTypes: ["gc"] })
    return { histograms, observer }
  }),
  ({ observer }) => Effect.sync(() => observer.disconnect())
)

/** Begins them, until the scope closes; `version` is Snakepit's. */
export const begin = (version: string): Effect.Effect<void, never, EventBus | EventLog | Scope.Scope> =>
  Effect.gen(function*() {
    const series = yield* Instrument.series
    series.add(HostMetrics.buildInfo, { version, node: process.versions.node }, () => 1)
    series.add(HostMetrics.memory, {}, () => process.memoryUsage.rss())
    for (const mode of ["user", "system"] as const) {
      series.add(HostMetrics.cpu, { "cpu.mode": mode }, () => process.cpuUsage()[mode] / 1e6)
    }
    series.add(HostMetrics.uptime, {}, () => process.uptime())
    const files = openFiles()
    if (files !== undefined) series.add(HostMetrics.fds, {}, () => openFiles() ?? files)

    const loop = yield* EventLoop.watch
    series.add(HostMetrics.loopDelayMean, {}, () => loop().mean)
    series.add(HostMetrics.loopDelayP99, {}, () => loop().p99)
    series.add(HostMetrics.loopDelayMax, {}, () => loop().max)
    series.add(HostMetrics.loopUtilization, {}, () => loop().utilization)
    const { histograms } = yield* collections
    for (const [type, histogram] of histograms) series.addHistogram(HostMetrics.gc, { "v8js.gc.type": type }, histogram)

    const { memory } = yield* EventLog
    const bus = yield* EventBus
    series.add(HostMetrics.events, {}, () => bus.totals().emitted)
    series.add(HostMetrics.eventsDropped, {}, () => bus.totals().dropped + memory.dropped)
    series.add(HostMetrics.handlerFailures, {}, () => bus.totals().failed)
  })
