/**
 * What one would write without Snakepit: a grpc-js client and a grpcio server a worker, on a Unix socket, one unary call a request.
 *
 * In its favour: messages are raw bytes, so neither side spends time on a codec, and nothing is supervised, bounded or timed.
 */
import * as grpc from "@grpc/grpc-js"
import { join } from "node:path"
import type { Closing } from "../Bench.ts"
import * as Python from "../Python.ts"
import { leastOutstanding } from "./LeastOutstanding.ts"

const same = (bytes: Buffer): Buffer => bytes

const options: grpc.ClientOptions = {
  "grpc.use_local_subchannel_pool": 1, // a connection for each worker
  "grpc.max_receive_message_length": -1, // the large ones too
  "grpc.max_send_message_length": -1
}

/** The workers, ready. */
export interface Unary {
  readonly echo: (data: Buffer) => Promise<Buffer>
  /** Elements of the endless server stream of one worker, until `note` says to stop. */
  readonly elements: (note: (elements: number) => boolean) => Promise<void>
}

export const open = async (closing: Closing, size: number): Promise<Unary> => {
  const folder = Python.socketFolder(closing)
  const workers = await Promise.all(Array.from({ length: size }, async (_, n) => {
    const socket = join(folder, `${n}.sock`)
    await Python.start(closing, new URL("python/unary_server.py", import.meta.url), [socket])
    const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), options)
    closing(async () => client.close())
    return { client, outstanding: 0 }
  }))
  return {
    echo: (data) =>
      new Promise((resolve, reject) => {
        const worker = leastOutstanding(workers)
        worker.outstanding++
        worker.client.makeUnaryRequest("/bench.Bench/Echo", same, same, data, (error, reply) => {
          worker.outstanding--
          if (reply === undefined) reject(error)
          else resolve(reply)
        })
      }),
    elements: (note) =>
      new Promise((resolve, reject) => {
        const call = workers[0]!.client.makeServerStreamRequest("/bench.Bench/Elements", same, same, Buffer.alloc(0))
        call.on("data", () => {
          if (!note(1)) call.cancel()
        })
        call.on("error", (error: grpc.ServiceError) => error.code === grpc.status.CANCELLED ? resolve() : reject(error))
      })
  }
}
