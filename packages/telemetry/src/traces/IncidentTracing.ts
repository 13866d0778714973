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
 * import { Effect } from "effect"
 *
 * declare const tree: Effect.Effect<void, never, EventBus.EventBus>
 *
 * const program = Effect.andThen(IncidentTracing.attach, tree).pipe(Effect.scoped, Effect.provide(EventBus.EventBus.layer))
 * ```
 */
import { RemoteSpan } from "@snakepit/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { EventBus } from "../EventBus.ts"
import * as IncidentTrace from "./IncidentTrace.ts"

/** Events that may wait: 10,000. It hears also how each child stands, and a large fleet has thousands of them at its start. */
const capacity = 10_000

/** Listens to the bus until the scope closes. Does nothing where only Effect's own tracer is there, which keeps nothing. */
export const attach: Effect.Effect<void, never, EventBus | Scope.Scope> = Effect.gen(function*() {
  const tracer = yield* Tracer.Tracer
  if (tracer === Tracer.nativeTracer) return
  const bus = yield* EventBus
  const state = IncidentTrace.make()
  yield* bus.attach("snakepit.*_supervisor.*", (event) => {
    for (const span of IncidentTrace.fold(state, event)) RemoteSpan.record(tracer, span)
  }, { name: "incident tracing", capacity })
})
