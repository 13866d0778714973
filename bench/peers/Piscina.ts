/** piscina: threads of JavaScript, no Python at all. What a pool costs that crosses no process. */
import { fileURLToPath } from "node:url"
import * as Install from "./Install.ts"
import type { Peer } from "./Peer.ts"

interface Threads {
  readonly run: (task: unknown) => Promise<unknown>
  readonly destroy: () => Promise<void>
}

interface Library {
  readonly default: new(options: object) => Threads
}

const data = Buffer.alloc(32, 7)

export const piscina: Peer = async (closing, workers) => {
  const { default: Piscina } = (await Install.load("piscina")) as Library
  const pool = new Piscina({
    filename: fileURLToPath(new URL("echo.mjs", import.meta.url)),
    minThreads: workers,
    maxThreads: workers
  })
  closing(() => pool.destroy())
  return () => pool.run(data)
}
