/** Python tools that call functions of this host while they run, over a real stream. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Latch, Layer, Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import type { Socket } from "node:net"
import { CallError, HostTools, Pool, Snakepit } from "snakepit"
import { journal, linesOf } from "./fixtures/Journal.ts"
import { config, until } from "./fixtures/Program.ts"
import { pidOf, recorder } from "./fixtures/Recorder.ts"

class NoRow extends Schema.TaggedError<NoRow>()("NoRow", { key: Schema.String }) {
  override get message(): string {
    return `there is no row ${this.key}`
  }
}

class Tools extends RpcGroup.make(
  Rpc.make("ask", { payload: { name: Schema.String, arguments: Schema.Unknown }, success: Schema.Unknown }),
  Rpc.make("ask_async", { payload: { name: Schema.String, arguments: Schema.Unknown }, success: Schema.Unknown }),
  Rpc.make("ask_together", { payload: { name: Schema.String, count: Schema.Int }, success: Schema.Unknown }),
  Rpc.make("tell", { payload: { name: Schema.String, arguments: Schema.Unknown }, success: Schema.Unknown }),
  Rpc.make("ask_and_clean_up", { payload: { name: Schema.String, journal: Schema.String }, success: Schema.Unknown }),
  Rpc.make("nap", { payload: { seconds: Schema.Finite }, success: Schema.String }),
  Rpc.make("leaf", { payload: { n: Schema.Int }, success: Schema.Int })
) {}

class Host extends RpcGroup.make(
  Rpc.make("row", {
    payload: { key: Schema.String, where: Schema.Record(Schema.String, Schema.Int) },
    success: Schema.String,
    error: NoRow
  }),
  Rpc.make("echo", { payload: { value: Schema.Unknown }, success: Schema.Unknown }),
  Rpc.make("meet", { payload: { n: Schema.Int }, success: Schema.Int }),
  Rpc.make("waits", { success: Schema.String }),
  Rpc.make("nested", { payload: { n: Schema.Int }, success: Schema.Int, error: CallError.CallError })
) {}

class Rows extends Context.Service<Rows, ReadonlyMap<string, string>>()("test/Rows") {}

/** Of a failure, as the tool `tell` has it. */
interface Told {
  readonly kind?: string
  readonly tag?: string
  readonly tool?: string
  readonly data?: unknown
  readonly message: string
}

/** What the handlers have been through. */
class Seen extends Context.Service<Seen, {
  readonly reached: Latch.Latch
  readonly release: Latch.Latch
  readonly interrupted: Deferred.Deferred<void>
  runs: number
  here: number
}>()("test/Seen") {}

const seen = Effect.map(Deferred.make<void>(), (interrupted) => ({
  reached: Latch.makeUnsafe(),
  release: Latch.makeUnsafe(),
  interrupted,
  runs: 0,
  here: 0
}))

const host = HostTools.make(Host, {
  row: ({ key, where }) =>
    Effect.flatMap(Rows, (rows) => {
      const row = rows.get(key)
      return row === undefined ? Effect.fail(new NoRow({ key })) : Effect.succeed(`${row} ${JSON.stringify(where)}`)
    }),
  echo: ({ value }) => Effect.succeed(value),
  meet: ({ n }) =>
    Effect.gen(function*() {
      const seen = yield* Seen
      if (++seen.here === 3) yield* seen.release.open
      yield* seen.release.await
      return n
    }),
  waits: () =>
    Effect.gen(function*() {
      const seen = yield* Seen
      seen.runs++
      yield* seen.reached.open
      yield* seen.release.await
      return `run ${seen.runs}`
    }).pipe(Effect.onInterrupt(() => Effect.flatMap(Seen, ({ interrupted }) => Deferred.succeed(interrupted, undefined)))),
  nested: ({ n }) => Effect.flatMap(Pool.client(Tools), ({ leaf }) => leaf({ n })).pipe(Effect.catchTag("PoolNotFound", Effect.die))
})

/** Served while a test runs, with what is seen in that test. */
const serving = Effect.gen(function*() {
  const given = yield* seen
  yield* HostTools.serve(host).pipe(Effect.provideService(Seen, given), Effect.provideService(Rows, new Map([["a", "alpha"]])))
  return { ...(yield* Pool.client(Tools)), seen: given }
})

const settings = (pool: Parameters<typeof config>[1] = {}) => Snakepit.layer(config({ adapter: "hosted" }, { size: 1, ...pool }))

