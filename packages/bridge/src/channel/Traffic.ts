/**
 * Counts what goes between the host and the workers of one pool, and how these come: plain numbers, written where it goes, read when somebody collects. It belongs to
 * the pool's Reaper, as the workers do.
 */
import { Instrument } from "@snakepit/core"
import * as BridgeMetrics from "../BridgeMetrics.ts"
import type { Dropped } from "../ingest/Inbox.ts"

/** One way. */
export class Way {
  messages = 0
  frames = 0
  bytes = 0
  readonly payloads = new Instrument.Histogram(BridgeMetrics.payloadSize)
}

/** A session whose stream is open: what it holds at the moment. */
export interface OpenSession {
  /** Messages that the worker has not read. */
  readonly unread: number
  /** Segments with a payload, by who wrote it. */
  readonly segmentsInUse: { readonly [D in BridgeMetrics.Direction]: number }
}

export class Traffic {
  readonly in = new Way()
  readonly out = new Way()
  readonly open = new Set<OpenSession>()
  reconnects = 0
  readonly boots = new Instrument.Histogram(BridgeMetrics.boots)

  private sum(of: (session: OpenSession) => number): number {
    let sum = 0
    for (const session of this.open) sum += of(session)
    return sum
  }

  /** Begins the series of the pool. `dropped`: of what its workers tell of themselves. */
  begin(series: Instrument.Series, pool: string, dropped: Dropped): void {
    const of = { pool }
    series.add(BridgeMetrics.connections, of, () => this.open.size)
    series.add(BridgeMetrics.reconnects, of, () => this.reconnects)
    series.add(BridgeMetrics.unread, of, () => this.sum(({ unread }) => unread))
    series.addHistogram(BridgeMetrics.boots, of, this.boots)
    for (const reason of BridgeMetrics.dropReasons) series.add(BridgeMetrics.recordsDropped, { pool, reason }, () => dropped[reason])
    for (const direction of BridgeMetrics.directions) {
      const way = this[direction]
      const ofWay = { pool, direction }
      series.add(BridgeMetrics.messages, ofWay, () => way.messages)
      series.add(BridgeMetrics.frames, ofWay, () => way.frames)
      series.add(BridgeMetrics.bytes, ofWay, () => way.bytes)
      series.addHistogram(BridgeMetrics.payloadSize, ofWay, way.payloads)
      series.add(BridgeMetrics.segments, ofWay, () => this.sum(({ segmentsInUse }) => segmentsInUse[direction]))
    }
  }
}
