/** The other end of an event feed: what an application of another process tells, as a stream of lines. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createConnection } from "node:net"
import * as FeedLine from "./FeedLine.ts"

/** Nobody serves the socket, or what it says cannot be understood. */
export class FeedUnreadable extends Schema.TaggedError<FeedUnreadable>()("FeedUnreadable", { path: Schema.String, detail: Schema.String }) {
  override get message(): string {
    return `the event feed at ${this.path} cannot be read: ${this.detail}`
  }
}

/** Connects, and gives what comes until the application ends the connection. */
export const lines = (path: string): Stream.Stream<FeedLine.FeedLine, FeedUnreadable> => {
  const unreadable = (detail: string) => new FeedUnreadable({ path, detail })
  const socket = Effect.acquireRelease(
    Effect.sync(() => createConnection(path)),
    (socket) => Effect.sync(() => socket.destroy())
  )
  return Stream.unwrap(
    Effect.map(
      socket,
      (socket) =>
        Stream.fromAsyncIterable<Uint8Array, FeedUnreadable>(
          socket,
          (cause) => unreadable(cause instanceof Error ? cause.message : String(cause))
        )
    )
  )
    .pipe(
      Stream.decodeText,
      Stream.splitLines,
      Stream.mapEffect((line) => Effect.mapError(FeedLine.decode(line), (problem) => unreadable(problem.message))),
      Stream.mapEffect((line) =>
        "feed" in line && line.feed !== FeedLine.version
          ? Effect.fail(
            unreadable(`it speaks version ${line.feed}, and this program ${FeedLine.version}: use the snakepit of that application`)
          )
          : Effect.succeed(line)
      )
    )
}
