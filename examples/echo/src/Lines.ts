/** The lines that arrive at a socket, until it closes. */
import { type Cause, Effect, Queue, type Scope } from "effect"
import type { Socket } from "node:net"

/** Owns the socket: it is destroyed with the scope. */
export const of = (socket: Socket): Effect.Effect<Queue.Dequeue<string, Cause.Done>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const lines = yield* Queue.unbounded<string, Cause.Done>()
    let rest = ""
    socket.setEncoding("utf8").on("data", (text: string) => {
      const [...whole] = (rest + text).split("\n")
      rest = whole.pop() ?? ""
      Queue.offerAllUnsafe(lines, whole)
    })
    socket.on("error", () => {}) // "close" follows, which is what counts
    socket.on("close", () => Queue.endUnsafe(lines))
    yield* Effect.addFinalizer(() => Effect.sync(() => socket.destroy()))
    return lines
  })
