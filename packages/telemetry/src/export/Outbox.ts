/** What waits to be sent of one signal. It outlives the child that sends it, and is bounded: the oldest goes first, counted. */
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Latch from "effect/Latch"

/** A request as Effect's exporter has made it, and how many spans, records or points are in it. */
export interface Parcel {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly items: number
  readonly bytes: number
}

/** 8 MiB of each signal: some 20,000 spans, or an hour of metrics every 10 s. A collector that is away longer has missed more than that. */
export const capacity = 8 * 1024 * 1024

export class Outbox {
  /** Open while something waits. */
  readonly arrived = Latch.makeUnsafe(false)
  private readonly parcels: Array<Parcel> = []
  private readonly overflowed: (items: number) => void
  bytes = 0
  sent = 0
  refused = 0
  /** Dropped, because more waited than is kept. */
  dropped = 0

  readonly client: HttpClient.HttpClient

  /** `client` is the way to the collector; `overflowed` is told of what is dropped. */
  constructor(client: HttpClient.HttpClient, overflowed: (items: number) => void) {
    this.client = client
    this.overflowed = overflowed
  }

  put(parcel: Parcel): void {
    this.parcels.push(parcel)
    this.grown(parcel)
  }

  /** The oldest, which is the taker's from now on. */
  take(): Parcel | undefined {
    const parcel = this.parcels.shift()
    if (parcel !== undefined) this.bytes -= parcel.bytes
    if (this.parcels.length === 0) this.arrived.closeUnsafe()
    return parcel
  }

  /** What could not be sent is the oldest again. */
  putBack(parcel: Parcel): void {
    this.parcels.unshift(parcel)
    this.grown(parcel)
  }

  private grown({ bytes }: Parcel): void {
    this.bytes += bytes
    this.arrived.openUnsafe()
    while (this.bytes > capacity) {
      const { items } = this.take()!
      this.dropped += items
      this.overflowed(items)
    }
  }
}
