/**
 * The segments that the worker writes, as the host reads them.
 *
 * ```text
 *  below 1 MiB, or too much is lent ─▶ a copy, and the segment is free at once
 *  else ────────────────────────────▶ lent: a view, and the segment is free when the collector has found it unreachable
 * ```
 *
 * **Details**
 *
 * Either way the bytes are their caller's for as long as anything looks into them, whatever becomes of the worker. Memory that is mapped
 * once and lent costs no page faults: a fresh copy of 16 MiB costs more than all the rest of a call.
 */
import { closeSync, constants, existsSync, fstatSync, openSync, readSync } from "node:fs"
import { join } from "node:path"
import type { Mapped, SharedMemory } from "./SharedMemory.ts"

/** 1 MiB: a copy costs 0.1 ms, less than what the collector has to do for a view. */
const lentFrom = 1024 * 1024

/** Of what the worker may have in segments at all, so that there is always one for it to write. */
const lentShare = 0.75

/** There is no such payload. */
export class NoSegment extends Error {}

/** `free` is told of each segment that nothing looks into any more. */
export interface Options {
  readonly folder: string
  readonly limit: number
  readonly memory: SharedMemory | undefined
  readonly free: (segment: number) => void
}

interface Segment {
  readonly mapped: Mapped
  /** All of it, for copies. */
  readonly bytes: Uint8Array
  lent: boolean
}

/** Whoever is told when a lent view is gone. Not the view's: that would keep it. */
const lent = new FinalizationRegistry<() => void>((giveBack) => giveBack())

export class ReadSegments {
  private readonly options: Options
  private readonly segments = new Map<number, Segment>()
  /** Those that the message in hand names, with what becomes of them when it is taken. */
  private readonly named = new Map<number, () => void>()
  private lentBytes = 0
  private closed = false

  constructor(options: Options) {
    this.options = options
  }

  /** The first bytes of a segment, which the message in hand names. Throws {@link NoSegment}. */
  read(number: number, length: number): Uint8Array {
    const { folder, free, limit, memory } = this.options
    if (this.named.has(number)) throw new NoSegment("it is named twice in one message")
    if (memory === undefined) {
      const payload = readFile(join(folder, `w${number}`), length)
      this.named.set(number, () => free(number))
      return payload
    }
    const segment = this.segments.get(number) ?? this.map(number, length, memory)
    if (segment.lent) throw new NoSegment("it holds a payload that is still in use")
    if (length > segment.mapped.byteLength) throw new NoSegment(`there are ${segment.mapped.byteLength} bytes, and it says ${length}`)
    if (length < lentFrom || this.lentBytes + segment.mapped.byteLength > lentShare * limit) {
      const payload = Buffer.allocUnsafeSlow(length)
      payload.set(segment.bytes.subarray(0, length))
      this.named.set(number, () => free(number))
      return payload
    }
    const memoryOf = segment.mapped.view(length)
    this.named.set(number, () => this.lend(number, segment, memoryOf))
    return Buffer.from(memoryOf)
  }

  /** The message in hand was taken whole: its segments are lent, or free. */
  taken(): void {
    for (const taken of this.named.values()) taken()
    this.named.clear()
  }

  /** The message in hand, if there is one, was thrown away: its segments are as they were. */
  thrownAway(): void {
    this.named.clear()
  }

  /** Those that something looks into. */
  get lentCount(): number {
    let count = 0
    for (const { lent } of this.segments.values()) if (lent) count++
    return count
  }

  /** Memory that is not lent is given back now, and the rest when it comes back. */
  close(): void {
    this.closed = true
    for (const { lent, mapped } of this.segments.values()) if (!lent) mapped.unmap()
    this.segments.clear()
  }

  private lend(number: number, segment: Segment, memory: ArrayBuffer): void {
    const { byteLength, unmap } = segment.mapped
    segment.lent = true
    this.lentBytes += byteLength
    lent.register(memory, () => {
      segment.lent = false
      this.lentBytes -= byteLength
      if (this.closed) unmap()
      else this.options.free(number)
    })
  }

  private map(number: number, length: number, memory: SharedMemory): Segment {
    const { folder } = this.options
    for (const [known, { lent, mapped }] of this.segments) {
      if (lent || this.named.has(known) || existsSync(join(folder, `w${known}`))) continue
      mapped.unmap() // the worker has made room
      this.segments.delete(known)
    }
    return opened(join(folder, `w${number}`), length, (file, size) => {
      const mapped = memory.map(file, size)
      const segment = { mapped, bytes: new Uint8Array(mapped.view(size)), lent: false }
      this.segments.set(number, segment)
      return segment
    })
  }
}

const readFile = (path: string, length: number): Uint8Array =>
  opened(path, length, (file) => {
    const payload = Buffer.allocUnsafeSlow(length)
    for (let done = 0; done < length;) {
      const more = readSync(file, payload, done, length - done, done)
      if (more === 0) throw new NoSegment("it was cut off meanwhile")
      done += more
    }
    return payload
  })

/** A file of at least that length, and no link or pipe to anything. */
const opened = <A>(path: string, length: number, use: (file: number, size: number) => A): A => {
  let file: number | undefined
  try {
    file = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const stats = fstatSync(file)
    if (!stats.isFile()) throw new NoSegment("it is no file")
    if (length === 0 || stats.size < length) throw new NoSegment(`there are ${stats.size} bytes, and it says ${length}`)
    return use(file, stats.size)
  } catch (cause) {
    throw cause instanceof NoSegment ? cause : new NoSegment(cause instanceof Error ? cause.message : String(cause))
  } finally {
    if (file !== undefined) closeSync(file)
  }
}
