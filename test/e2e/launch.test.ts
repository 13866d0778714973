/** How real workers come to be, and what is told of their ends. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, type Scope } from "effect"
import { type Event, EventBus, EventLog, Pool, Snakepit } from "snakepit"
import { config, pythonFolder } from "./fixtures/Program.ts"
import { Tools } from "./fixtures/Tools.ts"

const one = { size: 1, stopGrace: "300 millis" } as const

const told = (name: string) => Effect.flatMap(EventLog.EventLog, (log) => log.recent(name))

/** The next event of that name, of another process than `pid`: it must come within 20 s. */
const next = (name: string, pid?: Event.Value) =>
  Effect.gen(function*() {
    const heard = yield* Deferred.make<Event.Event>()
    yield* (yield* EventBus.EventBus).tap(name, (event) => {
      if (pid === undefined || event.attributes["pid"] !== pid) Deferred.doneUnsafe(heard, Exit.succeed(event))
    })
    return Effect.timeoutOrElse(Deferred.await(heard), {
      duration: "20 seconds",
      orElse: () => Effect.die(new Error(`no ${name} within 20 s`))
    })
  })

const program = (
  input: Parameters<typeof Snakepit.layer>[0],
  test: Effect.Effect<void, unknown, Snakepit.Services | Scope.Scope>
) => test.pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(input)))

describe.skipIf(process.platform !== "linux")("a worker", () => {
  it.live("is forked, with the environment, folder, nice level and limits of its pool", () =>
    program(
      config({ env: { MODEL: "small" }, cwd: pythonFolder, nice: 7, oomScoreAdj: 600, limits: { openFiles: 256 }, threads: 2 }, one),
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        assert.deepStrictEqual((yield* told("snakepit.process.start")).map(({ attributes }) => attributes["start"]), ["fork"])
        assert.deepStrictEqual(yield* tools.surroundings(), {
          nice: 7,
          oom: 600,
          files: 256,
          core: 0,
          threads: "2",
          model: "small",
          cwd: pythonFolder
        })
      })
    ))

  it.live("lives on when its forkserver is killed, which is replaced and forks the next one", () =>
    program(
      config({}, one),
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const [first] = yield* told("snakepit.forkserver.start")
        const [worker] = yield* told("snakepit.process.start")
        const ended = yield* next("snakepit.forkserver.exit")
        const replaced = yield* next("snakepit.forkserver.start")
        process.kill(Number(first!.attributes["pid"]), "SIGKILL")
        assert.deepInclude((yield* ended).attributes, { planned: false, signal: "SIGKILL", exitClass: "KilledBySomeone" })
        assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
        assert.deepInclude((yield* replaced).attributes, { mode: "fork" })
        const started = yield* next("snakepit.process.start")
        process.kill(Number(worker!.attributes["pid"]), "SIGKILL")
        assert.deepInclude((yield* started).attributes, { generation: 1, start: "fork" })
        assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
      })
    ))

  it.live("comes by another way when its forkserver stands still, which is replaced and forks the next one", () =>
    program(
      config({}, { ...one, size: 4 }), // more than stand by to become workers without it
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const forkserver = (yield* told("snakepit.forkserver.start"))[0]!.attributes["pid"]
        const workers = (yield* told("snakepit.process.start")).map(({ attributes }) => attributes["pid"])
        const restarted = yield* next("snakepit.launcher_supervisor.restart")
        const forksAgain = yield* next("snakepit.forkserver.start", forkserver)
        const spawned = yield* Deferred.make<Event.Value>()
        yield* (yield* EventBus.EventBus).tap("snakepit.process.start", ({ attributes }) => {
          if (attributes["start"] === "spawn") Deferred.doneUnsafe(spawned, Exit.succeed(attributes["pid"]!))
        })
        process.kill(Number(forkserver), "SIGSTOP")
        for (const worker of workers) process.kill(Number(worker), "SIGKILL")
        const pid = yield* Effect.timeout(Deferred.await(spawned), "20 seconds")
        assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
        assert.include((yield* restarted).attributes["cause"], `process ${forkserver} ended by SIGKILL: it stood still`)
        assert.deepInclude((yield* forksAgain).attributes, { mode: "fork" })
        const known = (yield* told("snakepit.process.start")).map(({ attributes }) => attributes["pid"])
        const forked = yield* Deferred.make<void>()
        yield* (yield* EventBus.EventBus).tap("snakepit.process.start", ({ attributes }) => {
          if (attributes["start"] === "fork" && !known.includes(attributes["pid"]!)) Deferred.doneUnsafe(forked, Exit.void)
        })
        process.kill(Number(pid), "SIGKILL")
        yield* Effect.timeout(Deferred.await(forked), "20 seconds")
      })
    ))

  it.live("is spawned when the import of its adapter has started threads", () =>
    program(
      config({ adapter: "starts_threads" }, one),
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
        const [event] = yield* told("snakepit.forkserver.start")
        assert.strictEqual(event!.attributes["mode"], "spawn")
        assert.include(event!.attributes["why"], "importing \"starts_threads\" left 1 threads running")
        assert.deepStrictEqual((yield* told("snakepit.process.start")).map(({ attributes }) => attributes["start"]), ["spawn"])
      })
    ))

  it.live("that is killed is replaced by a warm spare, and a new spare comes up", () =>
    program(
      config({}, { ...one, launch: { spares: 1 } }),
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const ready = yield* next("snakepit.spare.ready")
        const waiting = yield* told("snakepit.spare.ready")
        const spare = waiting.length > 0 ? waiting[0]! : yield* ready
        const [worker] = yield* told("snakepit.process.start")
        const started = yield* next("snakepit.process.start", worker!.attributes["pid"])
        const another = yield* next("snakepit.spare.ready", spare.attributes["pid"])
        process.kill(Number(worker!.attributes["pid"]), "SIGKILL")
        assert.deepInclude((yield* started).attributes, { generation: 1, start: "spare", pid: spare.attributes["pid"] })
        assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
        yield* another
      })
    ))

  const crashes = [["segfault", "Segfault", "Segmentation fault"], ["abort", "Abort", "Aborted"]] as const
  it.live.each(crashes)("that crashes by a %s says so, with the top of the stack that crashed", ([how, exitClass, says]) =>
    program(
      config({}, one),
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const exit = yield* next("snakepit.process.exit")
        const restart = yield* next("snakepit.worker_supervisor.restart")
        assert.strictEqual((yield* Effect.flip(tools.crash({ how })))._tag, "WorkerCrashed")
        const { attributes } = yield* exit
        assert.deepInclude(attributes, { planned: false, exitClass })
        assert.match(String(attributes["output"]), new RegExp(`${says}[^]*tools.py`))
        assert.include((yield* restart).attributes["cause"], says)
      })
    ))
})
