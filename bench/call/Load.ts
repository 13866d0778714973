/**
 * A closed loop: so many callers, each with one call in flight, for a fixed time. Before it is measured the same load runs a while unmeasured.
 */
import { Effect } from "effect"

const warmUpMillis = 300 // compilers, and the moving averages that a pool dispatches by
const measuredMillis = 1500 // some ten thousand calls of the slowest side

/** What one run of a load gave; latencies in µs. */
export interface Point {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
}

/** Counts what ends within its time. */
class Meter {
  readonly #begin = performance.now() + warmUpMillis
  readonly #end = this.#begin + measuredMillis
  #took = new Float64Array(1 << 16)
  #count = 0

  runs(at: number): boolean {
    return at < this.#end
  }

  /** Notes a call that began at `at`; returns when it ended. */
  note(at: number): number {
    const now = performance.now()
    if (now < this.#begin || now >= this.#end) return now
    if (this.#count === this.#took.length) {
      const larger = new Float64Array(this.#count * 2)
      larger.set(this.#took)
      this.#took = larger
    }
    this.#took[this.#count++] = now - at
    return now
  }

  /** Notes `elements` that came now. */
  noteMany(elements: number): number {
    const now = performance.now()
    if (now >= this.#begin && now < this.#end) this.#count += elements
    return now
  }

  get perSecond(): number {
    return this.#count / (measuredMillis / 1000)
  }

  get point(): Point {
    if (this.#count === 0) throw new Error(`no call ended within ${measuredMillis} ms`)
    const took = this.#took.subarray(0, this.#count).sort()
    const quantile = (q: number) => took[Math.floor((this.#count - 1) * q)]! * 1000
    return { perSecond: this.perSecond, p50: quantile(0.5), p99: quantile(0.99) }
  }
}

/** `call` hears which caller it is for. */
export const promises = async (callers: number, call: (caller: number) => Promise<unknown>): Promise<Point> => {
  const meter = new Meter()
  await Promise.all(Array.from({ length: callers }, async (_, caller) => {
    for (let at = performance.now(); meter.runs(at); at = meter.note(at)) await call(caller)
  }))
  return meter.point
}

/** The same with a fiber for each caller. */
export const fibers = <R>(callers: number, call: (caller: number) => Effect.Effect<unknown, never, R>): Effect.Effect<Point, never, R> =>
  Effect.gen(function*() {
    const meter = new Meter()
    const caller = (n: number) =>
      Effect.gen(function*() {
        for (let at = performance.now(); meter.runs(at); at = meter.note(at)) yield* call(n)
      })
    yield* Effect.forEach(Array.from({ length: callers }, (_, n) => n), caller, { concurrency: "unbounded", discard: true })
    return meter.point
  })

/** Counts the elements of a stream that does not end; `consume` hands each arrival to `note`, which says whether to go on. */
export const stream = async (consume: (note: (elements: number) => boolean) => Promise<void>): Promise<number> => {
  const meter = new Meter()
  await consume((elements) => meter.runs(meter.noteMany(elements)))
  return meter.perSecond
}
