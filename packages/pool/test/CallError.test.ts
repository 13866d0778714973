import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Schema, type Scope, Stream } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import * as Roster from "../src/control/Roster.ts"
import { CallError, HostTools, type PoolConfig, Session, Tool } from "../src/index.ts"
import { ScriptedTool } from "../src/testing/index.ts"
import { after, begin, errorOf } from "./OpenPools.ts"
import { openTools } from "./OpenTools.ts"

class Tools extends RpcGroup.make(
  Rpc.make("slow", { success: Schema.Int }),
  Rpc.make("asks", { success: Schema.Int }),
  Rpc.make("echo", { payload: { text: Schema.String }, success: Schema.String }),
  Rpc.make("raise", { success: Schema.Int }),
  Rpc.make("giveUp", { success: Schema.Int }),
  Rpc.make("wrong", { success: Schema.Int }),
  Rpc.make("large", { success: Schema.String }),
  Rpc.make("nowhere", { success: Schema.Int }),
  Rpc.make("stream", { success: Schema.Int, stream: true }),
  Rpc.make("sum", { payload: { numbers: Tool.InputStream(Schema.Int) }, success: Schema.Int })
) {}

const tools = {
  slow: { run: () => 1, takes: "1 second" },
  echo: ({ text }: { readonly text: string }) => text,
  asks: (_: unknown, { call }: ScriptedTool.Current) => call("slow"),
  raise: () =>
    ScriptedTool.raise("ExceptionGroup", "two", {
      bases: ["Exception"],
      frames: [{ file: "/fit.py", line: 3, function: "fit", source: "raise" }],
      members: [ScriptedTool.exception("KeyError", "'a'")],
      cause: ScriptedTool.exception("OSError", "disk")
    }),
  giveUp: () => Effect.interrupt,
  wrong: () => "one",
  large: () => "x".repeat(2000),
  stream: () => 1,
  sum: { input: "numbers", run: ({ numbers }: { readonly numbers: ScriptedTool.Inputs<number> }) => Stream.runCount(numbers) }
} satisfies Record<string, ScriptedTool.ScriptedTool>

const open = Effect.fnUntraced(function*(pool: PoolConfig.PoolConfigInput = {}) {
  const opened = yield* openTools(tools, { pools: { default: { size: 1, maxPayload: 1024, ...pool } } })
  return { ...opened, client: yield* opened.clientOf(Tools) }
})
type Opened = Effect.Success<ReturnType<typeof open>>

/** Makes the error happen, in a pool with these settings. */
const by = (
  path: (opened: Opened) => Effect.Effect<CallError.CallError, unknown, Scope.Scope>,
  pool: PoolConfig.PoolConfigInput = {}
) => Effect.flatMap(open(pool), path)

