/** Where the Python half is: in a checkout beside the packages, else wherever the interpreter has it installed. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const inCheckout = fileURLToPath(new URL("../../../../python/src", import.meta.url))
const reaperFile = join(inCheckout, "snakepit_reaper", "__main__.py")

/** The folder to add to PYTHONPATH; `undefined` when the package is installed. */
export const folder: string | undefined = existsSync(reaperFile) ? inCheckout : undefined

/**
 * Arguments that run the Reaper: isolated, so that nothing in PYTHONPATH or the working folder takes the place of one of its modules. In a
 * checkout also without site packages, which it does not need and which only cost time; installed, it is one itself.
 */
export const reaperArguments: ReadonlyArray<string> = folder === undefined
  ? ["-I", "-m", "snakepit_reaper"]
  : ["-I", "-S", reaperFile]
