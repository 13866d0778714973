/** The worker's end of the wire in memory: sessions as `proto/README.md` has them, over streams that a test can cut at any message. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import {
  type ConnectRequest,
  ConnectRequestSchema,
  type ConnectResponse,
  ConnectResponseSchema,
  type HostFrame,
  WorkerFrameSchema
} from "../gen/snakepit/v1/worker_pb.ts"
import type * as Connection from "../src/channel/Connection.ts"
import type * as Session from "../src/channel/Session.ts"

/** One stream, and what is on its way on it. */
export interface Stream {
  readonly listener: Connection.Listener
  readonly toWorker: Array<Buffer>
  readonly toHost: Array<ConnectResponse>
  closed: boolean
}

type Frame = NonNullable<MessageInitShape<typeof WorkerFrameSchema>["frame"]>

/** What the worker has of a session. */
interface Kept {
  readonly id: bigint
  batch: bigint
  said: bigint
  responses: Array<ConnectResponse>
}

export class ScriptedWorker {
  readonly tools: ReadonlyArray<{ readonly id: number; readonly name: string }> = [{ id: 0, name: "add" }]
  catalogueHash = new Uint8Array(32)
  protocol = 1
  /** Answers a Hello with this instead. */
  refuses: { readonly field: string; readonly expected: string; readonly received: string } | undefined
  /** Says nothing, whatever it hears. */
  silent = false
  /** Messages wait until {@link deliver}. */
  manual = false
  /** Frames of the host in the order in which they were taken, over all sessions. */
  readonly heard: Array<HostFrame["frame"]> = []
  readonly streams: Array<Stream> = []
  session: Kept | undefined
  private current: Stream | undefined

  readonly open: Session.Open = (_socket, _maxPayload, listener) => {
    const stream: Stream = { listener, toWorker: [], toHost: [], closed: false }
    this.streams.push(stream)
    return {
      write: (message) => {
        if (stream.closed) return
        stream.toWorker.push(Buffer.from(message)) // as gRPC does: the batch is used again
        if (!this.manual) queueMicrotask(() => this.deliver(stream))
      },
      close: () => {
        stream.closed = true
      }
    }
  }

  /** Takes all that is on its way on a stream, both ways. */
  deliver(stream: Stream): void {
    while (this.toWorker(stream) || this.toHost(stream)) { /* until nothing is left */ }
  }

  /** The host's next message arrives, if there is one. */
  toWorker(stream: Stream): boolean {
    const message = stream.closed ? undefined : stream.toWorker.shift()
    if (message === undefined) return false
    this.take(stream, fromBinary(ConnectRequestSchema, message))
    return true
  }

  /** The worker's next message arrives, if there is one. */
  toHost(stream: Stream): boolean {
    const response = stream.closed ? undefined : stream.toHost.shift()
    if (response === undefined) return false
    stream.listener.message(Buffer.from(toBinary(ConnectResponseSchema, response)))
    return true
  }

  /** Cuts the stream: what is on its way is lost. */
  cut(stream: Stream = this.streams.at(-1)!, end: Connection.End = { detail: "UNAVAILABLE: it was cut", byWorker: false }): void {
    if (stream.closed) return
    stream.closed = true
    if (this.current === stream) this.current = undefined
    stream.listener.end(end)
  }

  /** Says frames in the session, in one response. */
  say(...frames: ReadonlyArray<Frame>): void {
    const session = this.session!
    const response = create(ConnectResponseSchema, {
      batch: ++session.said,
      read: session.batch,
      frames: frames.map((frame) => create(WorkerFrameSchema, { frame }))
    })
    session.responses.push(response)
    this.send(response)
  }

  private send(response: ConnectResponse): void {
    const stream = this.current
    if (stream === undefined || stream.closed) return
    stream.toHost.push(response)
    if (!this.manual) queueMicrotask(() => this.deliver(stream))
  }

  private take(stream: Stream, { batch, frames, read }: ConnectRequest): void {
    if (this.silent) return
    const first = frames[0]?.frame
    if (first?.case === "hello") {
      const { resume, session } = first.value
      const refuses = this.refuses ?? (resume && this.session?.id !== session
        ? { field: "session", expected: String(this.session?.id), received: String(session) }
        : undefined)
      if (refuses !== undefined) {
        stream.toHost.push(create(ConnectResponseSchema, { frames: [{ frame: { case: "refused", value: refuses } }] }))
        return
      }
      if (!resume) this.session = { id: session, batch: 0n, said: 0n, responses: [] }
      this.current = stream
      this.forget(read)
      stream.toHost.push(
        create(ConnectResponseSchema, {
          read: this.session!.batch,
          frames: [{
            frame: {
              case: "welcome",
              value: { protocol: this.protocol, tools: [...this.tools], catalogueHash: this.catalogueHash, concurrency: 1 }
            }
          }]
        }),
        ...this.session!.responses
      )
      return
    }
    if (stream !== this.current) return
    const session = this.session!
    this.forget(read)
    if (batch === 0n) return
    if (batch !== session.batch + 1n) throw new Error(`expected batch ${session.batch + 1n}, received ${batch}`)
    session.batch = batch
    this.heard.push(...frames.map(({ frame }) => frame))
    this.send(create(ConnectResponseSchema, { read: batch }))
  }

  private forget(read: bigint): void {
    const session = this.session!
    if (read > session.said) throw new Error(`response ${read} was read, and ${session.said} were said`)
    session.responses = session.responses.filter(({ batch }) => batch > read)
  }
}
