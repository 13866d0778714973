/** An HTTP service: FastAPI on uvicorn, a process and a Unix socket a worker, called by undici over connections that are kept alive. */
import { join } from "node:path"
import { leastOutstanding } from "../call/LeastOutstanding.ts"
import * as Python from "../Python.ts"
import * as Install from "./Install.ts"
import { type Peer, text } from "./Peer.ts"

interface HttpPool {
  readonly request: (options: object) => Promise<{ readonly body: { readonly arrayBuffer: () => Promise<ArrayBuffer> } }>
  readonly close: () => Promise<void>
}

interface Library {
  readonly Pool: new(origin: string, options: object) => HttpPool
}

const connections = 64 // one for each call in flight: HTTP/1.1 answers in order

export const fastApi: Peer = async (closing, workers) => {
  const { Pool } = (await Install.load("undici")) as Library
  const folder = Python.socketFolder(closing)
  const services = await Promise.all(Array.from({ length: workers }, async (_, n) => {
    const socketPath = join(folder, `${n}.sock`)
    await Python.start(closing, new URL("python/http_service.py", import.meta.url), [socketPath], Install.interpreter)
    const pool = new Pool("http://localhost", { socketPath, connections })
    closing(() => pool.close())
    return { pool, outstanding: 0 }
  }))
  return async () => {
    const service = leastOutstanding(services)
    service.outstanding++
    const { body } = await service.pool.request({ method: "POST", path: "/echo", body: text })
    await body.arrayBuffer()
    service.outstanding--
  }
}
