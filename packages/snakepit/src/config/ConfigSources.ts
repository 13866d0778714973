/**
 * Where an application's configuration comes from, and when that is read again.
 *
 * ```text
 *  code  <  configFile  <  environment            (and patches at run time, over all of them)
 *
 *  the folder of the file tells a change ─────────────┐
 *  every 5 s: what tells of no change ────────────────┴▶ its content is another, and at rest ─▶ read again
 *  SIGHUP ──────────────────────────────────────────────────────────────────▶ read again
 * ```
 *
 * **Details**
 *
 * It is the folder that is watched: editors replace a file, and Kubernetes the link that leads to a ConfigMap's. Where the system tells of no change,
 * as of a file on another machine, a look every 5 s finds it. A file that is gone changes nothing, and is told once.
 */
import { type ConfigInvalid, ConfigLayer, type ConfigServer, ConfigShape } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { watch } from "node:fs"
import { dirname, resolve } from "node:path"
import * as ConfigEnvironment from "./ConfigEnvironment.ts"
import * as ConfigFile from "./ConfigFile.ts"

/** 100 ms between two looks that find the same: what an editor does to save a file is over by then. */
const settled = "100 millis"

/** 20, two seconds: a file that never comes to rest is taken as it is then. */
const mostLooks = 20

/** 5 s: where nothing tells of a change, nobody waits long, and one `read` in that time costs nothing. */
const lookAgain = "5 seconds"

/** What {@link make} takes. */
export interface Options {
  readonly schema: Schema.Top
  /** What the program says in its code. */
  readonly code: unknown
  readonly file: string | undefined
  readonly environment?: { readonly [name: string]: string | undefined } | undefined
}

/** With a file the process takes SIGHUPs from now on, until the scope closes. */
export const make = Effect.fnUntraced(function*({ code, environment = process.env, file: given, schema }: Options) {
  const files = yield* FileSystem.FileSystem
  const shape = ConfigShape.of(schema)
  const file = given === undefined ? undefined : resolve(given)
  /** What was found when it was read last: what stood there, or why there is nothing. */
  let last: string | undefined

  const content = (path: string) => Effect.provideService(ConfigFile.read(path), FileSystem.FileSystem, files)
  const known = (found: Result.Result<Uint8Array, ConfigInvalid.ConfigInvalid>) =>
    Result.isSuccess(found) ? Buffer.from(found.success).toString("latin1") : found.failure.message

  const read = Effect.gen(function*() {
    const layers = [ConfigLayer.code(code)]
    if (file !== undefined) {
      const found = yield* Effect.result(content(file))
      last = known(found)
      layers.push(yield* ConfigFile.parse(file, yield* Effect.fromResult(found)))
    }
    return [...layers, yield* ConfigEnvironment.layer(shape, environment, ConfigLayer.merge(layers))]
  })

  if (file === undefined) return { read, changed: Stream.never } satisfies ConfigServer.Sources
  const look = Effect.map(Effect.result(content(file)), known)
  /** Whether another content stands there, and has come to rest. */
  const another = Effect.gen(function*() {
    let found = yield* look
    for (let looks = 0; found !== last && looks < mostLooks; looks++) {
      yield* Effect.sleep(settled)
      const again = yield* look
      if (again === found) break
      found = again
    }
    const isAnother = found !== last
    last = found
    return isAnother
  })
  const changed = Stream.merge(changesIn(dirname(file)), Stream.tick(lookAgain)).pipe(
    Stream.filterEffect(() => another),
    Stream.map(() => "file")
  )
  return { read, changed: Stream.merge(changed, yield* hangups) } satisfies ConfigServer.Sources
})

/** Whenever something changes in a folder. Where it cannot be watched, or no longer, never: what looks again will do. */
const changesIn = (folder: string) =>
  Stream.callback<void>((queue) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        try {
          return watch(folder, () => void Queue.offerUnsafe(queue, undefined)).on("error", () => {}) // it is gone itself
        } catch {
          return undefined
        }
      }),
      (watcher) => Effect.sync(() => watcher?.close())
    ), { bufferSize: 1, strategy: "sliding" }) // one look is for all that has changed before it

/**
 * Each SIGHUP, until the scope closes: by default it would end the program. The handler is not the ConfigServer's, which may be away: one that nobody has
 * heard yet is kept.
 */
const hangups = Effect.gen(function*() {
  const queue = yield* Queue.sliding<string>(1) // one look is for all that were before it
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const heard = () => void Queue.offerUnsafe(queue, "SIGHUP")
      process.on("SIGHUP", heard)
      return heard
    }),
    (heard) => Effect.sync(() => void process.off("SIGHUP", heard))
  )
  return Stream.fromQueue(queue)
})
