/** pythonia (JSPyBridge): Python's objects by proxy. It has one Python process, whatever number of workers is asked for. */
import { fileURLToPath } from "node:url"
import * as Install from "./Install.ts"
import { type Peer, text } from "./Peer.ts"

interface Library {
  readonly python: ((file: string) => Promise<{ readonly echo: (data: string) => Promise<string> }>) & { readonly exit: () => void }
}

export const pythonia: Peer = async (closing) => {
  process.env["PYTHON_BIN"] = Install.interpreter // read when the library is loaded, which starts the process
  const { python } = (await Install.load("pythonia")) as Library
  closing(async () => python.exit())
  const tools = await python(fileURLToPath(new URL("python/bridged.py", import.meta.url)))
  return () => tools.echo(text)
}
