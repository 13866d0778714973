/** The segments that the host writes: files that are written again once the worker has done with them. */
import { Payload } from "@snakepit/pool"
import { closeSync, constants, openSync, rmSync, writeSync } from "node:fs"
import { join } from "node:path"
import type { SharedMemory } from "./SharedMemory.ts"

interface Segment {
  readonly number: number
  readonly capacity: number
  readonly write: (part: Uint8Array, at: number) => void
  readonly close: () => void
  free: boolean
}

/** 64 KiB: payloads of about the same size share segments; of large ones at most an eighth is left empty. */
const capacityOf = (length: number): number => {
  const step = Math.max(65_536, 2 ** Math.floor(Math.log2(length)) / 8)
  return Math.ceil(length / step) * step
}

/** All of it, or throws. */
const writeAll = (file: number, part: Uint8Array, position: number): void => {
  for (let done = 0; done < part.byteLength;) done += writeSync(file, part, done, part.byteLength - done, position + done)
}

export class WrittenSegments {
  private readonly folder: string
  private readonly limit: number
  private readonly memory: SharedMemory | undefined
  private readonly segments = new Map<number, Segment>()
  private total = 0
  private last = 0

  /** At most `limit` bytes together. */
  constructor(folder: string, limit: number, memory: SharedMemory | undefined) {
    this.folder = folder
    this.limit = limit
    this.memory = memory
  }

  /** The number of the segment that the payload is in now; `undefined` when there is no room. */
  write(payload: Payload.Payload): number | undefined {
    const segment = this.claim(payload.byteLength)
    if (segment === undefined) return undefined
    try {
      let at = 0
      for (const part of Payload.partsOf(payload)) {
        segment.write(part, at)
        at += part.byteLength
      }
      return segment.number
    } catch { // no memory is left
      this.drop(segment)
      return undefined
    }
  }

  /** Those that the worker has not done with. */
  get inUse(): number {
    let count = 0
    for (const { free } of this.segments.values()) if (!free) count++
    return count
  }

  /** Whether there was something in it. */
  free(number: number): boolean {
    const segment = this.segments.get(number)
    if (segment === undefined || segment.free) return false
    segment.free = true
    return true
  }

  close(): void {
    for (const segment of this.segments.values()) segment.close()
    this.segments.clear()
    this.total = this.limit
  }

  private claim(length: number): Segment | undefined {
    const free = [...this.segments.values()].filter((segment) => segment.free).sort((one, other) => one.capacity - other.capacity)
    const fitting = free.find(({ capacity }) => capacity >= length)
    if (fitting !== undefined) {
      fitting.free = false
      return fitting
    }
    const capacity = capacityOf(length)
    for (const segment of free) {
      if (this.total + capacity <= this.limit) break
      this.drop(segment)
    }
    if (this.total + capacity > this.limit) return undefined
    try {
      return this.make(capacity)
    } catch { // no memory is left, or no folder
      return undefined
    }
  }

  private make(capacity: number): Segment {
    const number = ++this.last
    const path = join(this.folder, `h${number}`)
    const file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
    let open = false
    try {
      const segment = { number, capacity, free: false, ...this.access(file, capacity) }
      open = this.memory === undefined // a mapping needs its file no more
      this.segments.set(number, segment)
      this.total += capacity
      return segment
    } catch (cause) {
      rmSync(path, { force: true })
      throw cause
    } finally {
      if (!open) closeSync(file)
    }
  }

  private access(file: number, capacity: number): Pick<Segment, "write" | "close"> {
    const { memory } = this
    if (memory === undefined) return { write: (part, at) => writeAll(file, part, at), close: () => closeSync(file) }
    memory.allocate(file, capacity)
    const mapped = memory.map(file, capacity)
    try {
      const bytes = new Uint8Array(mapped.view(capacity))
      return { write: (part, at) => bytes.set(part, at), close: mapped.unmap }
    } catch (cause) {
      mapped.unmap()
      throw cause
    }
  }

  private drop({ capacity, close, number }: Segment): void {
    this.segments.delete(number)
    this.total -= capacity
    close()
    rmSync(join(this.folder, `h${number}`), { force: true })
  }
}
