/**
 * Makes a trace of each incident: what its supervisors decided, how long each restart took, where it was given up. See `IncidentTrace`, which decides.
 *
 * **When to use**
 *
 * `Snakepit.layer` has it, wherever a tracer is that collects spans. Elsewhere provide it beside the bus and the tracer.
 *
 * **Example** (Incidents of a tree of one's own)
 *
 * ```ts
 * import { EventBus, IncidentTracing } from "@snakepit/telemetry"
 * import { Layer } from "effect"
 *
 * const looking = IncidentTracing.layer.pipe(Layer.provideMerge(EventBus.EventBus.layer))
 * ```
 */
import { RemoteSpan } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import { EventBus } from "../EventBus.ts"
import * as IncidentTrace from "./IncidentTrace.ts"

/** Listens to the bus as long as it is open. Does nothing where only Effect's own tracer is there, which keeps nothing. */
export const layer: Layer.Layer<never, never, EventBus> = Layer.effectDiscard(
  Effect.gen(function*() {
    const tracer = yield* Tracer.Tracer
    if (tracer === Tracer.nativeTracer) return
    const bus = yield* EventBus
    const state = IncidentTrace.make()
    yield* bus.attach("snakepit.*_supervisor.*", (event) => {
      for (const span of IncidentTrace.fold(state, event)) RemoteSpan.record(tracer, span)
    })
  })
)
