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
 * Names are dotted, `snakepit.<subject>.<verb>`. Two attributes are on every event: its layer, `snakepit.layer`, and its `path`, what it is
 * about in the tree. A declaration says the path once, with attributes in braces, and {@link make} fills it in, so no emitter has to. Emitting is
 * synchronous and cheap: it hands one plain object to the {@link EventSink}, which must not block or throw.
 *
 * **Example** (Declaring and emitting)
 *
 * ```ts
 * import { Event, Unit } from "@snakepit/core"
 * import { Effect, Schema } from "effect"
 *
 * const CacheMissed = Event.declare({
 *   name: "snakepit.cache.miss",
 *   layer: "foundation",
 *   when: "a lookup found nothing",
 *   path: "app/caches/{cache}",
 *   measurements: { entries: Unit.count("entry") },
 *   attributes: { cache: Schema.String }
 * })
 *
 * const program = Effect.gen(function*() {
 *   yield* Event.emit(CacheMissed, { entries: 3 }, { cache: "a" })
 * })
 * ```
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Witness from "./internal/Witness.ts"

/** The layers of the tree, each with pagers and dashboards of its own. */
export type Layer = "root" | "foundation" | "telemetry" | "bridge" | "control" | "execution"

/** Named values with their schemas. Of each measurement `Unit.unitOf` knows the unit. */
export type Fields = { readonly [name: string]: Schema.Top }

/** What is said of an event. */
export interface Options<out M extends Fields = Fields, out A extends Fields = Fields> {
  readonly name: `snakepit.${string}.${string}`
  readonly layer: Layer
  /** The moment it is emitted, as a clause: "a child is up again". */
  readonly when: string
  /** What it is about, from the root down, with attributes in braces: `snakepit/pools/{pool}/fleet/{slot}/process`. */
  readonly path: string
  readonly measurements: M
  readonly attributes: A
  /** It has fields beside these, which are for whoever tells it to name: an event of a tool's own. */
  readonly isOpen?: boolean | undefined
}

/** One declared event. */
export interface Declaration<out M extends Fields = Fields, out A extends Fields = Fields> extends Options<M, A> {
  /** The path that follows from its attributes. */
  readonly pathOf: (attributes: Event["attributes"]) => string
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

/** Declares an event. Throws a `RangeError` when its path names what is not among its attributes. */
export const declare = <const M extends Fields, const A extends Fields>(options: Options<M, A>): Declaration<M, A> => {
  const { attributes, name, path } = options
  const [head = "", ...rest] = path.split("{")
  const parts = rest.map((part): readonly [attribute: string, then: string] => {
    const end = part.indexOf("}")
    const attribute = part.slice(0, end)
    if (end > 0 && Object.hasOwn(attributes, attribute)) return [attribute, part.slice(end + 1)]
    throw new RangeError(`the path of ${name} is "${path}", and "${attribute}" is not among its attributes`)
  })
  const pathOf: Declaration["pathOf"] = (values) => parts.reduce((path, [attribute, then]) => path + values[attribute] + then, head)
  return { ...options, pathOf }
}

type Values<F extends Fields> = { readonly [K in keyof F]: F[K]["Type"] }

/** The event itself, for emitters that already hold a sink and the time. */
export const make = <M extends Fields, A extends Fields>(
  declaration: Declaration<M, A>,
  at: number,
  measurements: Values<M>,
  attributes: Values<A>
): Event => {
  const given = attributes as Event["attributes"]
  const event = {
    name: declaration.name,
    at,
    measurements: measurements as Event["measurements"],
    attributes: { ...given, path: declaration.pathOf(given), "snakepit.layer": declaration.layer }
  }
  Witness.current?.(declaration, event)
  return event
}

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
