/** The stream to a real Python worker, cut while calls are on their way: nothing is lost, and nothing runs twice. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Metric, Stream } from "effect"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import type { Socket } from "node:net"
import { Pool, Snakepit } from "snakepit"
import { journal, linesOf } from "./fixtures/Journal.ts"
import { config, until } from "./fixtures/Program.ts"
import { pidOf, recorder } from "./fixtures/Recorder.ts"
import { Tools } from "./fixtures/Tools.ts"

/** Sockets that this process has dialled: with one worker there is one at a time. */
const dialled: Array<Socket> = []
const note = (message: unknown) => void dialled.push((message as { readonly socket: Socket }).socket)

/** Hears of sockets before the first worker is dialled. */
const watched = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => subscribe("net.client.socket", note)),
    () => test,
    () => Effect.sync(() => unsubscribe("net.client.socket", note))
  )

/** As the kernel would: both ends see end of file. */
const cut = Effect.sync(() => dialled.at(-1)!.destroy())

const one = { size: 1, prefetch: 1 }

describe("a stream that is cut", () => {
  it.live("loses no call, runs none twice, and costs the worker one restart of its channel", () =>
    Effect.gen(function*() {
      const { awaitEvent, events } = yield* recorder(0)
      const tools = yield* Pool.client(Tools)
      const file = yield* journal
      const pid = yield* pidOf(0)
      const begin = (text: string) => Effect.forkChild(tools.note({ journal: file, text, seconds: 0.5 }), { startImmediately: true })
      const running = yield* begin("running")
      const waiting = yield* begin("waiting")
      yield* Effect.promise(() => until(() => linesOf(file).length, (count) => count === 1))
      yield* cut
      yield* awaitEvent("snakepit.worker_supervisor.recover")
      assert.strictEqual(yield* Fiber.join(running), "running")
      assert.strictEqual(yield* Fiber.join(waiting), "waiting")
      assert.deepStrictEqual(linesOf(file), ["running", "waiting"])
      assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
      assert.strictEqual(yield* pidOf(0), pid)
      assert.deepStrictEqual(events.map(({ name }) => name), [
        "snakepit.worker_supervisor.restart",
        "snakepit.worker_supervisor.recover"
      ])
      assert.include(events[0]!.attributes, { child: "channel" })
      assert.include(events[0]!.attributes["cause"], "the channel to worker default/0 broke")
      const ledger = yield* Pool.ledger()
      assert.include(ledger!, { completed: 3, failed: 0, retried: 0, twice: 0 })
      const reconnects = (yield* Metric.snapshot).find(({ id }) => id === "snakepit.bridge.reconnects")
      assert.deepInclude(reconnects?.state, { count: 1 })
    }).pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(config({}, one))), watched))

  it.live("leaves no gap and no repetition in what Python streams", () =>
    Effect.gen(function*() {
      const tools = yield* Pool.client(Tools)
      const file = yield* journal
      const elements = yield* tools.slow_count({ n: 3000, journal: file }).pipe(
        Stream.tap((element) => element % 1200 === 1000 ? cut : Effect.void), // twice
        Stream.runCollect
      )
      assert.deepStrictEqual([...elements], Array.from({ length: 3000 }, (_, index) => index))
      assert.deepStrictEqual(linesOf(file), [...elements.map(String), "closed"])
    }).pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(config({}, one))), watched))

  it.live("does not cost a worker its budget when it broke because the process was killed", () =>
    Effect.gen(function*() {
      const { awaitEvent, events } = yield* recorder(0)
      const tools = yield* Pool.client(Tools)
      process.kill(yield* pidOf(0), "SIGKILL")
      yield* awaitEvent("snakepit.worker_supervisor.recover")
      assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
      const restarts = events.filter(({ name }) => name === "snakepit.worker_supervisor.restart")
      assert.deepStrictEqual(restarts.map(({ attributes }) => attributes["child"]), ["process"])
    }).pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(config({}, one)))))
})
