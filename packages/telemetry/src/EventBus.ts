/**
 * Carries events from their emitters to whoever listens, without ever holding an emitter up.
 *
 * **When to use**
 *
 * `attach` a handler, a function that returns at once, an Effect or a promise, for as long as a scope is open. `tap` is for a listener that only puts each event into a bounded
 * buffer of its own, as `EventLog` does.
 *
 * **Details**
 *
 * Emitting is synchronous and does no more than append to the queues of the handlers whose pattern the event's name fits. Each handler has a queue of
 * its own, bounded by `capacity`, and a fiber of its own, which hands it one event after another:
 *
 * ```text
 *  emit ──▶ queue of handler A ──▶ its fiber      slow, or blocked for ever: its queue drops the oldest, counted
 *       └─▶ queue of handler B ──▶ its fiber      throws, fails, rejects: counted, and the next event is its next chance
 * ```
 *
 * `handlers()` says what became of it all, and so do the events `snakepit.event_handler.drop` and `.fail`: at most one of a kind for each handler
 * in {@link tellMillis}, and none about the loss of such events themselves. What follows within that time is told together at its end, or when the
 * handler is detached.
 *
 * **Gotchas**
 *
 * A pattern is an event name in which `*` stands for any characters: `snakepit.*_supervisor.restart`.
 *
 * What waits when a handler is detached is not handed on; a promise that it is at goes on, since nothing can stop one. A handler that never returns from a synchronous loop holds all of the process, as any
 * code in it would; no queue helps against that.
 *
 * **Example** (Counting restarts)
 *
 * ```ts
 * import { EventBus } from "@snakepit/telemetry"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const bus = yield* EventBus.EventBus
 *   let restarts = 0
 *   yield* bus.attach("snakepit.*_supervisor.restart", () => restarts++, { name: "restart counter" })
 *   yield* Effect.never
 * }).pipe(Effect.scoped)
 * ```
 */
import { Event, NamePattern } from "@snakepit/core"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as TelemetryEvent from "./TelemetryEvent.ts"

/** What became of the events that a handler was to get. */
export interface Handling {
  /** As it was given to `attach`, else its pattern. */
  readonly name: string
  readonly pattern: string
  /** Those that it has been through, well or not. */
  readonly delivered: number
  /** Those that its queue had no room for. */
  readonly dropped: number
  /** Those at which it threw or failed. */
  readonly failed: number
  /** Those in its queue now. */
  readonly waiting: number
}

/** What has become of all events since the bus was made, also at handlers that are detached by now. */
export interface Totals {
  readonly emitted: number
  /** For each handler whose queue had no room for it, once. */
  readonly dropped: number
  /** For each handler that threw or failed at it, once. */
  readonly failed: number
}

/** How a handler is attached. */
export interface AttachOptions {
  /** For people who read `handlers()`. */
  readonly name?: string | undefined
  /** Events that may wait for it. 1,000 by default: a storm of restarts fits in, and a blocked handler holds less than a megabyte. */
  readonly capacity?: number | undefined
}

type NeedOf<A> = A extends Effect.Effect<any, any, infer R> ? R : never

/** The bus of an application. */
export class EventBus extends Context.Service<EventBus, {
  /** Returns at once and never throws. */
  readonly emit: (event: Event.Event) => void
  /** Hands every event that fits `pattern` to `handler`, in order, until the scope closes. The next comes when its Effect or promise is done. */
  readonly attach: <A>(
    pattern: string,
    handler: (event: Event.Event) => A,
    options?: AttachOptions
  ) => Effect.Effect<void, never, Scope.Scope | NeedOf<A>>
  /** Hands every event that fits `pattern` to `take` while it is emitted, until the scope closes. `take` must do no more than put it somewhere: nobody waits for a promise. */
  readonly tap: (
    pattern: string,
    take: (event: Event.Event) => void,
    options?: Pick<AttachOptions, "name">
  ) => Effect.Effect<void, never, Scope.Scope>
  /** Every handler that is attached. */
  readonly handlers: () => ReadonlyArray<Handling>
  readonly totals: () => Totals
}>()("@snakepit/telemetry/EventBus") {
  /** The bus, also as the sink that everything built with this layer emits to. */
  static readonly layer: Layer.Layer<EventBus> = Layer.effectContext(
    Effect.map(Clock.Clock, (clock) => {
      const bus = new Bus(clock)
      return Context.make(EventBus, bus).pipe(Context.add(Event.EventSink, bus))
    })
  )
}

/** One event about a handler in ten seconds: what goes on for hours is told some hundred times an hour, and what is over is told soon. */
export const tellMillis = 10_000

/** Names that are known to the bus. 1,000: those of the catalogue are some hundred; Python may make up others. */
const names = 1000

class Handler {
  readonly name: string
  readonly pattern: string
  readonly fits: (name: string) => boolean
  /** Puts an event where it waits, or is done with it; `false`: another was dropped for it. */
  readonly take: (event: Event.Event) => boolean
  readonly waiting: () => number
  delivered = 0
  dropped = 0
  failed = 0
  /** There is something to tell of it: that it has lost events, or its last failure. */
  readonly news = Latch.makeUnsafe(false)
  hasDropped = false
  failure: { readonly event: string; readonly cause: Cause.Cause<unknown> } | undefined

  constructor(name: string | undefined, pattern: string, take: (event: Event.Event) => boolean, waiting: () => number) {
    this.name = name ?? pattern
    this.pattern = pattern
    this.fits = NamePattern.matcher(pattern)
    this.take = take
    this.waiting = waiting
  }
}

