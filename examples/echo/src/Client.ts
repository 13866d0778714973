/** A client as it would be elsewhere: it connects, says lines, and reads an answer to each. */
import { RegisteredName } from "@snakepit/core"
import { Data, Effect, Queue } from "effect"
import { createConnection } from "node:net"
import * as Lines from "./Lines.ts"
import * as Listener from "./Listener.ts"

/** The port is closed. */
export class NobodyListens extends Data.TaggedError("NobodyListens") {}

/** The connection was closed before the answer came. */
export class HungUp extends Data.TaggedError("HungUp") {}

/** A connection to the listener of the moment, closed with the scope. */
export const connect = Effect.gen(function*() {
  const { port } = yield* RegisteredName.whereis(Listener.name)
  const socket = createConnection(port, "127.0.0.1")
  const lines = yield* Lines.of(socket)
  yield* Effect.callback<void, NobodyListens>((resume) => {
    socket.once("connect", () => resume(Effect.void))
    socket.once("close", () => resume(Effect.fail(new NobodyListens())))
  })
  return {
    /** Says a line and returns the answer. */
    say: (line: string): Effect.Effect<string, HungUp> =>
      Effect.andThen(
        Effect.sync(() => socket.write(`${line}\n`)),
        Effect.catch(Queue.take(lines), () => Effect.fail(new HungUp()))
      )
  }
})
