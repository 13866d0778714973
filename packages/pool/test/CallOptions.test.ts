import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream, Tracer } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Pool } from "../src/index.ts"
import type { ScriptedTool } from "../src/testing/index.ts"
import { after, begin, errorOf } from "./OpenPools.ts"
import { openTools } from "./OpenTools.ts"

class Tools extends RpcGroup.make(
  Rpc.make("slow", { payload: { n: Schema.Int }, success: Schema.Int }),
  Rpc.make("who", { success: Schema.NullOr(Schema.String) }),
  Rpc.make("steps", { payload: { n: Schema.Int }, success: Schema.Int, stream: true }),
  Rpc.make("echo", { payload: { n: Schema.Int }, success: Schema.Int }),
  Rpc.make("filled", { payload: { n: Schema.Int.pipe(Schema.withConstructorDefault(Effect.succeed(3))) }, success: Schema.Int }),
  Rpc.make("later", { payload: { at: Schema.DateFromString }, success: Schema.DateFromString })
) {}

const tools = {
  slow: { run: ({ n }: { readonly n: number }) => n, takes: "1 second" },
  who: (_: unknown, { session }: ScriptedTool.Current) => session ?? null,
  steps: function*({ n }: { readonly n: number }) {
    for (let i = 0; i < n; i++) yield i
  },
  echo: ({ n }: { readonly n: number }) => n,
  filled: ({ n }: { readonly n: number }) => n,
  later: ({ at }: { readonly at: string }) => at
} satisfies Record<string, ScriptedTool.ScriptedTool>

const open = Effect.fnUntraced(function*(options?: Pool.ClientOptions, scripting?: Parameters<typeof openTools>[1]) {
  const opened = yield* openTools(tools, scripting)
  return { ...opened, client: yield* opened.clientOf(Tools, options) }
})

describe("a session", () => {
  it.effect("reaches Python: the call's own before the client's", () =>
    Effect.gen(function*() {
      const { client } = yield* open({ session: "usual" })
      assert.strictEqual(yield* client.who(), "usual")
      assert.strictEqual(yield* client.who(undefined, { session: "mine" }), "mine")
    }))

  it.effect("is none by default", () =>
    Effect.gen(function*() {
      const { client } = yield* open()
      assert.isNull(yield* client.who())
    }))
})

describe("a call timeout", () => {
  it.effect("of one call goes before the contract's and the pool's", () =>
    Effect.gen(function*() {
      const { client } = yield* open()
      const call = yield* begin(client.slow({ n: 1 }, { callTimeout: "500 millis" }))
      yield* after("510 millis")
      const error = yield* errorOf(call)
      assert.isTrue(error._tag === "CallTimeout" && error.timeoutMillis === 500)
      yield* after("1 second") // the tool's end
    }))
})

describe("a trace", () => {
  const traceId = "0af7651916cd43dd8448eb211c80319c"
  const spanId = "b7ad6b7169203331"
  const traced = (sampled: boolean, id = traceId) =>
    Effect.gen(function*() {
      const { client, scripted } = yield* open()
      const span = Tracer.externalSpan({ traceId: id, spanId, sampled })
      yield* client.echo({ n: 1 }).pipe(Effect.withParentSpan(span))
      yield* Stream.runDrain(client.steps({ n: 1 })).pipe(Effect.withParentSpan(span))
      return scripted.journal.map(({ trace }) => trace === undefined ? undefined : [...trace])
    })

  it.effect("of a sampled span goes with its calls, in W3C's binary form", () =>
    Effect.gen(function*() {
      const bytes = [...(traceId + spanId).matchAll(/../g)].map(([hex]) => Number.parseInt(hex, 16))
      assert.deepStrictEqual(yield* traced(true), [[...bytes, 1], [...bytes, 1]])
    }))

  it.effect("of a span that is not sampled goes nowhere, nor one that is not W3C's", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* traced(false), [undefined, undefined])
      assert.deepStrictEqual(yield* traced(true, "mine"), [undefined, undefined])
    }))
})

describe("what is checked", () => {
  const wrong = { n: 1.5 }

  it.effect("is both ways by default", () =>
    Effect.gen(function*() {
      const { client } = yield* open()
      assert.strictEqual((yield* Effect.flip(client.echo(wrong)))._tag, "InvalidPayload")
    }))

  it.effect("may be nothing, and what is to be transformed is transformed all the same", () =>
    Effect.gen(function*() {
      const { client } = yield* open({ check: "none" })
      assert.strictEqual(yield* client.echo(wrong), 1.5)
      const at = new Date("2026-01-02T03:04:05.000Z")
      assert.deepStrictEqual(yield* client.later({ at }), at)
    }))

  it.effect("may be the arguments alone", () =>
    Effect.gen(function*() {
      class Loose extends RpcGroup.make(Rpc.make("echo", { payload: { n: Schema.Finite }, success: Schema.String })) {}
      const { clientOf } = yield* open()
      const loose = yield* clientOf(Loose, { check: "arguments" })
      assert.strictEqual((yield* loose.echo({ n: 2 })) as unknown, 2)
      assert.strictEqual((yield* Effect.flip(loose.echo({ n: Number.NaN })))._tag, "InvalidPayload")
    }))

  it.effect("has what the contract's constructors fill in", () =>
    Effect.gen(function*() {
      const { client } = yield* open()
      assert.strictEqual(yield* client.filled({}), 3)
    }))
})

describe("map", () => {
  const inputs = (count: number) => Stream.map(Stream.range(1, count), (n) => ({ n }))

  it.effect("keeps the order of the stream, with twice as many calls under way as the workers run at once", () =>
    Effect.gen(function*() {
      const { client, roster } = yield* open({}, { pools: { default: { size: 3 } } })
      const mapped = yield* begin(inputs(12).pipe(Pool.map(client.slow), Stream.runCollect))
      yield* after("100 millis")
      assert.strictEqual(roster().state.calls.size, 6)
      yield* after("4 seconds")
      assert.deepStrictEqual(yield* Fiber.join(mapped), Array.from({ length: 12 }, (_, n) => n + 1))
    }))

  it.effect("is bounded by the concurrency it is given", () =>
    Effect.gen(function*() {
      const { client, roster } = yield* open({}, { pools: { default: { size: 3 } } })
      const mapped = yield* begin(inputs(4).pipe(Pool.map(client.slow, { concurrency: 2 }), Stream.runCollect))
      yield* after("100 millis")
      assert.strictEqual(roster().state.calls.size, 2)
      yield* after("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(mapped), [1, 2, 3, 4])
    }))

  it.effect("fails with the first call that does, and cancels the others in Python", () =>
    Effect.gen(function*() {
      const { client, scripted } = yield* open({}, { pools: { default: { size: 2 } } })
      const payloads = Stream.concat(Stream.make({ n: 1 }), Stream.fromEffect(Effect.as(Effect.sleep("100 millis"), { n: 1.5 })))
      const mapped = yield* begin(payloads.pipe(Pool.map(client.slow, { concurrency: 2 }), Stream.runDrain))
      yield* after("100 millis")
      assert.strictEqual((yield* errorOf(mapped))._tag, "InvalidPayload")
      yield* after("2 seconds")
      assert.deepStrictEqual(scripted.journal.map(({ outcome }) => outcome), ["cancelled"])
    }))

  it.effect("gives each call its options", () =>
    Effect.gen(function*() {
      const { client, scripted } = yield* open()
      yield* inputs(2).pipe(Pool.map(client.echo, { session: "s" }), Stream.runDrain)
      assert.deepStrictEqual(scripted.journal.map(({ session }) => session), ["s", "s"])
    }))
})
