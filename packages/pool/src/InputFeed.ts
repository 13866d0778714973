/**
 * A stream of inputs on its way into a running call: pulled while its worker has room for more, and never further.
 *
 * **Details**
 *
 * A failure of the stream is said to the worker, whose iterator raises then; the call goes on until the tool is over, so that it can put things in
 * order, and ends with the stream's failure whatever the tool made of it.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { Payload } from "./Payload.ts"

/** Where inputs go. */
export interface Target {
  readonly encode: (element: unknown, position: number) => Exit.Exit<Payload, unknown>
  readonly send: (payload: Payload) => void
  readonly end: (failure?: string) => void
}

export interface InputFeed {
  /** The worker has room for so many more. */
  readonly want: (elements: number) => void
  /** Why the stream failed. */
  failure: Cause.Cause<unknown> | undefined
  /** Runs until it is interrupted: when the call is over. */
  readonly run: (target: Target) => Effect.Effect<never, never, unknown>
}

export const make = (inputs: Stream.Stream<unknown, unknown, unknown>): InputFeed => {
  const hasRoom = Latch.makeUnsafe(false)
  let room = 0
  const sendAll = ({ encode, send }: Target) =>
    Effect.gen(function*() {
      const pull = yield* Stream.toPull(inputs)
      for (let position = 0;;) {
        yield* hasRoom.await
        for (const element of yield* pull) {
          yield* hasRoom.await
          send(yield* encode(element, position++))
          if (--room === 0) hasRoom.closeUnsafe()
        }
      }
    })
  const feed: InputFeed = {
    failure: undefined,
    want: (elements) => {
      room += elements
      hasRoom.openUnsafe()
    },
    run: (target) =>
      Effect.scoped(sendAll(target)).pipe(
        Pull.catchDone(() => Effect.sync(() => target.end())),
        Effect.catchCause((cause) =>
          Effect.sync(() => {
            feed.failure = cause
            target.end(textOf(cause))
          })
        ),
        Effect.andThen(Effect.never)
      )
  }
  return feed
}

/** What Python is told. */
const textOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? `${error.name}: ${error.message}` : `the stream of inputs failed: ${String(error)}`
}
