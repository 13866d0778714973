/**
 * Where what workers tell waits to be taken in: bounded, and longer-lived than who takes it.
 *
 * ```text
 *  taps ─▶ at most 8192 records ─▶ the ingest
 *            │ full: dropped, counted    more than half full: no worker gets credit
 * ```
 */
import type { WireTelemetry } from "@snakepit/pool"
import * as Latch from "effect/Latch"
import * as BridgeMetrics from "../BridgeMetrics.ts"

/** Records that may wait. 8192: half of it is what 16 workers have credit for, and some megabytes. */
export const capacity = 8192

type Reason = BridgeMetrics.DropReason

/** Those that a worker or its tap gives: any others are counted as one, or a worker could fill the host's memory with them. */
const given: ReadonlySet<string> = new Set<Reason>(["queue", "invalid", "credit", "tap"])

const reasonOf = (reason: string): Reason => given.has(reason) ? reason as Reason : "other"

/** How many records were left out, by why. */
export type Dropped = Record<Reason, number>

/** A record, and who has told it. */
export interface Item {
  readonly teller: WireTelemetry.Teller
  readonly record: WireTelemetry.Told
}

/** So many records of one worker were left out, for one reason. */
export interface Loss {
  readonly teller: WireTelemetry.Teller
  readonly reason: Reason
  records: number
}

export class Inbox implements WireTelemetry.TelemetryPort {
  /** Open while there is something to take. */
  readonly arrived = Latch.makeUnsafe(false)
  private readonly hasRoom = Latch.makeUnsafe(true)
  private waiting: Array<Item> = []
  private next = 0
  private losses = new Map<string, Loss>()
  private readonly dropped = new Map<string, Dropped>()

  get room(): WireTelemetry.TelemetryPort["room"] {
    return this.hasRoom.await
  }

  get size(): number {
    return this.waiting.length - this.next
  }

  take(
    teller: WireTelemetry.Teller,
    records: ReadonlyArray<WireTelemetry.Told>,
    dropped: ReadonlyArray<WireTelemetry.Dropped>
  ): void {
    for (const { reason, records } of dropped) this.lose(teller, reasonOf(reason), records)
    const fitting = records.slice(0, capacity - this.size)
    for (const record of fitting) this.waiting.push({ teller, record })
    if (fitting.length < records.length) this.lose(teller, "ingest", records.length - fitting.length)
    if (this.size > 0) this.arrived.openUnsafe()
    if (this.size > capacity / 2) this.hasRoom.closeUnsafe()
  }

  /** The oldest record, which is then gone. */
  shift(): Item | undefined {
    const item = this.waiting[this.next++]
    if (item === undefined || this.next >= capacity) {
      this.waiting = this.waiting.slice(this.next)
      this.next = 0
    }
    if (this.size === 0) this.arrived.closeUnsafe()
    if (this.size <= capacity / 2) this.hasRoom.openUnsafe()
    return item
  }

  /** Counts what was left out. */
  lose(teller: WireTelemetry.Teller, reason: Reason, records: number): void {
    if (!(records > 0)) return
    this.droppedOf(teller.pool)[reason] += records
    const key = `${teller.pool}/${teller.slot}/${reason}`
    const known = this.losses.get(key)
    if (known === undefined) this.losses.set(key, { teller, reason, records })
    else known.records += records
  }

  /** All that was left out of a pool's: the same object each time, which goes on counting. */
  droppedOf(pool: string): Dropped {
    const known = this.dropped.get(pool)
    if (known !== undefined) return known
    const dropped = Object.fromEntries(BridgeMetrics.dropReasons.map((reason) => [reason, 0])) as Dropped
    this.dropped.set(pool, dropped)
    return dropped
  }

  /** What was left out since it was asked last. */
  lost(): ReadonlyArray<Loss> {
    const losses = [...this.losses.values()]
    this.losses = new Map()
    return losses
  }
}
