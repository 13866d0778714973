/** Runs a program to its end, for a bounded time, and keeps what it said. */
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"

/** `missing`: there is no such program. `timedOut`: it was killed. */
export type Ran =
  | { readonly _tag: "ended"; readonly code: number; readonly stdout: string; readonly stderr: string }
  | { readonly _tag: "missing"; readonly detail: string }
  | { readonly _tag: "timedOut" }

/** 60 s: importing gRPC from a cold disk. */
const patience = 60_000

/** 64 MiB: far more than any adapter has to say of itself. */
const maxBuffer = 64 << 20

/** Its standard input is at its end from the beginning. */
export const run = (program: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = process.env, cwd?: string): Effect.Effect<Ran> =>
  Effect.callback((resume) => {
    const options = { env, cwd, timeout: patience, maxBuffer, killSignal: "SIGKILL", encoding: "utf8" } as const
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) return resume(Effect.succeed({ _tag: "ended", code: 0, stdout, stderr }))
      if (error.killed === true) return resume(Effect.succeed({ _tag: "timedOut" }))
      if (typeof error.code === "number") return resume(Effect.succeed({ _tag: "ended", code: error.code, stdout, stderr }))
      if (typeof error.code === "string") return resume(Effect.succeed({ _tag: "missing", detail: error.message }))
      resume(Effect.succeed({ _tag: "ended", code: 1, stdout, stderr: `${stderr}\nended by ${error.signal}` }))
    })
    child.stdin?.on("error", () => {}) // it ended before it read
    child.stdin?.end()
  })
