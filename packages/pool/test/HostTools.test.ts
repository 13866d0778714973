/** Host tools on scripted workers and virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Schema, Scope, Tracer } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { HostTools, Tool } from "../src/index.ts"
import type { ScriptedTool } from "../src/testing/index.ts"
import { after, begin, errorOf, scoped } from "./OpenPools.ts"
import { openTools } from "./OpenTools.ts"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { key: Schema.String, rows: Schema.FiniteFromString }) {
  override get message(): string {
    return `there is no ${this.key}`
  }
}

const Told = Schema.Struct({ reason: Schema.String, tag: Schema.String, data: Schema.Unknown, message: Schema.String })

class Tools extends RpcGroup.make(
  Rpc.make("ask", { payload: { name: Schema.String, args: Schema.Unknown }, success: Schema.Unknown }),
  Rpc.make("tell", { payload: { name: Schema.String, args: Schema.Unknown }, success: Told }),
  Rpc.make("ask_many", { payload: { names: Schema.Array(Schema.String) }, success: Schema.Array(Schema.Unknown) })
) {}

interface Asking {
  readonly name: string
  readonly args: unknown
}

const tools = {
  ask: ({ args, name }: Asking, { call }: ScriptedTool.Current) => call(name, args),
  tell: ({ args, name }: Asking, { call }: ScriptedTool.Current) =>
    Effect.map(
      Effect.flip(call(name, args)),
      ({ data, message, reason, tag }) => ({ reason, tag: tag ?? "", data: data ?? null, message })
    ),
  ask_many: ({ names }: { readonly names: ReadonlyArray<string> }, { call }: ScriptedTool.Current) =>
    Effect.forEach(names, (name) => Effect.exit(call(name, {}, { waits: false })), { concurrency: "unbounded" }).pipe(
      Effect.map((exits) =>
        exits.map((exit) => Exit.isSuccess(exit) ? exit.value : (Cause.squash(exit.cause) as ScriptedTool.HostCallFailed).reason)
      )
    )
} satisfies Record<string, ScriptedTool.ScriptedTool>

class Rows extends Context.Service<Rows, ReadonlyMap<string, string>>()("test/Rows") {}

class Host extends RpcGroup.make(
  Rpc.make("row", { payload: { key: Schema.String }, success: Schema.String, error: NotFound }),
  Rpc.make("when", { payload: { at: Schema.DateTimeUtcFromString }, success: Schema.DateTimeUtcFromString }),
  Rpc.make("who", { success: Schema.Unknown }),
  Rpc.make("breaks"),
  Rpc.make("lies", { success: Schema.Int }),
  Rpc.make("slow").annotate(Tool.CallTimeout, "10 seconds"),
  Rpc.make("large", { payload: { n: Schema.Int }, success: Schema.String }),
  Rpc.make("waits")
) {}

const open = Effect.fnUntraced(function*(
  { limits = {}, size = 1 }: { readonly size?: number; readonly limits?: { readonly maxPayload?: number; readonly concurrency?: number } } =
    {}
) {
  const { concurrency = 1, maxPayload = 100_000 } = limits
  const opened = yield* openTools(tools, {
    pools: { default: { size, concurrency, maxPayload, hostTools: { concurrency: 2 }, cancelGrace: "1 second" } }
  })
  const journal: Array<string> = []
  const reached = yield* Deferred.make<void>()
  const host = HostTools.make(Host, {
    row: ({ key }) =>
      Effect.flatMap(Rows, (rows) => {
        const row = rows.get(key)
        return row === undefined ? Effect.fail(new NotFound({ key, rows: rows.size })) : Effect.succeed(row)
      }),
    when: ({ at }) => Effect.succeed(at),
    who: () =>
      Effect.flatMap(
        HostTools.Caller,
        (caller) =>
          Effect.map(
            Effect.option(Effect.currentParentSpan),
            (span) => ({ ...caller, trace: span._tag === "Some" ? span.value.traceId : null })
          )
      ),
    breaks: () => Effect.die(new Error("a bug")),
    lies: () => Effect.succeed("seven" as never),
    slow: () => Effect.onInterrupt(Effect.sleep("1 hour"), () => Effect.sync(() => void journal.push("slow was interrupted"))),
    large: ({ n }) => Effect.succeed("x".repeat(n)),
    waits: () =>
      Effect.andThen(Deferred.succeed(reached, undefined), Effect.never).pipe(
        Effect.onInterrupt(() => Effect.sync(() => void journal.push("interrupted")))
      )
  })
  yield* HostTools.serve(host).pipe(Effect.provideService(Rows, new Map([["a", "alpha"]])), opened.provided)
  return { ...opened, journal, reached, host, client: yield* opened.clientOf(Tools) }
})

describe("a host tool", () => {
  it.effect("is run with the arguments of its caller, and what it gives is the result in Python", () =>
    scoped(Effect.gen(function*() {
      const { client } = yield* open()
      assert.strictEqual(yield* client.ask({ name: "row", args: { key: "a" } }), "alpha")
      const at = "2026-01-02T03:04:05.000Z"
      assert.strictEqual(yield* client.ask({ name: "when", args: { at } }), at)
    })))

  it.effect("that fails as its contract declares gives tag, encoded error and message", () =>
    scoped(Effect.gen(function*() {
      const { client, recorded } = yield* open()
      assert.deepStrictEqual(yield* client.tell({ name: "row", args: { key: "b" } }), {
        reason: "raised",
        tag: "NotFound",
        data: { _tag: "NotFound", key: "b", rows: "1" },
        message: "there is no b"
      })
      assert.deepStrictEqual(recorded.events.filter(({ name }) => name === "snakepit.host_call.fail"), [])
      const error = yield* Effect.flip(client.ask({ name: "row", args: { key: "b" } }))
      assert.strictEqual(error._tag === "PythonError" && error.exception.type, "snakepit.HostToolError")
    })))

  it.effect("refuses what does not fit, each in its own way, and tells operators", () =>
    scoped(Effect.gen(function*() {
      const { client, recorded } = yield* open({ limits: { maxPayload: 2000 } })
      const cases: ReadonlyArray<readonly [name: string, args: unknown, reason: string, ...says: ReadonlyArray<string>]> = [
        [
          "breks",
          {},
          "unknown",
          `there is no host tool "breks" for calls of pool "default". Did you mean "breaks"?`,
          "There is breaks, large"
        ],
        ["x".repeat(1000), {}, "unknown", `"${"x".repeat(64)}…"`],
        ["row", { key: 1 }, "invalid", "Expected string", "key"],
        ["row", {}, "invalid", "key"],
        ["row", { key: "a", kye: "b" }, "invalid", "kye"],
        ["who", { key: "a" }, "invalid", "key"],
        ["breaks", {}, "failed", `host tool "breaks" broke down: a bug`],
        ["lies", {}, "failed", "its result does not fit its contract"],
        ["large", { n: 3000 }, "too_large", "the result", "3002 bytes, and maxPayload allows 2000"]
      ]
      for (const [name, args, reason, ...says] of cases) {
        const told = yield* client.tell({ name, args })
        assert.strictEqual(told.reason, reason, told.message)
        for (const text of says) assert.include(told.message, text)
      }
      const events = recorded.events.filter(({ name }) => name === "snakepit.host_call.fail")
      assert.deepStrictEqual(events.map(({ attributes }) => attributes["reason"]), cases.map(([, , reason]) => reason))
      assert.strictEqual(events[0]!.attributes["tool"], "tell")
    })))

  it.effect("knows its caller and runs in its trace", () =>
    scoped(Effect.gen(function*() {
      const { client } = yield* open()
      const span = Tracer.externalSpan({ traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" })
      const who = yield* client.ask({ name: "who", args: {} }, { session: "s", tenant: "t" }).pipe(Effect.withParentSpan(span))
      assert.deepStrictEqual(who, {
        pool: "default",
        slot: 0,
        worker: "default/0",
        tool: "ask",
        call: 1,
        session: "s",
        tenant: "t",
        trace: "0af7651916cd43dd8448eb211c80319c"
      })
      assert.include(yield* client.ask({ name: "who", args: {} }), { call: 2, trace: null, tenant: "" })
    })))

  it.effect("that takes longer than its limit is interrupted, and Python is told", () =>
    scoped(Effect.gen(function*() {
      const { client, journal } = yield* open()
      const told = yield* begin(client.tell({ name: "slow", args: {} }))
      yield* after("9 seconds")
      assert.isUndefined(told.pollUnsafe())
      yield* after("1 second")
      assert.include(yield* Fiber.join(told), {
        reason: "timeout",
        message: `host tool "slow" was not done within 10000 ms, and was interrupted`
      })
      assert.deepStrictEqual(journal, ["slow was interrupted"])
      const late = yield* begin(client.tell({ name: "slow", args: {} }, { callTimeout: "5 seconds" }))
      yield* after("5 seconds")
      assert.strictEqual((yield* errorOf(late))._tag, "CallTimeout")
      assert.deepStrictEqual(journal, ["slow was interrupted", "slow was interrupted"])
    })))

  it.effect("is interrupted when its call is cancelled, and when its worker is lost", () =>
    scoped(Effect.gen(function*() {
      const { client, journal, reached, roster, scripted } = yield* open()
      const call = yield* begin(client.ask({ name: "waits", args: {} }))
      yield* Deferred.await(reached)
      assert.strictEqual(roster().hostCalls.size, 1)
      yield* Fiber.interrupt(call)
      yield* after("1 millis")
      assert.deepStrictEqual(journal, ["interrupted"])
      assert.strictEqual(roster().hostCalls.size, 0)

      const lost = yield* begin(client.ask({ name: "waits", args: {} }))
      yield* after("1 millis")
      yield* scripted.worker("default/0").crash()
      assert.strictEqual((yield* errorOf(lost))._tag, "WorkerCrashed")
      assert.deepStrictEqual(journal, ["interrupted", "interrupted"])
    })))

  it.effect("goes on while the channel is cut, and is run once", () =>
    scoped(Effect.gen(function*() {
      const { client, provided, scripted } = yield* open()
      let runs = 0
      const Once = RpcGroup.make(Rpc.make("once", { success: Schema.String }))
      yield* HostTools.serve(
        HostTools.make(Once, {
          once: () => Effect.delay(Effect.sync(() => `run ${++runs}`), "2 seconds")
        })
      ).pipe(provided)
      const call = yield* begin(client.ask({ name: "once", args: {} }))
      yield* after("1 second")
      yield* scripted.worker("default/0").loseChannel()
      yield* after("2 seconds")
      assert.strictEqual(yield* Fiber.join(call), "run 1")
      assert.strictEqual(runs, 1)
    })))

  it.effect("more at once than a worker may have are refused", () =>
    scoped(Effect.gen(function*() {
      const { client } = yield* open()
      const call = yield* begin(client.ask_many({ names: ["slow", "slow", "slow"] }))
      yield* after("10 seconds")
      assert.deepStrictEqual(yield* Fiber.join(call), ["timeout", "timeout", "busy"])
    })))

  it.effect("of a session is found by its calls alone, before the pool's, as long as its scope is open", () =>
    scoped(Effect.gen(function*() {
      const { client, provided } = yield* open()
      const Own = RpcGroup.make(
        Rpc.make("own", { success: Schema.String }),
        Rpc.make("row", { payload: { key: Schema.String }, success: Schema.String }),
        Rpc.make("stays")
      )
      const own = HostTools.make(Own, {
        own: () => Effect.succeed("mine"),
        row: () => Effect.succeed("shadow"),
        stays: () => Effect.never
      })
      const scope = yield* Scope.make()
      yield* HostTools.serve(own, { session: "s" }).pipe(provided, Scope.provide(scope))
      const ask = (name: string, session?: string) => client.tell({ name, args: {} }, { session })
      assert.strictEqual(yield* client.ask({ name: "own", args: {} }, { session: "s" }), "mine")
      assert.strictEqual(yield* client.ask({ name: "row", args: { key: "a" } }, { session: "s" }), "shadow")
      assert.strictEqual(yield* client.ask({ name: "row", args: { key: "a" } }, { session: "other" }), "alpha")
      assert.strictEqual((yield* ask("own", "other")).reason, "unknown")
      assert.strictEqual((yield* ask("own")).reason, "unknown")

      const taken = yield* Effect.flip(HostTools.serve(own, { session: "s" }).pipe(provided))
      assert.include(taken, { _tag: "HostToolTaken", hostTool: "own", session: "s" })
      assert.include((yield* Effect.flip(HostTools.serve(own, { pool: "defualt" }).pipe(provided))).message, "Did you mean \"default\"?")

      const stays = yield* begin(ask("stays", "s"))
      yield* after("1 millis")
      yield* Scope.close(scope, Exit.void)
      assert.include(yield* Fiber.join(stays), { reason: "cancelled", message: `host tool "stays" was taken away while it ran` })
      assert.strictEqual((yield* ask("own", "s")).reason, "unknown")
      assert.strictEqual(yield* client.ask({ name: "row", args: { key: "a" } }, { session: "s" }), "alpha")
    })))

  it("has a name that an identifier may have", () => {
    for (const name of ["", "-a", "a b", "ü", "a".repeat(65)]) {
      assert.throws(
        () => HostTools.make(RpcGroup.make(Rpc.make(name)), { [name]: () => Effect.void } as never),
        "is no name for a host tool"
      )
    }
  })

  it.effect("is ended with its pool", () =>
    Effect.gen(function*() {
      const journal = yield* scoped(Effect.gen(function*() {
        const { client, journal, reached } = yield* open()
        yield* begin(client.ask({ name: "waits", args: {} }))
        yield* Deferred.await(reached)
        return journal
      }))
      assert.deepStrictEqual(journal, ["interrupted"])
    }))
})
