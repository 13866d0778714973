/**
 * The last events of an application, in order: to look back at, to follow, and to keep in a file.
 *
 * **When to use**
 *
 * `recent` answers "what has just happened"; `follow` is a `Stream` of what happens from now on; with a file every event is appended to it
 * as one line of JSON, from the start of the application to the stop of the log itself. Events of a process that ended hold the last lines
 * that it wrote, so the file is made for its user alone (0600); the mode of one that is there already stays as it is.
 *
 * **Details**
 *
 * The log is a child of the Telemetry supervisor. Emitters only append to a bounded buffer; the log takes from it in its own time. When
 * the log crashes, the buffer waits for its next generation. When the buffer is full the oldest events are dropped, and counted. What is no
 * news (`News.isNews`), as the samples of pools and workers, is not in it: it is much, and would push the decisions out.
 *
 * **Example** (Following restarts)
 *
 * ```ts
 * import { EventLog } from "@snakepit/telemetry"
 * import { Effect, Stream } from "effect"
 *
 * const restarts = Effect.gen(function*() {
 *   const log = yield* EventLog.EventLog
 *   yield* log.follow("snakepit.*_supervisor.restart").pipe(Stream.runForEach((event) => Effect.log(event.attributes["cause"])))
 * })
 * ```
 */
import { Child, type Event, NamePattern } from "@snakepit/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { appendFile } from "node:fs/promises"
import { EventBus } from "./EventBus.ts"
import * as News from "./News.ts"

/** Events kept for `recent`, for a follower that lags, and for a log that is being restarted. 10,000: some megabytes. */
const capacity = 10_000

/** What lives as long as the application, whatever happens to the child that feeds it. */
interface Memory {
  buffer: Array<Event.Event>
  readonly arrived: Latch.Latch
  readonly ring: Array<Event.Event>
  readonly live: PubSub.PubSub<Event.Event>
  dropped: number
}

/** The log of an application. */
export class EventLog extends Context.Service<EventLog, {
  /** The last events whose name fits the pattern, oldest first. */
  readonly recent: (pattern?: string) => Effect.Effect<ReadonlyArray<Event.Event>>
  /** Events whose name fits the pattern, from the moment that the stream runs. */
  readonly follow: (pattern?: string) => Stream.Stream<Event.Event>
  /** Events that were dropped because the log could not keep up. */
  readonly dropped: Effect.Effect<number>
  readonly memory: Memory
}>()("@snakepit/telemetry/EventLog") {
  /** The log, listening to the bus from now on; {@link child} feeds it. */
  static readonly layer: Layer.Layer<EventLog, never, EventBus> = Layer.effect(
    EventLog,
    Effect.gen(function*() {
      const bus = yield* EventBus
      const live = yield* PubSub.sliding<Event.Event>(capacity)
      const memory: Memory = { buffer: [], arrived: Latch.makeUnsafe(false), ring: [], live, dropped: 0 }
      yield* bus.tap("*", (event) => {
        if (!News.isNews(event)) return
        memory.buffer.push(event)
        if (memory.buffer.length > capacity) {
          memory.buffer.shift()
          memory.dropped++
        }
        memory.arrived.openUnsafe()
      })
      return {
        recent: (pattern = "*") =>
          Effect.sync(() => {
            const fits = NamePattern.matcher(pattern)
            return memory.ring.filter((event) => fits(event.name))
          }),
        follow: (pattern = "*") => {
          const fits = NamePattern.matcher(pattern)
          return Stream.fromPubSub(live).pipe(Stream.filter((event) => fits(event.name)))
        },
        dropped: Effect.sync(() => memory.dropped),
        memory
      }
    })
  )
}

/** The file of the log could not be written. The events that it lacks are written by the log's next generation. */
export class EventLogFailed extends Schema.TaggedError<EventLogFailed>()("EventLogFailed", {
  file: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the event log could not be written to ${this.file}: ${this.detail}`
  }
}

/** The child that moves events from the buffer to the file and to those who look. */
export const child = (file: string | undefined) =>
  Child.make("event_log", {
    start: Effect.gen(function*() {
      const { memory } = yield* EventLog
      const move = Effect.gen(function*() {
        yield* memory.arrived.close
        const events = memory.buffer
        memory.buffer = []
        yield* write(file, events).pipe(Effect.tapError(() =>
          Effect.sync(() => {
            memory.buffer = [...events, ...memory.buffer]
            memory.arrived.openUnsafe()
          })
        ))
        for (const event of events) {
          memory.ring.push(event)
          if (memory.ring.length > capacity) memory.ring.shift()
          PubSub.publishUnsafe(memory.live, event)
        }
      })
      yield* Effect.addFinalizer(() => Effect.ignore(move, { log: true })) // what was told up to its own stop
      return Effect.forever(Effect.andThen(memory.arrived.await, Effect.uninterruptible(move)))
    })
  })

const write = (file: string | undefined, events: ReadonlyArray<Event.Event>): Effect.Effect<void, EventLogFailed> =>
  file === undefined ? Effect.void : Effect.tryPromise({
    // 0600: what workers write stands in the events of their ends
    try: () => appendFile(file, events.map((event) => `${JSON.stringify(event)}\n`).join(""), { mode: 0o600 }),
    catch: (cause) => new EventLogFailed({ file, detail: cause instanceof Error ? cause.message : String(cause) })
  })
