import { assert, describe, it } from "@effect/vitest"
import { Event, RegisteredName, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { RecordedEvents } from "@snakepit/core/testing"
import { Effect, Exit, Fiber, Queue, Schema, Stream } from "effect"
import { ConfigInvalid, ConfigLayer, ConfigPlan, ConfigServer, ConfigShape, PoolEvent } from "../src/index.ts"
import { base, Mistake, Part, shape, TestConfig } from "./ConfigModel.ts"
import { after, assertDeclared } from "./OpenPools.ts"

/** A ConfigServer that is up; `file` is what its source says, or why it says nothing. */
const open = Effect.gen(function*() {
  const recorded = RecordedEvents.make()
  const source: { file: unknown } = { file: {} }
  const changed = yield* Queue.unbounded<string>()
  const store = yield* ConfigServer.makeStore<TestConfig>()
  const name = RegisteredName.make<TestConfig>("configuration")
  const serverName = RegisteredName.make<ConfigServer.ConfigServer>("config_server")
  const published: Array<number> = []
  const meanwhile = { publish: () => {} }
  const sources: ConfigServer.Sources = {
    read: Effect.suspend(() =>
      typeof source.file === "string"
        ? Effect.fail(ConfigInvalid.whole("file.yaml, line 3", source.file))
        : Effect.succeed([ConfigLayer.code(base), {
          value: source.file,
          sourceOf: () => ({ _tag: "File", file: "file.yaml", line: 7 }) as const
        }])
    ),
    changed: Stream.fromQueue(changed)
  }
  const running = yield* Supervisor.start(Supervisor.make("foundation", {
    plane: "control",
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: { maxRestarts: 100, within: "1 minute" } }),
    because: "it is a test",
    limitBecause: "it is a test",
    events: SupervisorEvent.of("foundation_supervisor", "foundation"),
    children: [
      ConfigServer.child({
        ...{ schema: TestConfig, sources, store, name, server: serverName },
        publish: ({ config, version }) => {
          assert.strictEqual(name.current, config)
          published.push(version)
          meanwhile.publish()
        }
      })
    ]
  })).pipe(Effect.provideService(Event.EventSink, recorded.sink))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => assertDeclared(recorded.events.filter(({ name }) => name.startsWith("snakepit.config"))))
  )
  const told = () => recorded.events.filter(({ name }) => name.startsWith("snakepit.config"))
  return {
    source,
    changed,
    store,
    published,
    meanwhile,
    told,
    running,
    current: () => ConfigServer.current(store)!,
    served: () => name.latest!,
    server: Effect.suspend(() => RegisteredName.whereis(serverName))
  }
})

const Step = Schema.Union([
  Schema.TaggedStruct("Apply", { part: Part }),
  Schema.TaggedStruct("Apply", { part: Part }),
  Schema.TaggedStruct("ApplyMistake", { mistake: Mistake }),
  Schema.TaggedStruct("File", { part: Part }),
  Schema.TaggedStruct("FileMistake", { mistake: Mistake }),
  Schema.TaggedStruct("FileBroken", {}),
  Schema.TaggedStruct("Crash", {})
])

