/**
 * Declared events: what a package emits, said once beside the emitter, as data.
 *
 * **When to use**
 *
 * Declare an event in the package's `XEvent.ts` with {@link declare}; emit it with {@link emit}. The catalogue, documentation and
 * metrics are made from the declarations, and an event that is not declared cannot be emitted.
 *
 * **Details**
 *
 * Names are dotted, `snakepit.<subject>.<verb>`. The layer is an attribute of every event, `snakepit.layer`. Emitting is synchronous
 * and cheap: it hands one plain object to the {@link EventSink}, which must not block or throw.
 *
 * **Example** (Declaring and emitting)
 *
 * ```ts
 * import { Event } from "@snakepit/core"
 * import { Effect, Schema } from "effect"
 *
 * const CacheMissed = Event.declare({
 *   name: "snakepit.cache.miss",
 *   layer: "foundation",
 *   when: "a lookup found nothing",
 *   measurements: { entries: Schema.Int },
 *   attributes: { key: Schema.String }
 * })
 *
 * const program = Effect.gen(function*() {
 *   yield* Event.emit(CacheMissed, { entries: 3 }, { key: "a" })
 * })
 * ```
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"

/** The layers of the tree, each with pagers and dashboards of its own. */
export type Layer = "root" | "foundation" | "telemetry" | "bridge" | "control" | "execution"

/** Named values with their schemas. Numbers carry their unit in the name (`tookMillis`). */
export type Fields = { readonly [name: string]: Schema.Top }

/** One declared event. */
export interface Declaration<out M extends Fields = Fields, out A extends Fields = Fields> {
  readonly name: `snakepit.${string}.${string}`
  readonly layer: Layer
  /** The moment it is emitted, as a clause: "a child is up again". */
  readonly when: string
  readonly measurements: M
  readonly attributes: A
}

/** A number that was measured, or an attribute's value. */
export type Value = string | number | boolean | undefined

/** An event as it travels: plain data that encodes to JSON. `at` is Unix time in milliseconds. */
export interface Event {
  readonly name: string
  readonly at: number
  readonly measurements: { readonly [name: string]: number | undefined }
  readonly attributes: { readonly [name: string]: Value }
}

/** Where events go. `emit` must return at once and must not throw. */
export interface EventSink {
  readonly emit: (event: Event) => void
  /** It wants to hear also how each child stands, which is no decision: `begin` and `stand` of `SupervisorEvent`. */
  readonly watches?: boolean | undefined
}

/** The sink in the context; events go nowhere by default. */
export const EventSink: Context.Reference<EventSink> = Context.Reference("@snakepit/core/EventSink", {
  defaultValue: (): EventSink => ({ emit: () => {} })
})

/** Declares an event. */
export const declare = <const M extends Fields, const A extends Fields>(declaration: Declaration<M, A>): Declaration<M, A> => declaration

type Values<F extends Fields> = { readonly [K in keyof F]: F[K]["Type"] }

/** The event itself, for emitters that already hold a sink and the time. */
export const make = <M extends Fields, A extends Fields>(
  declaration: Declaration<M, A>,
  at: number,
  measurements: Values<M>,
  attributes: Values<A>
): Event => ({
  name: declaration.name,
  at,
  measurements: measurements as Event["measurements"],
  attributes: { ...attributes as Event["attributes"], "snakepit.layer": declaration.layer }
})

/** Hands an event to a sink. A sink that throws breaks its promise, not its caller: the throw is logged and the event is lost. */
export const tell = (sink: EventSink, event: Event): void => {
  try {
    sink.emit(event)
  } catch (defect) {
    Effect.runFork(Effect.logError(`the event sink threw at ${event.name}`, defect))
  }
}

/** Emits a declared event to the sink in the context, stamped by the clock in the context. */
export const emit = <M extends Fields, A extends Fields>(
  declaration: Declaration<M, A>,
  measurements: Values<M>,
  attributes: Values<A>
): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const at = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
    tell(fiber.getRef(EventSink), make(declaration, at, measurements, attributes))
    return Effect.void
  })
