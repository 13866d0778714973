/**
 * The gRPC side of one stream: a connection to the worker's own Unix socket and the one bidirectional call on it.
 *
 * **Details**
 *
 * No keepalive (end of file is the signal on a Unix socket; keepalive kills streams of a worker that holds the interpreter lock), no retries:
 * a dial is made only after the worker has said that it listens. Messages are not compressed. Source: "gRPC over HTTP2"
 * (doc/PROTOCOL-HTTP2.md of gRPC). Why this is not the library of gRPC: ADR 14.
 */
import { status } from "@grpc/grpc-js"
import { WorkerService } from "../../gen/snakepit/v1/worker_pb.ts"
import * as Http2 from "./Http2.ts"

export interface Connection {
  /** The message stays as it is until the worker has read it. */
  readonly write: (message: Buffer) => void
  readonly close: () => void
}

/** Why a stream ended. */
export interface End {
  readonly detail: string
  /** The worker ended it; otherwise it was cut. */
  readonly byWorker: boolean
}

/** Who hears the worker, in messages that are not decoded yet. `end` is said once. */
export interface Listener {
  readonly message: (message: Buffer) => void
  readonly end: (end: End) => void
}

/** Beside one payload: a response of the worker is 4 MiB or one larger frame, and an exception is cut to less than that. */
const besidePayload = 8 * 1024 * 1024

/** Of a message: compressed or not, and its length. */
const prefixBytes = 5

const request: Http2.Headers = new Map([
  [":method", "POST"],
  [":scheme", "http"],
  [":path", `/${WorkerService.typeName}/${WorkerService.method.connect.name}`],
  [":authority", "localhost"],
  ["content-type", "application/grpc"],
  ["te", "trailers"]
])

/** Opens the stream. Errors come through `end`, never as a throw. */
export const open = (socket: string, maxPayload: number, listener: Listener): Connection => {
  const limit = maxPayload + besidePayload
  let ended = false
  const end = (how: End) => {
    if (ended) return
    ended = true
    http2.close()
    listener.end(how)
  }
  const messages = new Messages(limit, (message) => {
    if (!ended) listener.message(message)
  })
  const http2 = new Http2.Http2(socket, request, {
    data: (part) => {
      const refusal = messages.take(part)
      if (refusal !== undefined) end({ detail: refusal, byWorker: false })
    },
    headers: (headers) => {
      const how = statusOf(headers)
      if (how !== undefined) end(how)
    },
    over: (why) => end({ detail: `${status[status.UNAVAILABLE]}: ${why}`, byWorker: false })
  })
  return {
    write: (message) => {
      if (ended) return
      const prefix = Buffer.allocUnsafe(prefixBytes)
      prefix[0] = 0
      prefix.writeUInt32BE(message.length, 1)
      http2.send(prefix, message)
    },
    close: () => {
      ended = true
      http2.close()
    }
  }
}

/** How the worker has ended the stream, when these are its last headers. */
const statusOf = (headers: Http2.Headers): End | undefined => {
  const said = headers.get("grpc-status")
  if (said === undefined) {
    const http = headers.get(":status")
    return http === "200" ? undefined : { detail: `${status[status.UNKNOWN]}: HTTP status ${http}`, byWorker: false }
  }
  const code = Number(said)
  if (code === status.OK) return { detail: "the worker ended the stream", byWorker: true }
  return { detail: `${status[code] ?? said}: ${unquoted(headers.get("grpc-message") ?? "")}`, byWorker: code === status.ABORTED }
}

const unquoted = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Puts messages together from the parts they come in. */
class Messages {
  private readonly prefix = Buffer.alloc(prefixBytes)
  private prefixFilled = 0
  private message: Buffer | undefined
  private filled = 0
  private readonly limit: number
  private readonly deliver: (message: Buffer) => void

  constructor(limit: number, deliver: (message: Buffer) => void) {
    this.limit = limit
    this.deliver = deliver
  }

  /** Takes the next part, which is copied; gives back why it cannot. */
  take(part: Buffer): string | undefined {
    let at = 0
    while (true) {
      if (this.message === undefined) {
        const taken = part.copy(this.prefix, this.prefixFilled, at)
        this.prefixFilled += taken
        at += taken
        if (this.prefixFilled < prefixBytes) return undefined
        const size = this.prefix.readUInt32BE(1)
        if (this.prefix[0] !== 0) return `${status[status.UNIMPLEMENTED]}: a compressed message; only identity is taken here`
        if (size > this.limit) {
          return `${status[status.RESOURCE_EXHAUSTED]}: a message of ${size} bytes, more than the ${this.limit} taken here`
        }
        this.message = Buffer.allocUnsafe(size)
        this.filled = 0
      }
      const taken = part.copy(this.message, this.filled, at)
      this.filled += taken
      at += taken
      if (this.filled < this.message.length) return undefined
      const { message } = this
      this.message = undefined
      this.prefixFilled = 0
      this.deliver(message)
    }
  }
}
