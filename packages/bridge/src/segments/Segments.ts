/**
 * Payloads of one session in shared memory: files in a folder that host and worker both see, written again and again, since a fresh file
 * costs several times what a copy does.
 *
 * ```text
 *  host                                             worker
 *   │ place: writes h1 ── Call 1, shared {h1} ─────▶  │ maps it, decodes out of it
 *   │ free: may be written again ◀──────── Free {h1} │ when nothing looks into it any more
 *   │ fetch: reads w1 ◀───── Done 1, shared {w1} ─── │ writes w1
 *   │ ── Free {w1}: when nothing looks into it ───▶  │ w1 may be written again
 * ```
 *
 * **Details**
 *
 * A payload that finds no room travels in its frame. The folder goes with the process; that of a killed host with its next start.
 */
import type { Payload } from "@snakepit/pool"
import { mkdirSync, rmSync } from "node:fs"
import * as Frames from "../channel/Frames.ts"
import { largeBytes } from "../codec/Msgpack.ts"
import { NoSegment, ReadSegments } from "./ReadSegments.ts"
import type { SharedMemory } from "./SharedMemory.ts"
import { WrittenSegments } from "./WrittenSegments.ts"

/** What {@link Segments} takes. */
export interface Options {
  /** Made here; `undefined` where there is no shared memory: every payload then travels in its frame. */
  readonly folder: string | undefined
  /** The most bytes that all segments of one side may have together. */
  readonly limit: number
  readonly maxPayload: number
  /** A segment of the worker is free. */
  readonly free: (segment: number) => void
  /** Is told the bytes of each payload. */
  readonly placed: (bytes: number) => void
  /** `undefined`: segments are read and written as files. */
  readonly memory: SharedMemory | undefined
}

const made = (folder: string | undefined): string => {
  if (folder === undefined) return ""
  try {
    mkdirSync(folder, { mode: 0o700 })
    return folder
  } catch { // full, or not there any more
    return ""
  }
}

export class Segments {
  /** Empty: there is none. */
  readonly folder: string
  readonly limit: number
  private readonly maxPayload: number
  private readonly written: WrittenSegments
  private readonly others: ReadSegments
  private readonly placed: Options["placed"]

  constructor({ folder, free, limit, maxPayload, memory, placed }: Options) {
    this.placed = placed
    this.folder = made(folder)
    this.limit = limit
    this.maxPayload = maxPayload
    this.written = new WrittenSegments(this.folder, limit, memory)
    this.others = new ReadSegments({ folder: this.folder, limit, memory, free })
  }

  /** Puts a large payload into a segment where there is room. */
  place(payload: Payload.Payload): Frames.Carried {
    this.placed(payload.byteLength)
    if (payload.byteLength < largeBytes || this.folder === "") return payload
    const segment = this.written.write(payload)
    return segment === undefined ? payload : new Frames.Shared(segment, payload.byteLength)
  }

  /** Those that hold a payload which somebody looks into, by who wrote it. */
  get inUse(): { readonly in: number; readonly out: number } {
    return { in: this.others.lentCount, out: this.written.inUse }
  }

  /** The worker has done with a segment of the host. Throws {@link Frames.Malformed} when there is nothing in it. */
  free(number: number): void {
    if (!this.written.free(number)) throw new Frames.Malformed(`segment h${number} is free, it says, and holds no payload`)
  }

  /** Decodes a message of the worker, with what it has put into segments. Throws {@link Frames.Malformed}; all is as before then. */
  decode(message: Buffer): Frames.Response {
    this.others.thrownAway()
    return Frames.decode(message, this.fetch)
  }

  /** The message that was decoded last was taken. */
  taken(): void {
    this.others.taken()
  }

  /** Nothing is written or read any more, and nothing of it is left but what callers look into. */
  close(): void {
    this.written.close()
    this.others.close()
    if (this.folder !== "") rmSync(this.folder, { recursive: true, force: true })
  }

  private readonly fetch: Frames.Fetch = (number, length) => {
    const bad = (why: string) => new Frames.Malformed(`the payload in segment w${number}: ${why}`)
    if (this.folder === "") throw bad("there is no folder of segments")
    if (length > this.maxPayload) throw bad(`it has ${length} bytes, and maxPayload allows ${this.maxPayload}`)
    try {
      return this.others.read(number, length)
    } catch (cause) {
      throw cause instanceof NoSegment ? bad(cause.message) : cause
    }
  }
}