describe("a ConfigServer", () => {
  it.effect.prop(
    "applies all of a change or nothing, does what it said beforehand, tells each once, and serves the last good one after a crash",
    { script: Schema.Array(Step).check(Schema.isMaxLength(12)) },
    ({ script }) =>
      Effect.gen(function*() {
        const opened = yield* open
        const { changed, current, published, running, served, source, store, told } = opened
        for (const step of script) {
          const server = yield* opened.server
          const before = { snapshot: current(), events: told().length, served: served() }
          const unchanged = () => {
            assert.deepStrictEqual(current(), before.snapshot)
            assert.strictEqual(served(), before.served)
          }
          switch (step._tag) {
            case "Apply": {
              const plan = yield* server.preview(step.part)
              assert.strictEqual(current(), before.snapshot, "a look changes nothing")
              const exit = yield* Effect.exit(server.apply(step.part))
              if (Exit.isFailure(exit)) {
                assert.isAbove(plan.needsRestart.length, 0)
                unchanged()
                assert.strictEqual(told().at(-1)?.name, "snakepit.config.reject")
                break
              }
              assert.deepStrictEqual(exit.value, plan)
              assert.isTrue(
                ConfigPlan.isEmpty({ ...plan, changes: plan.changes.filter((change) => change.class !== "restart") }) ||
                  current().version === before.snapshot.version + 1
              )
              for (const { class: reload, key, to } of plan.changes) {
                const value = ConfigLayer.valueAt(served(), ConfigShape.parse(key))
                const shown = value === undefined ? undefined : key.includes(".env") ? "(secret)" : ConfigPlan.render(value)
                if (reload === "restart") assert.include(current().pending.map((change) => change.key), key)
                else assert.strictEqual(shown, to, key)
              }
              break
            }
            case "ApplyMistake": {
              const { key, what } = JSON.parse(step.mistake)
              const error = yield* Effect.flip(server.apply(what))
              assert.include(error.message, key)
              unchanged()
              assert.deepStrictEqual(told().slice(before.events).map(({ name }) => name), ["snakepit.config.reject"])
              break
            }
            case "File":
              source.file = step.part
              yield* Queue.offer(changed, "file")
              yield* after("1 millis")
              assert.isAtMost(told().length, before.events + 1)
              assert.isTrue(told().slice(before.events).every(({ name }) => name === "snakepit.config.apply"))
              break
            case "FileMistake":
            case "FileBroken": {
              const mistake = step._tag === "FileMistake" ? JSON.parse(step.mistake) : { what: "it is no YAML", key: "line 3" }
              source.file = mistake.what
              yield* Queue.offer(changed, "file")
              yield* after("1 millis")
              unchanged()
              const [event, ...others] = told().slice(before.events)
              assert.deepStrictEqual(others, [])
              assert.strictEqual(event?.name, "snakepit.config.reject")
              assert.include(String(event?.attributes["cause"]), mistake.key)
              break
            }
            case "Crash":
              yield* running.failChild("config_server", new Error("the test ends it"))
              yield* after("10 seconds")
              assert.include(told().slice(before.events).map(({ name }) => name), PoolEvent.config_restore.name)
              unchanged()
          }
          assert.strictEqual(served(), current().config)
          assert.deepStrictEqual([...new Set(published)], store.history.map(({ version }) => version))
          assert.notInclude(JSON.stringify(told()), "secret-")
        }
      }).pipe(Effect.scoped)
  )

  it.effect("keeps what the program was started with of keys that take a restart, and shows what waits for it", () =>
    Effect.gen(function*() {
      const { changed, current, server, source } = yield* open
      const { apply } = yield* server
      const error = yield* Effect.flip(apply({ address: "there", pools: { a: { size: 3 } } }))
      assert.strictEqual(error._tag, "RestartNeeded")
      assert.include(error.message, "address (it listens there)")
      assert.include(error.message, "write it in the file")
      assert.deepStrictEqual([current().version, current().config.pools["a"]!.size], [1, 2])
      const say = (file: unknown) => {
        source.file = file
        return Effect.andThen(Queue.offer(changed, "file"), after("1 millis"))
      }
      yield* say({ address: "there", pools: { a: { size: 3 } } })
      assert.deepStrictEqual([current().config.address, current().config.pools["a"]!.size], ["here", 3])
      assert.deepStrictEqual(current().pending.map(({ key, to }) => [key, to]), [["address", "\"there\""]])
      yield* apply({ pools: { a: { size: 4 } } }) // what waits already is no reason to refuse another key
      assert.strictEqual((yield* Effect.flip(apply({ address: "elsewhere" })))._tag, "RestartNeeded")
      yield* say({})
      assert.deepStrictEqual(current().pending, [])
    }).pipe(Effect.scoped))

  it.effect("sees that another secret waits for the next start, and shows neither", () =>
    Effect.gen(function*() {
      const { changed, current, source, told } = yield* open
      for (const [index, token] of ["secret-one", "secret-two", "secret-two"].entries()) {
        source.file = { token }
        yield* Queue.offer(changed, "file")
        yield* after("1 millis")
        assert.strictEqual(current().version, Math.min(index + 2, 3))
        assert.deepStrictEqual(current().pending.map(({ key, to }) => [key, to]), [["token", "(secret)"]])
      }
      assert.notInclude(JSON.stringify(told()), "secret-")
    }).pipe(Effect.scoped))

  it.effect("takes whatever a source says that cannot be worked on for a mistake of it, and goes on", () =>
    Effect.gen(function*() {
      const { changed, current, server, source, store, told } = yield* open
      const deep = (levels: number) => JSON.parse(`${"[".repeat(levels)}${"]".repeat(levels)}`) as unknown
      const probe = (argument: unknown) => ({ pools: { a: { reload: { probe: { tool: "add", arguments: { argument } } } } } })
      const unsound = {
        get pools(): never {
          throw new RangeError("Maximum call stack size exceeded by secret-one")
        }
      }
      for (
        const [file, cause] of [[probe(deep(20)), "nested 16 levels"], [probe(deep(100_000)), "nested"], [unsound, "RangeError"]] as const
      ) {
        source.file = file
        yield* Queue.offer(changed, "file")
        yield* after("1 millis")
        assert.strictEqual(told().at(-1)?.name, "snakepit.config.reject")
        assert.include(String(told().at(-1)?.attributes["cause"]), cause)
        assert.notInclude(JSON.stringify(told()), "secret-")
        assert.strictEqual(store.history.length, 1)
      }
      const sections = JSON.parse(`${"{\"a\":".repeat(20_000)}1${"}".repeat(20_000)}`) as object
      const { apply, preview } = yield* server
      for (const patch of [probe(deep(100_000)), sections]) {
        assert.strictEqual((yield* Effect.flip(preview(patch)))._tag, "ConfigInvalid")
        assert.strictEqual((yield* Effect.flip(apply(patch)))._tag, "ConfigInvalid")
      }
      source.file = probe(deep(10))
      yield* Queue.offer(changed, "file")
      yield* after("1 millis")
      assert.strictEqual(current().version, 2)
      assert.notInclude(told().map(({ name }) => name), PoolEvent.config_restore.name, "no server has crashed")
    }).pipe(Effect.scoped))

  it.effect("tells each change that holds, though who asked for it is gone", () =>
    Effect.gen(function*() {
      const { current, meanwhile, server, told } = yield* open
      const asked = yield* Effect.forkChild((yield* server).apply({ pools: { a: { size: 3 } } }))
      meanwhile.publish = () => asked.interruptUnsafe()
      yield* Effect.exit(Fiber.join(asked))
      assert.deepStrictEqual([current().version, told().at(-1)?.measurements["version"]], [2, 2])
    }).pipe(Effect.scoped))

  it.effect("finds what is wrong in a file beneath a patch of the same key", () =>
    Effect.gen(function*() {
      const { changed, current, server, source, told } = yield* open
      yield* (yield* server).apply({ pools: { a: { size: 3 } } })
      const before = current()
      source.file = { pools: { a: { size: "many" } } }
      yield* Queue.offer(changed, "file")
      yield* after("1 millis")
      assert.include(String(told().at(-1)?.attributes["cause"]), "pools.a.size")
      assert.deepStrictEqual(current(), before)
    }).pipe(Effect.scoped))

  it.effect("names the source of each key, and what takes its place when a patch is taken back", () =>
    Effect.gen(function*() {
      const { changed, current, server, source } = yield* open
      const { apply } = yield* server
      const sizeSaid = () => ConfigLayer.describe(current().provenance.get("pools.a.size")!)
      assert.strictEqual(sizeSaid(), "default")
      source.file = { pools: { a: { size: 3 } } }
      yield* Queue.offer(changed, "file")
      yield* after("1 millis")
      assert.strictEqual(sizeSaid(), "file.yaml, line 7")
      yield* apply({ pools: { a: { size: 5 } } })
      assert.deepStrictEqual([sizeSaid(), current().config.pools["a"]!.size], ["patch at run time", 5])
      yield* apply({ pools: { a: { size: null } } })
      assert.deepStrictEqual([sizeSaid(), current().config.pools["a"]!.size], ["file.yaml, line 7", 3])
    }).pipe(Effect.scoped))

  it.effect("tells where each mistake was made, what there might have been, and no secret", () =>
    Effect.gen(function*() {
      const layers = [ConfigLayer.code(base), {
        value: { pools: { a: { size: "many", attempts: Number.POSITIVE_INFINITY, calTimeout: 1, python: { env: { TOKEN: 12345 } } } } },
        sourceOf: () => ({ _tag: "File", file: "snakepit.yaml", line: 4 }) as const
      }]
      const { message } = yield* Effect.flip(ConfigServer.decode(TestConfig, layers))
      assert.include(message, "pools.a.size (snakepit.yaml, line 4): expected")
      assert.include(message, "and it is \"many\"")
      assert.include(message, "and it is Infinity")
      assert.include(message, "pools.a.calTimeout (snakepit.yaml, line 4): there is no such key. Did you mean \"callTimeout\"?")
      assert.include(message, "pools.a.python.env.TOKEN (snakepit.yaml, line 4): expected")
      assert.notInclude(message, "12345")
    }))

  it("each key of the model has a class", () =>
    assert.deepStrictEqual(ConfigShape.keys(shape).filter(([, { reload }]) => reload.class === undefined), []))
})
