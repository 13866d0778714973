/**
 * The gRPC side of one stream: a client on the worker's own Unix socket and the one bidirectional call on it.
 *
 * **Details**
 *
 * No keepalive (end of file is the signal on a Unix socket; keepalive kills streams of a worker that holds the interpreter lock), no
 * shared subchannels, no retries, fast reconnect: a dial is made only after the worker has said that it listens.
 */
import * as grpc from "@grpc/grpc-js"
import { WorkerService } from "../../gen/snakepit/v1/worker_pb.ts"

export interface Connection {
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

const options = (maxPayload: number): grpc.ClientOptions => ({
  "grpc.enable_retries": 0,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.service_config_disable_resolution": 1,
  "grpc.initial_reconnect_backoff_ms": 20,
  "grpc.min_reconnect_backoff_ms": 20,
  "grpc.max_reconnect_backoff_ms": 500,
  "grpc.max_receive_message_length": maxPayload + besidePayload,
  "grpc.max_send_message_length": -1
})

const path = `/${WorkerService.typeName}/${WorkerService.method.connect.name}`

const asIs = (message: Buffer): Buffer => message

/** Opens the stream. Errors come through `end`, never as a throw. */
export const open = (socket: string, maxPayload: number, listener: Listener): Connection => {
  const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), options(maxPayload))
  const stream = client.makeBidiStreamRequest(path, asIs, asIs)
  let ended = false
  const end = (detail: string, byWorker: boolean) => {
    if (ended) return
    ended = true
    listener.end({ detail, byWorker })
  }
  stream.on("data", (message: Buffer) => {
    if (!ended) listener.message(message)
  })
  stream.on("end", () => end("the worker ended the stream", true))
  stream.on("error", (error: grpc.ServiceError) => end(`${grpc.status[error.code]}: ${error.details}`, error.code === grpc.status.ABORTED))
  return {
    write: (message) => {
      if (!ended) stream.write(message)
    },
    close: () => {
      ended = true
      stream.cancel()
      client.close()
    }
  }
}