/** One path to each. */
const paths: { readonly [T in CallError.CallError["_tag"]]: Effect.Effect<CallError.CallError, unknown, Scope.Scope> } = {
  QueueFull: by(({ client }) => Effect.andThen(begin(client.slow()), Effect.flip(client.slow())), { queue: { capacity: 0 } }),
  QueueTimeout: by(({ client }) =>
    Effect.gen(function*() {
      yield* begin(client.slow())
      const call = yield* begin(client.slow(undefined, { queueTimeout: "100 millis" }))
      yield* after("200 millis")
      return yield* errorOf(call)
    })
  ),
  PoolDown: Effect.flatMap(Effect.scoped(open()), ({ client }) => Effect.flip(client.slow())),
  PoolDraining: by(({ client, roster }) =>
    Effect.suspend(() => {
      Roster.put(roster(), { _tag: "Refuse" })
      return Effect.flip(client.slow())
    })
  ),
  SessionLost: by(({ client, scripted }) =>
    Effect.gen(function*() {
      yield* begin(client.slow(undefined, { session: "s" }))
      const call = yield* begin(client.slow(undefined, { session: "s" }))
      yield* scripted.worker("default/0").crash()
      return yield* errorOf(call)
    }), { affinity: "strict_queue" }),
  SessionBusy: by(({ client }) =>
    Effect.gen(function*() {
      yield* begin(client.slow(undefined, { session: "s" }))
      return yield* Effect.flip(client.slow(undefined, { session: "s" }))
    }), { affinity: "strict_fail_fast" }),
  CallCycle: by(({ client, provided }) =>
    Effect.gen(function*() {
      const error = yield* Deferred.make<CallError.CallError>()
      const contract = RpcGroup.make(Rpc.make("slow", { success: Schema.Int }))
      const slow = () => Effect.as(Effect.flatMap(Effect.flip(client.slow()), (why) => Deferred.succeed(error, why)), 1).pipe(Effect.orDie)
      yield* HostTools.serve(HostTools.make(contract, { slow })).pipe(provided)
      yield* client.asks()
      return yield* Deferred.await(error)
    })
  ),
  SessionEnded: by(({ client, provided }) =>
    Effect.gen(function*() {
      yield* begin(client.slow(undefined, { session: "s" }))
      const call = yield* begin(client.slow(undefined, { session: "s" }))
      yield* begin(provided(Session.end("default", "s")))
      return yield* errorOf(call)
    })
  ),
  SessionsFull: by(({ client }) =>
    Effect.andThen(
      client.echo({ text: "" }, { session: "s" }),
      Effect.flip(client.echo({ text: "" }, { session: "t" }))
    ), { sessions: { maxSessions: 1 } }),
  ToolNotFound: by(({ client }) => Effect.flip(client.nowhere())),
  ContractMismatch: by(({ client }) => Effect.flip(Stream.runDrain(client.stream()))),
  PayloadTooLarge: by(({ client }) => Effect.flip(client.echo({ text: "x".repeat(2000) }))),
  InvalidPayload: by(({ client }) => Effect.flip(client.echo({ text: 5 as unknown as string }))),
  PythonError: by(({ client }) => Effect.flip(client.raise())),
  WorkerCrashed: by(({ client, scripted }) =>
    Effect.gen(function*() {
      const call = yield* begin(client.slow())
      yield* after("100 millis")
      yield* scripted.worker("default/0").crash("SIGSEGV")
      return yield* errorOf(call)
    })
  ),
  CallPoisoned: by(({ client, scripted }) =>
    Effect.gen(function*() {
      const call = yield* begin(client.slow())
      yield* after("100 millis")
      yield* scripted.worker("default/0").crash("SIGSEGV")
      return yield* errorOf(call)
    }), { barrier: { poisonAfter: 1 } }),
  CircuitOpen: by(({ client, scripted }) =>
    Effect.gen(function*() {
      const call = yield* begin(client.slow())
      yield* after("100 millis")
      yield* scripted.worker("default/0").crash("SIGSEGV")
      yield* errorOf(call)
      return yield* Effect.flip(client.slow())
    }), { breaker: { after: 1 } }),
  RateLimited: by(({ client }) => Effect.andThen(client.echo({ text: "" }), Effect.flip(client.echo({ text: "" }))), {
    rateLimit: { calls: 1, per: "1 minute", beyond: "fail" }
  }),
  ResultTooLarge: by(({ client }) => Effect.flip(client.large())),
  InvalidResult: by(({ client }) => Effect.flip(client.wrong())),
  OutcomeUnknown: by(({ client, scripted }) =>
    Effect.gen(function*() {
      const call = yield* begin(client.slow())
      yield* after("100 millis")
      yield* scripted.worker("default/0").loseSession
      return yield* errorOf(call)
    })
  ),
  CallTimeout: by(({ client }) =>
    Effect.gen(function*() {
      const call = yield* begin(client.slow(undefined, { callTimeout: "100 millis" }))
      yield* after("200 millis")
      return yield* errorOf(call)
    })
  ),
  DeadlineExceeded: by(({ client }) =>
    Effect.gen(function*() {
      const call = yield* begin(client.slow(undefined, { deadline: "100 millis" }))
      yield* after("200 millis")
      return yield* errorOf(call)
    })
  ),
  Cancelled: by(({ client }) => Effect.flip(client.giveUp())),
  InvalidInput: by(({ client }) => Effect.flip(client.sum({ numbers: Stream.make(1, 1.5) })))
}

describe("CallError", () => {
  for (const [tag, path] of Object.entries(paths)) {
    it.effect(`${tag} happens, is told with its next step, and survives a journey as JSON`, () =>
      Effect.gen(function*() {
        const error = yield* path
        assert.strictEqual(error._tag, tag)
        assert.include(error.message, error._tag === "WorkerCrashed" || error._tag === "OutcomeUnknown" ? error.worker : error.tool)
        assert.isAtLeast(error.message.split(/[.:] /).length, 2, `no next step: ${error.message}`)
        const json: unknown = JSON.parse(JSON.stringify(yield* Schema.encodeUnknownEffect(CallError.CallError)(error)))
        const back = yield* Schema.decodeUnknownEffect(CallError.CallError)(json)
        assert.strictEqual(back.constructor, error.constructor)
        assert.strictEqual(back.message, error.message)
        yield* after("5 seconds") // what still runs
      }))
  }

  it("is the union of all that is exported for it", () => {
    const exported = Object.entries(CallError).flatMap(([name, value]) =>
      "executed" in ((value as { fields?: object }).fields ?? {}) ? [name] : []
    )
    assert.deepStrictEqual(exported.toSorted(), Object.keys(paths).toSorted())
  })

  it.effect("of a crash has the signal and the class of the exit", () =>
    Effect.gen(function*() {
      const error = yield* paths.WorkerCrashed
      assert.isTrue(error._tag === "WorkerCrashed")
      if (error._tag === "WorkerCrashed") assert.deepStrictEqual(error.exit, { _tag: "Segfault", signal: "SIGSEGV" })
      assert.include(error.message, "native code crashed (SIGSEGV)")
    }))

  it.effect("of an exception group shows its members and its cause", () =>
    Effect.gen(function*() {
      const error = yield* paths.PythonError
      assert.isTrue(error._tag === "PythonError")
      if (error._tag === "PythonError") {
        assert.deepStrictEqual(error.traceback.split("\n"), [
          "OSError: disk",
          "which was the cause of",
          "ExceptionGroup: two",
          "  /fit.py:3  fit  raise",
          "  | KeyError: 'a'"
        ])
      }
    }))
})
