/** The TCP server on loopback. It hands each connection over, and knows nothing of it afterwards. */
import { Child, RegisteredName } from "@snakepit/core"
import { Data, Effect, Queue, Stream } from "effect"
import { createServer, type Server, type Socket } from "node:net"
import * as Connections from "./Connections.ts"

/** The port could not be opened. */
export class ListenFailed extends Data.TaggedError("ListenFailed")<{ readonly cause: Error }> {}

/** Where it listens, in its current generation. */
export const name = RegisteredName.make<{ readonly port: number; readonly server: Server }>("listener")

const listen = (server: Server) =>
  Effect.callback<number, ListenFailed>((resume) => {
    server.once("error", (cause) => resume(Effect.fail(new ListenFailed({ cause }))))
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

let accepted = 0 // ids of connections are never used twice

const handOver = (socket: Socket) =>
  Effect.flatMap(
    RegisteredName.whereis(Connections.name),
    (connections) => connections.startChild(Connections.child(String(++accepted), socket))
  ).pipe(
    Effect.catchTag(["NotRegistered", "MaxChildren", "SupervisorStopping"], () => Effect.sync(() => socket.destroy()))
  )

export const child = Child.make("listener", {
  start: Effect.gen(function*() {
    const sockets = yield* Queue.unbounded<Socket>()
    const server = yield* Effect.acquireRelease(
      Effect.sync(() => createServer((socket) => Queue.offerUnsafe(sockets, socket))),
      (server) => Effect.sync(() => server.close()) // its connections go on
    )
    yield* RegisteredName.register(name, { port: yield* listen(server), server })
    return Stream.runForEach(Stream.fromQueue(sockets), handOver)
  }),
  shutdown: "1 second"
})