class Bus {
  readonly watches = true
  private readonly attached = new Set<Handler>()
  /** The handlers of each name that was emitted: patterns are matched once. */
  private readonly routes = new Map<string, ReadonlyArray<Handler>>()
  private readonly clock: Clock.Clock
  private readonly total = { emitted: 0, dropped: 0, failed: 0 }

  constructor(clock: Clock.Clock) {
    this.clock = clock
  }

  readonly emit = (event: Event.Event): void => {
    this.total.emitted++
    for (const handler of this.routes.get(event.name) ?? this.route(event.name)) {
      try {
        if (!handler.take(event)) this.dropped(handler, event)
      } catch (defect) {
        this.failed(handler, event, Cause.die(defect))
      }
    }
  }

  private route(name: string): ReadonlyArray<Handler> {
    const handlers = [...this.attached].filter(({ fits }) => fits(name))
    if (this.routes.size >= names) this.routes.clear()
    this.routes.set(name, handlers)
    return handlers
  }

  readonly attach: EventBus["Service"]["attach"] = (pattern, handle, { capacity = 1000, name } = {}) =>
    Effect.gen({ self: this }, function*() {
      const queue: Array<Event.Event> = []
      const arrived = Latch.makeUnsafe(false)
      const handler = new Handler(
        name,
        pattern,
        (event) => {
          queue.push(event)
          arrived.openUnsafe()
          if (queue.length <= capacity) return true
          queue.shift()
          return false
        },
        () => queue.length
      )
      const handleOne = (event: Event.Event): Effect.Effect<void> =>
        Effect.suspend(() => {
          const outcome: unknown = handle(event)
          if (Effect.isEffect(outcome)) return outcome as Effect.Effect<unknown, unknown>
          return Predicate.isPromiseLike(outcome) ? Effect.promise(() => outcome) : Effect.void
        }).pipe(
          Effect.exit,
          Effect.map((exit) => {
            handler.delivered++
            if (Exit.isFailure(exit)) this.failed(handler, event, exit.cause)
          })
        )
      const serve = Effect.gen(function*() {
        const event = queue.shift()
        if (event !== undefined) return yield* handleOne(event)
        yield* arrived.close
        if (queue.length === 0) yield* arrived.await
      })
      const run = Effect.runForkWith(yield* Effect.context<never>()) // with what the handler needs
      yield* Effect.acquireRelease(
        Effect.sync(() => run(Effect.forever(serve))),
        (fiber) => Effect.sync(() => fiber.interruptUnsafe()) // not waited for: it may be blocked
      )
      yield* this.add(handler)
    })

  readonly tap: EventBus["Service"]["tap"] = (pattern, take, { name } = {}) =>
    Effect.suspend(() => {
      const handler: Handler = new Handler(
        name,
        pattern,
        (event) => {
          handler.delivered++
          const outcome: unknown = take(event)
          if (Predicate.isPromiseLike(outcome)) outcome.then(undefined, (error) => this.failed(handler, event, Cause.fail(error)))
          return true
        },
        () => 0
      )
      return this.add(handler)
    })

  private add(handler: Handler): Effect.Effect<void, never, Scope.Scope> {
    const change = (what: () => void) =>
      Effect.sync(() => {
        what()
        this.routes.clear()
      })
    const leave = () => {
      this.attached.delete(handler)
      this.tell(handler)
    }
    const { news } = handler
    const telling = Effect.andThen(news.await, Effect.sync(() => this.tell(handler)))
    return Effect.acquireRelease(change(() => this.attached.add(handler)), () => change(leave)).pipe(
      Effect.andThen(Effect.forkScoped(Effect.forever(Effect.andThen(telling, Effect.sleep(tellMillis))))),
      Effect.asVoid
    )
  }

  readonly handlers = (): ReadonlyArray<Handling> =>
    [...this.attached].map(({ delivered, dropped, failed, name, pattern, waiting }) => ({
      name,
      pattern,
      delivered,
      dropped,
      failed,
      waiting: waiting()
    }))

  readonly totals = (): Totals => ({ ...this.total })

  private dropped(handler: Handler, event: Event.Event): void {
    handler.dropped++
    this.total.dropped++
    if (isAboutHandlers(event)) return
    handler.hasDropped = true
    handler.news.openUnsafe()
  }

  private failed(handler: Handler, event: Event.Event, cause: Cause.Cause<unknown>): void {
    handler.failed++
    this.total.failed++
    if (isAboutHandlers(event)) return
    handler.failure = { event: event.name, cause }
    handler.news.openUnsafe()
  }

  /** Tells what there is to tell of a handler. */
  private tell(handler: Handler): void {
    const { dropped, failed, failure, hasDropped, name, news, pattern } = handler
    news.closeUnsafe()
    handler.hasDropped = false
    handler.failure = undefined
    const now = this.clock.currentTimeMillisUnsafe()
    const about = { handler: name, pattern }
    if (hasDropped) this.emit(Event.make(TelemetryEvent.event_handler_drop, now, { dropped }, about))
    if (failure === undefined) return
    const { cause, event } = failure
    this.emit(Event.make(TelemetryEvent.event_handler_fail, now, { failed }, { ...about, event, cause: String(Cause.squash(cause)) }))
  }
}

const isAboutHandlers = ({ name }: Event.Event): boolean => name.startsWith("snakepit.event_handler.")
