/** Pools as an application has them, on scripted workers and the clock of the test, with a record of every event. */
import { assert } from "@effect/vitest"
import { type Child, DynamicSupervisor, Event, RegisteredName, Tree } from "@snakepit/core"
import { DeclaredEvents, RecordedEvents } from "@snakepit/core/testing"
import { Effect, Fiber, Schema, Scope } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { TestClock } from "effect/testing"
import { type PerWorker, Pool, PoolConfig, PoolDirectory, PoolEvent, PoolsSupervisor, Tool } from "../src/index.ts"
import { ScriptedRuntime, ScriptedTool } from "../src/testing/index.ts"
import * as ScriptedFoundation from "../src/testing/ScriptedFoundation.ts"

const n = { n: Schema.Int }

export class Tools extends RpcGroup.make(
  Rpc.make("add", { payload: { a: Schema.Int, b: Schema.Int }, success: Schema.Int }),
  Rpc.make("ping"),
  Rpc.make("length", { payload: { text: Schema.String }, success: Schema.Int }),
  /** One second each. */
  Rpc.make("record", { payload: n, success: Schema.Int }),
  Rpc.make("again", { payload: n, success: Schema.Int }).annotate(Tool.Idempotent, true),
  /** Ten seconds, whatever it is told. */
  Rpc.make("stubborn", { payload: n, success: Schema.Int }).annotate(Tool.CallTimeout, "2 seconds"),
  /** One minute each. */
  Rpc.make("endless").annotate(Tool.HardLimit, "4 seconds"),
  Rpc.make("converges").annotate(Tool.HardLimit, "20 seconds").annotate(Tool.CallTimeout, "2 seconds"),
  Rpc.make("blocks").annotate(Tool.Blocking, true).annotate(Tool.HardLimit, "30 seconds"),
  /** The elements 0 to n - 1, the first after 100 ms, each further one 100 ms later. */
  Rpc.make("steps", { payload: n, success: Schema.Int, stream: true }),
  Rpc.make("stepsAgain", { payload: n, success: Schema.Int, stream: true }).annotate(Tool.Idempotent, true),
  Rpc.make("stepsResumed", { payload: n, success: Schema.Int, stream: true })
    .annotate(Tool.Idempotent, true)
    .annotate(Tool.Deterministic, true),
  Rpc.make("raises", { success: Schema.Int }),
  Rpc.make("large", { payload: n, success: Schema.String }),
  Rpc.make("wrong", { success: Schema.Int }),
  Rpc.make("wrongSteps", { success: Schema.Int, stream: true }),
  Rpc.make("garbled", { success: Schema.Int }),
  Rpc.make("nowhere", { success: Schema.Int })
) {}

const steps: ScriptedTool.Timed = {
  run: function*({ n }: { readonly n: number }) {
    for (let i = 0; i < n; i++) yield i
  },
  takes: "100 millis",
  every: "100 millis"
}

export const tools = {
  add: ({ a, b }: { readonly a: number; readonly b: number }) => a + b,
  ping: () => null,
  length: ({ text }: { readonly text: string }) => text.length,
  record: { run: ({ n }: { readonly n: number }) => n, takes: "1 second" },
  again: { run: ({ n }: { readonly n: number }) => n, takes: "1 second" },
  stubborn: { run: ({ n }: { readonly n: number }) => n, takes: "10 seconds" },
  endless: { run: () => null, takes: "1 minute" },
  converges: { run: () => null, takes: "1 minute" },
  blocks: { run: () => null, takes: "1 minute" },
  steps,
  stepsAgain: steps,
  stepsResumed: steps,
  raises: () =>
    ScriptedTool.raise("ValueError", "no such model", {
      bases: ["Exception"],
      notes: ["while fitting"],
      frames: [{ file: "/models/fit.py", line: 12, function: "fit", source: "raise ValueError(name)" }],
      cause: ScriptedTool.exception("KeyError", "'linear'", {
        frames: [{ file: "/models/registry.py", line: 3, function: "find", source: "return models[name]" }]
      })
    }),
  large: ({ n }: { readonly n: number }) => "x".repeat(n),
  wrong: () => "seven",
  wrongSteps: function*() {
    yield 1
    yield "two"
    yield 3
  },
  garbled: () => ScriptedTool.raw(Uint8Array.of(0xc1))
} satisfies Record<string, ScriptedTool.ScriptedTool>

