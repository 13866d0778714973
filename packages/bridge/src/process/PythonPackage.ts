/** Where the Python half is: in a checkout beside the packages, else wherever the interpreter has it installed. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const inCheckout = fileURLToPath(new URL("../../../../python/src", import.meta.url))

/** The folder to add to PYTHONPATH; `undefined` when the package is installed. */
export const folder: string | undefined = existsSync(join(inCheckout, "snakepit", "reaper.py")) ? inCheckout : undefined

/** Arguments that run the Reaper: isolated and without site packages, which it does not need and which only cost time. */
export const reaperArguments: ReadonlyArray<string> = folder === undefined
  ? ["-m", "snakepit.reaper"]
  : ["-I", "-S", join(folder, "snakepit", "reaper.py")]
