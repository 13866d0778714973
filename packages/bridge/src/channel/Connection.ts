/**
 * The gRPC side of one stream: a client on the worker's own Unix socket and the one bidirectional call on it.
 *
 * **Details**
 *
 * No keepalive (end of file is the signal on a Unix socket; keepalive kills streams of a worker that holds the interpreter lock), no
 * shared subchannels, no retries, fast reconnect: a dial is made only after the worker has said that it listens.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf"
import * as grpc from "@grpc/grpc-js"
import {
  type ConnectRequest,
  ConnectRequestSchema,
  type ConnectResponse,
  ConnectResponseSchema,
  WorkerService
} from "../../gen/snakepit/v1/worker_pb.ts"

export interface Connection {
  readonly write: (request: ConnectRequest) => void
  readonly close: () => void
}

/** Who hears the worker. `end` is said once. */
export interface Listener {
  readonly message: (response: ConnectResponse) => void
  readonly end: (detail: string) => void
}

const options: grpc.ClientOptions = {
  "grpc.enable_retries": 0,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.service_config_disable_resolution": 1,
  "grpc.initial_reconnect_backoff_ms": 20,
  "grpc.min_reconnect_backoff_ms": 20,
  "grpc.max_reconnect_backoff_ms": 500,
  "grpc.max_receive_message_length": -1, // frames are bounded one by one, by Hello.max_payload
  "grpc.max_send_message_length": -1
}

const path = `/${WorkerService.typeName}/${WorkerService.method.connect.name}`

const serialize = (request: ConnectRequest): Buffer => {
  const bytes = toBinary(ConnectRequestSchema, request)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
const deserialize = (bytes: Buffer): ConnectResponse => fromBinary(ConnectResponseSchema, bytes)

/** Opens the stream. Errors come through `end`, never as a throw. */
export const open = (socket: string, listener: Listener): Connection => {
  const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), options)
  const stream = client.makeBidiStreamRequest(path, serialize, deserialize)
  let ended = false
  const end = (detail: string) => {
    if (ended) return
    ended = true
    listener.end(detail)
  }
  stream.on("data", (response: ConnectResponse) => {
    if (!ended) listener.message(response)
  })
  stream.on("end", () => end("the worker ended the stream"))
  stream.on("error", (error: grpc.ServiceError) => end(`${grpc.status[error.code]}: ${error.details}`))
  return {
    write: (request) => {
      if (!ended) stream.write(request)
    },
    close: () => {
      ended = true
      stream.cancel()
      client.close()
    }
  }
}