/** What {@link openPools} takes. */
export interface Options<C extends Child.Any> {
  readonly pools?: { readonly [pool: string]: PoolConfig.PoolConfigInput } | undefined
  readonly scripted?: ScriptedRuntime.ScriptedRuntime | undefined
  readonly perWorker?: PerWorker.PerWorker<C> | undefined
}

/** Starts the pools; they stop, and their events are checked against the declarations, when the scope closes. */
export const openPools = Effect.fnUntraced(function*<C extends Child.Any = never>(
  { perWorker, pools = { default: {} }, scripted: given }: Options<C> = {}
) {
  const scripted = given ?? ScriptedRuntime.make({ tools })
  const recorded = RecordedEvents.make()
  yield* Effect.addFinalizer(() => Effect.sync(() => assertDeclared(recorded.events)))
  const config = RegisteredName.make<PoolDirectory.PoolSettings>("config")
  const decoded = yield* Schema.decodeUnknownEffect(Schema.Record(Schema.String, PoolConfig.PoolConfig))(pools)
  yield* RegisteredName.register(config, { pools: decoded })
  const directory = PoolDirectory.make(config)
  const foundation = yield* Effect.provideService(ScriptedFoundation.start(directory), Event.EventSink, recorded.sink)
  const running = yield* Effect.provideService(
    DynamicSupervisor.start(PoolsSupervisor.make(directory, scripted.runtime, perWorker)),
    Event.EventSink,
    recorded.sink
  )
  const provided = Effect.provideService(Pool.Pools, { directory, codec: scripted.runtime.codec })
  const client = (pool = "default") => Pool.client(Tools, { pool }).pipe(provided)
  return {
    scripted,
    recorded,
    running,
    foundation,
    config,
    directory,
    client,
    provided,
    tools: yield* client(Object.keys(pools)[0]),
    roster: (pool = "default") => directory.entry(pool).roster.current!,
    ledger: (pool = "default") => Pool.ledger(pool).pipe(provided),
    /** Ends the child at a path below `pools`, as its own crash would. */
    kill: (path: string) =>
      Effect.gen(function*() {
        const at = path.lastIndexOf("/")
        const supervisor = yield* running.at(`pools/${path.slice(0, at)}`)
        yield* supervisor.failChild(path.slice(at + 1), new Error("the test ends it"))
      }),
    /** The child at a path below `pools`. */
    node: (path: string) =>
      Effect.map(running.tree, (tree) => {
        const node = Tree.flatten(tree).find((node) => node.path === `pools/${path}`)
        assert.isDefined(node, `there is no ${path}`)
        return node!
      })
  }
})

/** Begins a call in the background: its outcome is in the fiber. */
export const begin = <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.forkChild(call, { startImmediately: true })

/** The error that a call which was begun ends with. */
export const errorOf = <A, E>(fiber: Fiber.Fiber<A, E>) => Effect.flip(Fiber.join(fiber))

export const after = TestClock.adjust

/** Like `Effect.scoped`, but time goes on while the scope closes: a worker may use its grace. */
export const scoped = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const exit = yield* Effect.exit(Scope.provide(effect, scope))
    const closing = yield* begin(Scope.close(scope, exit))
    yield* after("20 seconds")
    assert.isDefined(closing.pollUnsafe(), "the pools do not stop")
    return yield* exit
  })

const declared = new Map(
  [...PoolEvent.declarations, ...Object.values(ScriptedFoundation.events)].map((declaration) => [declaration.name as string, declaration])
)

/** Each event is one that this package declares, with the measurements and attributes that it declares. */
export const assertDeclared = (events: ReadonlyArray<Event.Event>): void => {
  for (const event of events) {
    const declaration = declared.get(event.name)
    assert.isDefined(declaration, `${event.name} is not declared`)
    assert.deepStrictEqual(DeclaredEvents.faults(declaration!, event), [])
  }
}
