/** The event feed over a real socket: what who connects is told, and what a slow or a further client does to others. */
import { assert, describe, it } from "@effect/vitest"
import { type Event, Simulation, Supervisor } from "@snakepit/core"
import { Generate, TreePlan } from "@snakepit/core/testing"
import { EventBus, EventFeed, EventLog, FeedClient, FeedLine, History, LiveTree, LiveView, TelemetrySupervisor } from "@snakepit/telemetry"
import { Effect, Fiber, Layer, Schedule, Stream } from "effect"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { createConnection, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

const Live = Layer.mergeAll(EventLog.EventLog.layer, History.History.layer, LiveView.LiveView.layer).pipe(
  Layer.provideMerge(EventBus.EventBus.layer)
)

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "feed-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const until = (isSo: () => boolean) =>
  Effect.sync(isSo).pipe(Effect.repeat({ until: (so) => so, schedule: Schedule.spaced("5 millis") }), Effect.timeout("20 seconds"))

/** Starts telemetry with a feed; returns its handle and the feed's path. */
const start = Effect.gen(function*() {
  const folder = yield* temporary
  const telemetry = yield* Supervisor.start(TelemetrySupervisor.make({}, [], { run: "a-run", folder: () => folder }))
  const path = EventFeed.pathOf(folder)
  yield* until(() => existsSync(path))
  return { telemetry, path }
})

const event = (n: number, text = ""): Event.Event => ({
  name: "snakepit.call.fail",
  at: n,
  measurements: { n },
  attributes: { pool: "default", slot: undefined, text }
})

/** What a client that reads makes of the lines. */
const follow = (path: string, until: (shown: LiveView.Shown, lines: ReadonlyArray<FeedLine.FeedLine>) => boolean) =>
  Effect.gen(function*() {
    let shown: LiveView.Shown = { tree: LiveTree.make(), recent: [] }
    const lines: Array<FeedLine.FeedLine> = []
    yield* FeedClient.lines(path).pipe(
      Stream.tap((line) =>
        Effect.sync(() => {
          lines.push(line)
          if ("snapshot" in line) shown = { tree: LiveTree.restore(line.snapshot), recent: [...line.recent] }
          if ("event" in line) LiveView.take(shown, line.event)
        })
      ),
      Stream.takeUntil(() => until(shown, lines)),
      Stream.runDrain
    )
    return { shown, lines }
  })

/** A client that reads nothing until it is told to. */
const mute = (path: string) =>
  Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const socket = createConnection(path, () => resume(Effect.succeed(socket.pause())))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

describe.skipIf(process.platform === "win32")("the event feed", () => {
  it.live(
    "tells who connects its version, how all stands, and then what happens: as the application itself sees it",
    () =>
      Effect.gen(function*() {
        const bus = yield* EventBus.EventBus
        const { path } = yield* start
        const own = yield* LiveView.LiveView
        const planned = Generate.bySeed(8, 21)
        const simulated = Simulation.watched(TreePlan.make(planned.tree), bus.emit)
        simulated.boot()
        const client = yield* Effect.forkChild(follow(path, ({ recent }) => recent.at(-1)?.measurements["n"] === -1))
        const early = yield* follow(path, (_, lines) => lines.length === 2)
        assert.deepInclude(early.lines[0], { feed: FeedLine.version, run: "a-run", pid: process.pid })
        assert.deepStrictEqual(early.shown.tree.nodes, own.tree.nodes)
        for (const line of planned.script) simulated.play(TreePlan.line(line))
        bus.emit(event(-1))
        const { shown } = yield* Fiber.join(client)
        assert.deepStrictEqual(
          JSON.parse(JSON.stringify(LiveTree.snapshot(shown.tree))),
          JSON.parse(JSON.stringify(LiveTree.snapshot(own.tree)))
        )
        const sent = JSON.stringify(own.recent, (key, value) => key === "heard" ? undefined : value) // it is for a replay
        assert.deepStrictEqual(JSON.parse(JSON.stringify(shown.recent)), JSON.parse(sent))
        simulated.discard()
      }).pipe(Effect.provide(Live)),
    60_000
  )

  it.live(
    "drops events for a client that does not read, tells it how many, and how all stands then; nobody waits for it",
    () =>
      Effect.gen(function*() {
        const bus = yield* EventBus.EventBus
        const { path } = yield* start
        const slow = yield* mute(path)
        const text = "x".repeat(1000)
        const quick = yield* Effect.forkChild(follow(path, ({ recent }) => recent.at(-1)?.measurements["n"] === 9999))
        yield* follow(path, (_, lines) => lines.length === 2) // whoever came before is welcomed too by then
        for (let n = 0; n < 10_000; n++) {
          bus.emit(event(n, text))
          if (n % 500 === 499) yield* Effect.sleep("1 millis") // others have their turn, as between real events
        }
        assert.strictEqual((yield* Fiber.join(quick)).shown.recent.length, 1000)
        let heard = ""
        slow.on("data", (chunk) => {
          heard += chunk.toString()
          bus.emit(event(10_000)) // something goes on happening
        }).resume()
        yield* until(() => /"dropped":[1-9]/.test(heard))
      }).pipe(Effect.provide(Live)),
    60_000
  )

  it.live("refuses one client too many in words, and takes the next when one has gone", () =>
    Effect.gen(function*() {
      const { path } = yield* start
      const clients = yield* Effect.forEach(Array.from({ length: EventFeed.maxClients }), () => mute(path))
      const refused = yield* follow(path, () => false)
      assert.match(JSON.stringify(refused.lines), /refused.*look at this application already/)
      clients[0]!.destroy()
      const again = follow(path, (_, lines) => "refused" in lines[0]! || lines.length === 2)
      const { lines } = yield* again.pipe(Effect.repeat({ until: ({ lines }) => lines.length === 2 }), Effect.timeout("20 seconds"))
      assert.property(lines[1], "snapshot")
    }).pipe(Effect.provide(Live)), 60_000)

  it.live("serves again after a crash, and hurts nobody by it", () =>
    Effect.gen(function*() {
      const log = yield* EventLog.EventLog
      const { path, telemetry } = yield* start
      yield* Effect.orDie(telemetry.failChild("event_feed", new Error("on purpose")))
      const served = follow(path, (_, lines) => lines.length === 2)
      yield* served.pipe(Effect.retry({ schedule: Schedule.spaced("20 millis") }), Effect.timeout("20 seconds"))
      const { children } = yield* telemetry.tree
      for (const { generation, id } of children) assert.strictEqual(generation, id === "event_feed" ? 1 : 0, id)
      assert.isNotEmpty(yield* log.recent("snakepit.telemetry_supervisor.restart"))
    }).pipe(Effect.provide(Live)), 60_000)
})
