import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { ConfigLayer } from "@snakepit/pool"
import { Effect, Fiber, Option, Queue, Stream } from "effect"
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as ConfigSources from "../src/config/ConfigSources.ts"
import { SnakepitConfig } from "../src/SnakepitConfig.ts"

const text = (size: number) => `pools: { default: { size: ${size} } }\n`
const patience = "12 seconds" // two of the looks that find what nothing tells of

/** A file that is watched, and what is heard of it. */
const watching = Effect.fnUntraced(function*(prepare: (folder: string) => string) {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "snakepit-watch-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const file = prepare(folder)
  const heard = yield* Queue.unbounded<string>()
  const sources = yield* ConfigSources.make({ schema: SnakepitConfig, code: {}, file, environment: {} })
  const size = Effect.map(sources.read, (layers) => ConfigLayer.valueAt(ConfigLayer.merge(layers), ["pools", "default", "size"]))
  assert.strictEqual(yield* size, 1)
  const reader = yield* Effect.forkScoped(Stream.runForEach(sources.changed, (by) => Queue.offer(heard, by)), { startImmediately: true })
  const next = Effect.timeout(Queue.take(heard), patience)
  return { folder, file, next, size, reader, sources }
})

const plain = (folder: string): string => {
  const file = join(folder, "snakepit.yaml")
  writeFileSync(file, text(1))
  return file
}

describe("a configuration file is read again", () => {
  it.live("when it is written, and when another takes its place", () =>
    Effect.gen(function*() {
      const { file, folder, next, size } = yield* watching(plain)
      writeFileSync(file, text(2))
      assert.strictEqual(yield* next, "file")
      assert.strictEqual(yield* size, 2)
      writeFileSync(join(folder, "new"), text(3))
      renameSync(join(folder, "new"), file)
      assert.strictEqual(yield* next, "file")
      assert.strictEqual(yield* size, 3)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("when a link on its way leads elsewhere, as of a ConfigMap of Kubernetes", () =>
    Effect.gen(function*() {
      const { folder, next, size } = yield* watching((folder) => {
        for (const version of [1, 2]) {
          mkdirSync(join(folder, `..v${version}`))
          writeFileSync(join(folder, `..v${version}`, "snakepit.yaml"), text(version))
        }
        symlinkSync("..v1", join(folder, "..data"))
        symlinkSync(join("..data", "snakepit.yaml"), join(folder, "snakepit.yaml"))
        return join(folder, "snakepit.yaml")
      })
      symlinkSync("..v2", join(folder, "..data_tmp"))
      renameSync(join(folder, "..data_tmp"), join(folder, "..data"))
      assert.strictEqual(yield* next, "file")
      assert.strictEqual(yield* size, 2)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("when it has gone, which is told, and when it is there again", () =>
    Effect.gen(function*() {
      const { file, next, size } = yield* watching(plain)
      unlinkSync(file)
      assert.strictEqual(yield* next, "file")
      assert.include((yield* Effect.flip(size)).message, "there is no such file")
      writeFileSync(file, text(4))
      assert.strictEqual(yield* next, "file")
      assert.strictEqual(yield* size, 4)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("at a SIGHUP, which ends the program no more, also while nobody listens, and does again afterwards", () =>
    Effect.gen(function*() {
      const listening = process.listenerCount("SIGHUP")
      yield* Effect.scoped(Effect.gen(function*() {
        const { next, reader, sources } = yield* watching(plain)
        process.emit("SIGHUP")
        assert.strictEqual(yield* next, "SIGHUP")
        yield* Fiber.interrupt(reader) // as when the ConfigServer is restarted
        assert.strictEqual(process.listenerCount("SIGHUP"), listening + 1)
        process.emit("SIGHUP")
        const kept = yield* Stream.runHead(sources.changed).pipe(Effect.timeout(patience))
        assert.deepStrictEqual(kept, Option.some("SIGHUP"))
      }))
      assert.strictEqual(process.listenerCount("SIGHUP"), listening)
    }).pipe(Effect.provide(NodeServices.layer)))
})