describe("a host tool of a real worker", () => {
  layer(settings({ concurrency: 4 }), { excludeTestServices: true, timeout: "30 seconds" })((it) => {
    it.effect("answers plain and async tools, with arguments of every kind as what they are", () =>
      Effect.gen(function*() {
        const { ask, ask_async } = yield* serving
        for (const tool of [ask, ask_async]) {
          // texts and dicts were not what the host of the original could read (6b-11)
          assert.strictEqual(yield* tool({ name: "row", arguments: { key: "a", where: { x: 1 } } }), `alpha {"x":1}`)
          for (const value of ["text", "", { a: { b: [1, null] } }, new Uint8Array([0, 255]), 2n ** 60n, "schön ✓"]) {
            assert.deepStrictEqual(yield* tool({ name: "echo", arguments: { value } }), value)
          }
          const large = new Uint8Array(100_000).fill(7) // in segments, both ways
          assert.deepStrictEqual(yield* tool({ name: "echo", arguments: { value: large } }), large)
        }
      }))

    it.effect("many at once are answered each with its own", () =>
      Effect.gen(function*() {
        const { ask_together } = yield* serving
        assert.deepStrictEqual(yield* ask_together({ name: "meet", count: 3 }), [0, 1, 2])
      }))

    it.effect("that fails as declared, is unknown or is given what does not fit says so in Python, and to the caller", () =>
      Effect.gen(function*() {
        const { ask, tell } = yield* serving
        assert.deepStrictEqual(yield* tell({ name: "row", arguments: { key: "b", where: {} } }), {
          tag: "NoRow",
          data: { _tag: "NoRow", key: "b" },
          message: "there is no row b"
        })
        const error = yield* Effect.flip(ask({ name: "row", arguments: { key: "b", where: {} } }))
        if (error._tag !== "PythonError") return assert.fail(error._tag)
        assert.strictEqual(error.exception.type, "snakepit.HostToolError")
        assert.include(error.exception.bases, "snakepit.HostCallError")
        assert.include(error.message, "there is no row b")
        const unknown = yield* tell({ name: "roww", arguments: {} }) as Effect.Effect<Told>
        assert.include(unknown, { kind: "UnknownHostTool", tool: "roww" })
        assert.include(unknown.message, "Did you mean \"row\"?")
        const unfit = yield* tell({ name: "row", arguments: { key: 1, where: {} } }) as Effect.Effect<Told>
        assert.include(unfit, { kind: "InvalidHostArguments" })
        assert.include(unfit.message, "[\"key\"]")
      }))

    it.effect("is interrupted when its call is cancelled, which cleans up and leaves its worker fit", () =>
      Effect.gen(function*() {
        const { ask_and_clean_up, leaf, seen } = yield* serving
        const file = yield* journal
        const call = yield* Effect.forkChild(ask_and_clean_up({ name: "waits", journal: file }), { startImmediately: true })
        yield* seen.reached.await
        yield* Fiber.interrupt(call)
        yield* Deferred.await(seen.interrupted)
        assert.deepStrictEqual(yield* Effect.promise(() => until(() => linesOf(file), (lines) => lines.length > 0)), ["cleaned up"])
        assert.strictEqual(yield* leaf({ n: 1 }), 2)
      }))
  })

  layer(settings(), { excludeTestServices: true, timeout: "30 seconds" })((it) => {
    it.effect("whose call to Python would wait for its own caller is told so at once", () =>
      Effect.gen(function*() {
        const { leaf, tell } = yield* serving
        const told = yield* tell({ name: "nested", arguments: { n: 1 } }) as Effect.Effect<Told>
        assert.include(told, { tag: "CallCycle" })
        assert.deepStrictEqual((told.data as CallError.CallCycle).cycle, [{ pool: "default", tool: "leaf" }, {
          pool: "default",
          tool: "tell",
          hostTool: "nested"
        }])
        assert.include(told.message, "it would wait for ever")
        assert.strictEqual(yield* leaf({ n: 1 }), 2)
      }))
  })

  const given = Snakepit.layer(config({ adapter: "hosted" }, { size: 2 }), { hostTools: { default: host } }).pipe(
    Layer.provide(Layer.succeed(Rows, new Map([["a", "alpha"]]))),
    Layer.provide(Layer.effect(Seen, seen))
  )
  layer(given, { excludeTestServices: true, timeout: "30 seconds" })((it) => {
    it.effect("is given to the application with what it needs, and may call Python where there is another place", () =>
      Effect.gen(function*() {
        const { ask } = yield* Pool.client(Tools)
        assert.strictEqual(yield* ask({ name: "row", arguments: { key: "a", where: {} } }), "alpha {}")
        assert.strictEqual(yield* ask({ name: "nested", arguments: { n: 1 } }), 2)
      }))
  })
})

const dialled: Array<Socket> = []
const note = (message: unknown) => void dialled.push((message as { readonly socket: Socket }).socket)

describe("a host tool that runs while the stream to its worker is cut", () => {
  it.live("is run once, and its answer comes on the next stream", () =>
    Effect.acquireUseRelease(
      Effect.sync(() => subscribe("net.client.socket", note)),
      () =>
        Effect.gen(function*() {
          const { awaitEvent } = yield* recorder(0)
          const { ask, seen } = yield* serving
          const pid = yield* pidOf(0)
          const call = yield* Effect.forkChild(ask({ name: "waits", arguments: {} }), { startImmediately: true })
          yield* seen.reached.await
          dialled.at(-1)!.destroy()
          yield* seen.release.open
          yield* awaitEvent("snakepit.worker_supervisor.recover")
          assert.strictEqual(yield* Fiber.join(call), "run 1")
          assert.strictEqual(seen.runs, 1)
          assert.strictEqual(yield* pidOf(0), pid)
        }).pipe(Effect.scoped, Effect.provide(settings())),
      () => Effect.sync(() => unsubscribe("net.client.socket", note))
    ), 20_000)
})
