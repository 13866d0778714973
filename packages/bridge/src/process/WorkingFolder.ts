/** Whether the folder that a pool's Python is to work in is one: a process cannot say which of its settings it did not start for. */
import type { WorkerError } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import { accessSync, constants, statSync } from "node:fs"
import type { PythonConfig } from "../PythonConfig.ts"

/** Why it cannot be used, naming the key; `undefined` when it can. */
export const obstacle = ({ cwd }: Pick<PythonConfig, "cwd">): string | undefined => {
  if (cwd === undefined) return undefined
  try {
    if (!statSync(cwd).isDirectory()) return `python.cwd is "${cwd}", which is no folder`
    accessSync(cwd, constants.X_OK)
    return undefined
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined
    return code === "ENOENT"
      ? `python.cwd is "${cwd}", and there is no such folder`
      : `python.cwd is "${cwd}", which cannot be entered: ${cause instanceof Error ? cause.message : String(cause)}`
  }
}

/** Fails when it cannot be used. */
export const check = (
  config: Pick<PythonConfig, "cwd">,
  failed: (stage: "cwd", detail: string) => WorkerError.BootFailed
): Effect.Effect<void, WorkerError.BootFailed> =>
  Effect.suspend(() => {
    const found = obstacle(config)
    return found === undefined ? Effect.void : Effect.fail(failed("cwd", found))
  })
