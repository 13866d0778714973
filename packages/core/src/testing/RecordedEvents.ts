/**
 * An event sink that keeps what it is told, for tests that assert decisions.
 *
 * **Example** (Reading the decisions of a tree)
 *
 * ```ts
 * import { RecordedEvents } from "@snakepit/core/testing"
 * import { Effect } from "effect"
 *
 * declare const scenario: Effect.Effect<void>
 *
 * const test = Effect.gen(function*() {
 *   const recorded = RecordedEvents.make()
 *   yield* Effect.provide(scenario, recorded.layer)
 *   recorded.names() // => ["snakepit.app_supervisor.start", …]
 * })
 * ```
 */
import * as Layer from "effect/Layer"
import * as Event from "../Event.ts"

/** A sink with a memory. */
export interface RecordedEvents {
  readonly events: Array<Event.Event>
  readonly sink: Event.EventSink
  /** Provides the sink. */
  readonly layer: Layer.Layer<never>
  readonly names: () => ReadonlyArray<string>
  /** Those whose name ends with `.verb`. */
  readonly ofVerb: (verb: string) => ReadonlyArray<Event.Event>
}

/** An empty record. */
export const make = (): RecordedEvents => {
  const events: Array<Event.Event> = []
  const sink: Event.EventSink = { emit: (event) => void events.push(event) }
  return {
    events,
    sink,
    layer: Layer.succeed(Event.EventSink, sink),
    names: () => events.map((event) => event.name),
    ofVerb: (verb) => events.filter((event) => event.name.endsWith(`.${verb}`))
  }
}
