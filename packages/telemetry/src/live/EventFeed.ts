/**
 * The events of a running application for other programs of the same user, as `snakepit watch`: over a Unix socket in the run's own folder.
 *
 * **Details**
 *
 * A child of the Telemetry supervisor. Who connects is told how the application stands, then what happens, as {@link FeedLine}s. The emitter of an event only
 * appends it to a bounded buffer. A client that does not read is sent nothing once {@link unreadBytes} wait for it; when it has read them it is told how many events
 * it lacks, and how the application stands. The folder is for this user alone (0700), and so is who may connect.
 */
import { Child, type Event } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { rmSync } from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import { join } from "node:path"
import { EventBus } from "../EventBus.ts"
import * as FeedLine from "./FeedLine.ts"
import * as LiveTree from "./LiveTree.ts"
import { LiveView } from "./LiveView.ts"

/** Those who look at a time: eight terminals are more than one user has open on one application. */
export const maxClients = 8

/** Bytes that wait for a client before it is sent no more: 1 MiB, some thousand events. */
export const unreadBytes = 1 << 20

/** Events that wait to be encoded. 10,000: those of a restart storm within one turn of the event loop. */
const capacity = 10_000

/** The socket cannot be served. */
export class FeedFailed extends Schema.TaggedError<FeedFailed>()("FeedFailed", { path: Schema.String, detail: Schema.String }) {
  override get message(): string {
    return `the event feed cannot be served at ${this.path}: ${this.detail}. \`snakepit watch\` finds nothing there; turn it off with telemetry.feed: "off"`
  }
}

/** Where the feed of a run is. */
export const pathOf = (folder: string): string => join(folder, "feed")

/** Whose feed it is. */
export interface Source {
  readonly run: string
  /** The folder of the run, once there is one. */
  readonly folder: () => string | undefined
}

interface Client {
  readonly socket: Socket
  dropped: number
}

/** The feed as a supervised child. It serves from its life on: a socket that cannot be had must not keep an application from starting. */
export const child = (source: Source) => Child.make("event_feed", { start: Effect.succeed(Effect.scoped(serve(source))) })

const serve = Effect.fnUntraced(function*({ folder, run }: Source) {
  const under = folder()
  const view = yield* Effect.serviceOption(LiveView)
  if (under === undefined || Option.isNone(view)) return yield* Effect.never // no registry, or nobody keeps what could be told
  const path = pathOf(under)
  const shown = view.value
  const clients = new Set<Client>()
  const arrived = Latch.makeUnsafe(false)
  let pending: Array<Event.Event> = []
  let lost = 0

  const state = (dropped: number): string => FeedLine.encode({ snapshot: LiveTree.snapshot(shown.tree), recent: shown.recent, dropped })
  const send = (client: Client, text: string, events: number): void => {
    if (client.socket.writableLength > unreadBytes) client.dropped += events
    else if (client.dropped > 0) {
      client.socket.write(state(client.dropped + events)) // that state has these too
      client.dropped = 0
    } else if (events > 0) client.socket.write(text)
  }
  const flush = (): void => {
    const events = pending
    pending = []
    for (const client of clients) client.dropped += lost
    lost = 0
    const text = events.map((event) => FeedLine.encode({ event })).join("")
    for (const client of clients) send(client, text, events.length)
  }

  const welcome = (socket: Socket): void => {
    flush() // so that nobody is told again what its snapshot has
    const client: Client = { socket, dropped: 0 }
    clients.add(client)
    socket.on("error", () => {}) // it is gone, and `close` comes
    socket.on("close", () => clients.delete(client))
    socket.on("drain", () => arrived.openUnsafe())
    socket.resume() // nobody says anything here; its end must be heard
    socket.write(FeedLine.encode({ feed: FeedLine.version, run, pid: process.pid }) + state(0))
  }
  const refuse = (socket: Socket): void => {
    socket.on("error", () => {})
    socket.end(FeedLine.encode({ refused: `${maxClients} programs look at this application already` }))
  }
  const server = createServer((socket) => clients.size < maxClients ? welcome(socket) : refuse(socket))
  yield* Effect.acquireRelease(listen(server, path), () =>
    Effect.sync(() => {
      for (const { socket } of clients) socket.destroy()
      server.close()
    }))
  yield* (yield* EventBus).tap("*", (event) => {
    if (clients.size === 0) return
    if (pending.length < capacity) pending.push(event)
    else lost++
    arrived.openUnsafe()
  })
  return yield* Effect.forever(
    arrived.await.pipe(Effect.andThen(arrived.close), Effect.andThen(Effect.sync(flush)), Effect.andThen(Effect.yieldNow))
  )
})

const listen = (server: Server, path: string): Effect.Effect<void, FeedFailed> =>
  Effect.callback((resume) => {
    rmSync(path, { force: true }) // of a generation before, in a folder that is this run's alone
    server.once("error", (error) => resume(Effect.fail(new FeedFailed({ path, detail: error.message }))))
    server.listen(path, () => resume(Effect.void))
  })
