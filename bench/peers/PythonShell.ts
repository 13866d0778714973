/** python-shell: lines of JSON over stdin and stdout of a script. It has no pool and no ids: a worker answers in order. */
import { fileURLToPath } from "node:url"
import { leastOutstanding } from "../call/LeastOutstanding.ts"
import * as Install from "./Install.ts"
import { type Peer, text } from "./Peer.ts"

interface Shell {
  readonly send: (message: unknown) => void
  readonly on: (event: "message", handler: (message: unknown) => void) => void
  readonly end: (callback: () => void) => void
}

interface Library {
  readonly PythonShell: new(file: string, options: object) => Shell
}

export const pythonShell: Peer = async (closing, workers) => {
  const { PythonShell } = (await Install.load("python-shell")) as Library
  const shells = Array.from({ length: workers }, () => {
    const shell = new PythonShell(fileURLToPath(new URL("python/json_lines.py", import.meta.url)), {
      mode: "json",
      pythonPath: Install.interpreter
    })
    const waiting: Array<(message: unknown) => void> = []
    shell.on("message", (message) => waiting.shift()?.(message))
    closing(() => new Promise((resolve) => shell.end(resolve)))
    return {
      get outstanding() {
        return waiting.length
      },
      call: (message: unknown) =>
        new Promise((resolve) => {
          waiting.push(resolve)
          shell.send(message)
        })
    }
  })
  return () => leastOutstanding(shells).call(text)
}
