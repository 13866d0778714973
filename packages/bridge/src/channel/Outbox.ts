/**
 * What the host has to say in one session, in batches: everything said in one tick leaves in one message, and at most two messages are on
 * their way unread. Batches are kept until the worker has read them, and said again on the stream that takes the place of a broken one.
 *
 * ```text
 *  say ─▶ open batch ─▶ waiting ─▶ written, at most 2 unread ─▶ read: forgotten
 *           └ when 4 MiB are in it ┘        └── stream broke ─▶ written again on the next, after what the worker has read
 * ```
 *
 * **Details**
 *
 * Without the second rule, replies that wake callers in ever smaller groups split the batches until each holds one call (measured: 14
 * times fewer calls a second). A batch is on its way until the worker has *read* it, not until its calls are done. What the host has read
 * itself is told with its next batch; alone only when much is untold, or nothing was said for a while.
 */
import * as Frames from "./Frames.ts"
import type * as Traffic from "./Traffic.ts"

const maxUnread = 2

/** 4 MiB: the worker starts decoding early, and protobuf's 2 GiB are never near. */
const batchBytes = 4 * 1024 * 1024

/** When the host tells what it has read although it has nothing to say: before what the worker keeps costs memory that anyone would miss. */
const untold = { responses: 64, bytes: 1024 * 1024, millis: 50 } as const

/** Of one stream. */
type Write = (message: Buffer) => void

/** The worker says that it has read what was not written, or what it said it had read before. */
export class NeverWritten extends Error {}

export class Outbox {
  private readonly out: Traffic.Way
  /** Numbered from {@link first}, without gaps: those on their way, and those that wait. */
  private readonly kept: Array<Frames.Batch> = []
  private first = 1
  private open = new Frames.Batch()
  private spare: Frames.Batch | undefined
  /** The highest batch that the present stream was given. */
  private written = 0
  private write: Write | undefined
  private scheduled = false
  private ended = false
  private heard = 0
  private told = 0
  private untoldResponses = 0
  private untoldBytes = 0
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(out: Traffic.Way) {
    this.out = out
  }

  /** Messages that are on their way. */
  get unread(): number {
    return this.write === undefined ? 0 : this.written - this.first + 1
  }

  /** Where the next frame is written to: it leaves in this tick, or with those that a response wakes, when the worker has read enough. */
  say(): Frames.Batch {
    if (this.open.size >= batchBytes) this.seal()
    this.out.frames++
    this.schedule()
    return this.open
  }

  /** Nothing of a segment of the worker is needed any more: told with the next batch, or soon after the response that was just taken. */
  free(segment: number): void {
    if (!this.ended) this.open.free(segment)
  }

  /** The worker has read all batches up to this one. Throws {@link NeverWritten}. */
  read(batch: number): void {
    if (this.ended) return
    if (batch > this.written) throw new NeverWritten(`it has read batch ${batch}, it says; ${this.written} were written`)
    this.forget(batch)
    if (this.hasMore()) this.schedule()
  }

  /** The host has taken a response of the worker, of so many bytes. */
  took(response: number, bytes: number): void {
    if (this.ended) return
    this.heard = response
    this.untoldResponses++
    this.untoldBytes += bytes
    this.scheduleAfterWakeUps()
    if (this.untoldResponses >= untold.responses || this.untoldBytes >= untold.bytes) return this.tell()
    if (this.timer === undefined) this.wait()
  }

  /** The last response that was taken. */
  get lastHeard(): number {
    return this.heard
  }

  /** A new stream, on which the worker has said up to where it has read. Throws {@link NeverWritten}. */
  attach(write: Write, read: number): void {
    if (read < this.first - 1 || read > this.first + this.kept.length - 1) {
      throw new NeverWritten(`it has read up to batch ${read}, it says; ${this.first - 1} was read, ${this.kept.length} more are kept`)
    }
    this.forget(read)
    this.written = read
    this.write = write
    this.flush()
  }

  /** The stream has ended. What is said from now on waits for the next. */
  detach(): void {
    this.write = undefined
    clearTimeout(this.timer)
    this.timer = undefined
  }

  /** Nothing more is written, nor kept. */
  end(): void {
    this.detach()
    this.ended = true
    this.kept.length = 0
    this.open.clear()
  }

  private readonly flush = (): void => {
    this.scheduled = false
    if (this.ended) this.open.clear()
    while (this.write !== undefined && this.written - this.first + 1 < maxUnread && this.hasMore()) {
      const next = this.written - this.first + 1
      if (next === this.kept.length) this.seal()
      this.written++
      this.send(this.kept[next]!.sealed(this.written, this.heard))
      this.hasTold()
    }
  }

  private send(message: Buffer): void {
    this.out.messages++
    this.out.bytes += message.length
    this.write?.(message)
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    process.nextTick(this.flush) // the same macrotask: a lone call waits for nothing
  }

  /**
   * A response wakes callers one after the other, over the rest of this turn of the loop and the next: what they say then leaves together, and not
   * a lone call first that all others wait behind (measured at 64 in flight: 31 calls a message instead of 10).
   */
  private scheduleAfterWakeUps(): void {
    if (this.scheduled) return
    this.scheduled = true
    setImmediate(() => setImmediate(this.flush))
  }

  private hasMore(): boolean {
    return this.open.size > 0 || this.written < this.first + this.kept.length - 1
  }

  private seal(): void {
    this.kept.push(this.open)
    this.open = this.spare ?? new Frames.Batch()
    this.spare = undefined
  }

  private forget(read: number): void {
    while (this.first <= read) {
      this.first++
      this.spare = this.kept.shift()!
      this.spare.clear()
    }
  }

  private tell(): void {
    if (this.write === undefined) return
    this.send(Frames.acknowledgement(this.heard))
    this.hasTold()
  }

  private hasTold(): void {
    this.told = this.heard
    this.untoldResponses = 0
    this.untoldBytes = 0
  }

  private wait(): void {
    const { heard } = this
    this.timer = setTimeout(() => {
      this.timer = undefined
      if (this.told >= this.heard) return
      if (this.told < heard) this.tell()
      else this.wait() // what was heard since is younger
    }, untold.millis).unref()
  }
}
