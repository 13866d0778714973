/**
 * Carries events from their emitters to whoever listens, without ever holding an emitter up.
 *
 * **Details**
 *
 * Emitting is synchronous: the event goes to each handler whose pattern it fits. A handler that throws is detached, and the throw is
 * reported once. Handlers must be quick; what takes time belongs behind a queue of the handler's own, as in `EventLog`.
 *
 * **Gotchas**
 *
 * A pattern is an event name in which `*` stands for any characters: `snakepit.*_supervisor.restart`.
 */
import { Event } from "@snakepit/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

/** The bus of an application. */
export class EventBus extends Context.Service<EventBus, {
  readonly emit: (event: Event.Event) => void
  /** Hands every event that fits `pattern` to `handler` until the scope closes. */
  readonly attach: (pattern: string, handler: (event: Event.Event) => void) => Effect.Effect<void, never, Scope.Scope>
}>()("@snakepit/telemetry/EventBus") {
  /** The bus, also as the sink that everything built with this layer emits to. */
  static readonly layer: Layer.Layer<EventBus> = Layer.effectContext(
    Effect.map(
      Effect.sync(makeBus),
      (bus) => Context.make(EventBus, bus).pipe(Context.add(Event.EventSink, { emit: bus.emit, watches: true }))
    )
  )
}

interface Handler {
  readonly fits: (name: string) => boolean
  readonly handle: (event: Event.Event) => void
}

function makeBus(): EventBus["Service"] {
  const handlers = new Set<Handler>()
  return {
    emit: (event) => {
      for (const handler of handlers) {
        if (!handler.fits(event.name)) continue
        try {
          handler.handle(event)
        } catch (defect) {
          handlers.delete(handler)
          Effect.runFork(Effect.logError(`a telemetry handler threw at ${event.name} and is detached`, defect))
        }
      }
    },
    attach: (pattern, handle) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => {
          const handler: Handler = { fits: matcher(pattern), handle }
          handlers.add(handler)
          return handler
        }),
        (handler) => Effect.sync(() => handlers.delete(handler))
      ))
  }
}

/** Says whether a name fits the pattern. */
export const matcher = (pattern: string): (name: string) => boolean => {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
  const expression = new RegExp(`^${parts.join(".*")}$`)
  return (name) => expression.test(name)
}
