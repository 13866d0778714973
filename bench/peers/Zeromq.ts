/** ZeroMQ: a DEALER socket to the ROUTER of each worker, over a Unix socket; calls are told apart by an id in the first frame. */
import { join } from "node:path"
import { leastOutstanding } from "../call/LeastOutstanding.ts"
import * as Python from "../Python.ts"
import * as Install from "./Install.ts"
import { type Peer, text } from "./Peer.ts"

interface Dealer extends AsyncIterable<ReadonlyArray<Buffer>> {
  readonly connect: (address: string) => void
  readonly send: (frames: ReadonlyArray<Buffer>) => Promise<void>
  readonly close: () => void
}

interface Library {
  readonly Dealer: new() => Dealer
}

const data = Buffer.from(text)

export const zeromq: Peer = async (closing, workers) => {
  const { Dealer } = (await Install.load("zeromq")) as Library
  const folder = Python.socketFolder(closing)
  const dealers = await Promise.all(Array.from({ length: workers }, async (_, n) => {
    const address = `ipc://${join(folder, `${n}.sock`)}`
    await Python.start(closing, new URL("python/zmq_router.py", import.meta.url), [address], Install.interpreter)
    const socket = new Dealer()
    socket.connect(address)
    closing(async () => socket.close())
    const waiting = new Map<number, (reply: Buffer) => void>()
    const unsent: Array<ReadonlyArray<Buffer>> = []
    let sending = false
    let ids = 0
    const flush = async () => { // one send at a time: the library's rule
      sending = true
      for (let frames = unsent.shift(); frames !== undefined; frames = unsent.shift()) await socket.send(frames)
      sending = false
    }
    void (async () => {
      for await (const [id, reply] of socket) {
        const key = id!.readUInt32LE()
        const resolve = waiting.get(key)
        waiting.delete(key)
        resolve?.(reply!)
      }
    })()
    return {
      get outstanding() {
        return waiting.size
      },
      call: () =>
        new Promise((resolve) => {
          ids = (ids + 1) >>> 0
          const id = Buffer.allocUnsafe(4)
          id.writeUInt32LE(ids)
          waiting.set(ids, resolve)
          unsent.push([id, data])
          if (!sending) void flush()
        })
    }
  }))
  return () => leastOutstanding(dealers).call()
}
