/**
 * Where an application's configuration comes from, and when that is read again.
 *
 * ```text
 *  code  <  configFile  <  environment            (and patches at run time, over all of them)
 *
 *  the folder of the file tells a change ─ debounced ─┐
 *  every 5 s: what tells of no change ────────────────┴▶ the text is another ─▶ read again
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
import { dirname, resolve } from "node:path"
import * as ConfigEnvironment from "./ConfigEnvironment.ts"
import * as ConfigFile from "./ConfigFile.ts"

/** 100 ms: what an editor does to save a file is over by then. */
const settled = "100 millis"

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

export const make = Effect.fnUntraced(function*({ code, environment = process.env, file: given, schema }: Options) {
  const files = yield* FileSystem.FileSystem
  const shape = ConfigShape.of(schema)
  const file = given === undefined ? undefined : resolve(given)
  /** What was found when it was read last: its text, or why there is none. */
  let last: string | undefined

  const text = (path: string) => Effect.provideService(ConfigFile.read(path), FileSystem.FileSystem, files)
  const known = (found: Result.Result<string, ConfigInvalid.ConfigInvalid>) =>
    Result.isSuccess(found) ? found.success : found.failure.message

  const read = Effect.gen(function*() {
    const layers = [ConfigLayer.code(code)]
    if (file !== undefined) {
      const found = yield* Effect.result(text(file))
      last = known(found)
      layers.push(yield* ConfigFile.parse(file, yield* Effect.fromResult(found)))
    }
    return [...layers, yield* ConfigEnvironment.layer(shape, environment, ConfigLayer.merge(layers))]
  })

  if (file === undefined) return { read, changed: Stream.never } satisfies ConfigServer.Sources
  const told = Stream.suspend(() => Stream.debounce(files.watch(dirname(file)), settled)).pipe(
    Stream.catch(() => Stream.empty), // it cannot be watched: what looks again will do
    Stream.map(() => undefined)
  )
  const another = Effect.gen(function*() {
    const found = known(yield* Effect.result(text(file)))
    if (found === last) return false
    last = found
    return true
  })
  const changed = Stream.merge(told, Stream.tick(lookAgain)).pipe(Stream.filterEffect(() => another), Stream.map(() => "file"))
  return { read, changed: Stream.merge(changed, hangups) } satisfies ConfigServer.Sources
})

/** Each SIGHUP, as long as somebody listens: by default it would end the program. */
const hangups = Stream.callback<string>((queue) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const heard = () => void Queue.offerUnsafe(queue, "SIGHUP")
      process.on("SIGHUP", heard)
      return heard
    }),
    (heard) => Effect.sync(() => void process.off("SIGHUP", heard))
  )
)
