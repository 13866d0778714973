/**
 * The folder of one run, for the sockets of its workers: under `$XDG_RUNTIME_DIR`, else under the system's temporary folder, for this
 * user alone (0700), removed at the end.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** What the kernel takes: `sun_path` is 108 bytes with its terminating zero. */
export const maxSocketPath = 107

/** A worker's socket would have a path that the kernel refuses. */
export class SocketPathTooLong extends Schema.TaggedError<SocketPathTooLong>()("SocketPathTooLong", {
  path: Schema.String,
  bytes: Schema.Int,
  limit: Schema.Int
}) {
  override get message(): string {
    return `the path of a worker's socket would take ${this.bytes} bytes, and the kernel allows ${this.limit}: ${this.path}. ` +
      "Set XDG_RUNTIME_DIR (or TMPDIR) to a folder with a short path, /run/user/<uid> for example, or give the pool a shorter name"
  }
}

/** There is no folder that sockets can be put in. */
export class RunFolderFailed extends Schema.TaggedError<RunFolderFailed>()("RunFolderFailed", {
  folder: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `no folder for the workers' sockets could be made under ${this.folder}: ${this.detail}. ` +
      "Set XDG_RUNTIME_DIR or TMPDIR to a folder that you may write to"
  }
}

const isWritable = (folder: string): boolean => {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The folder that run folders are made under. */
export const base = (env: Record<string, string | undefined>): string => {
  const runtime = env["XDG_RUNTIME_DIR"]
  return runtime !== undefined && runtime !== "" && isWritable(runtime) ? runtime : tmpdir()
}

/** The socket of one generation of a worker, or of the pool's next spare (`"s"`: no longer than the number of a slot). */
export const socketPath = (folder: string, pool: string, slot: number | "s", generation: number): string =>
  join(folder, `${pool}.${slot}.${generation}`)

/** Makes the folder in the current scope, after checking that the longest socket path of `pools` fits. */
export const make = (pools: ReadonlyArray<{ readonly pool: string; readonly size: number }>) =>
  Effect.acquireRelease(
    Effect.suspend((): Effect.Effect<string, SocketPathTooLong | RunFolderFailed> => {
      const under = base(process.env)
      for (const { pool, size } of pools) {
        const path = socketPath(join(under, "snakepit-XXXXXX"), pool, size - 1, 999_999)
        const bytes = Buffer.byteLength(path)
        if (bytes > maxSocketPath) return Effect.fail(new SocketPathTooLong({ path, bytes, limit: maxSocketPath }))
      }
      return Effect.try({
        try: () => mkdtempSync(join(under, "snakepit-")), // mkdtemp makes it 0700
        catch: (cause) => new RunFolderFailed({ folder: under, detail: cause instanceof Error ? cause.message : String(cause) })
      })
    }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
