/**
 * A span that is over and was begun elsewhere: in Python, or in what events tell. It becomes one of the host's tracer, with its own ids and times.
 *
 * **When to use**
 *
 * Where spans arrive finished. What runs here has `Effect.withSpan`.
 *
 * **Details**
 *
 * A tracer chooses the id of each span that it begins; those of a remote span are known to others already, its children among them, so they are
 * put in the place of the chosen ones before the span is ended. Effect's own tracer, its OTLP exporter, and every tracer that reads a span's ids
 * when it ends, take them.
 *
 * **Gotchas**
 *
 * A tracer that has handed the ids on when the span began, as `@effect/opentelemetry` does, exports those that it has chosen.
 *
 * **Example** (A span of a worker)
 *
 * ```ts
 * import { RemoteSpan } from "@snakepit/core"
 * import { Effect, Tracer } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   RemoteSpan.record(yield* Tracer.Tracer, {
 *     traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
 *     spanId: "00f067aa0ba902b7",
 *     parentSpanId: undefined,
 *     name: "embed",
 *     kind: "server",
 *     startNanos: 1_700_000_000_000_000_000n,
 *     endNanos: 1_700_000_000_250_000_000n,
 *     attributes: { "code.function.name": "embed" },
 *     events: [],
 *     links: [],
 *     status: { _tag: "Ok" }
 *   })
 * })
 * ```
 */
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { withoutStack } from "./SupervisorError.ts"

/** How what a span covers has ended. */
export type Status =
  | { readonly _tag: "Ok" }
  /** `type`: the class of the error; `message`: for people; `stack`: its frames as its language writes them. */
  | { readonly _tag: "Error"; readonly type: string; readonly message: string; readonly stack?: string | undefined }
  /** It was cancelled. */
  | { readonly _tag: "Interrupted" }

/** What happened at one moment of a span. `nanos`: Unix time in nanoseconds. */
export interface SpanEvent {
  readonly name: string
  readonly nanos: bigint
  readonly attributes: Readonly<Record<string, unknown>>
}

/** Another span, as W3C names it: 32 and 16 digits of lower-case hex. */
export interface SpanId {
  readonly traceId: string
  readonly spanId: string
}

/** A span that is over. Times are Unix times in nanoseconds. */
export interface RemoteSpan extends SpanId {
  /** `undefined`: it is the root of its trace. */
  readonly parentSpanId: string | undefined
  readonly name: string
  readonly kind: Tracer.SpanKind
  readonly startNanos: bigint
  readonly endNanos: bigint
  readonly attributes: Readonly<Record<string, unknown>>
  readonly events: ReadonlyArray<SpanEvent>
  readonly links: ReadonlyArray<SpanId & { readonly attributes?: Readonly<Record<string, unknown>> | undefined }>
  readonly status: Status
}

/** Hands the span to the tracer, whole. Synchronous; it was sampled where it began, and is not judged again. */
export const record = (tracer: Tracer.Tracer, remote: RemoteSpan): void => {
  const { attributes, endNanos, events, kind, links, name, parentSpanId, spanId, startNanos, status, traceId } = remote
  const span = tracer.span({
    name,
    parent: parentSpanId === undefined ? Option.none() : Option.some(Tracer.externalSpan({ traceId, spanId: parentSpanId })),
    annotations: Context.empty(),
    links: links.map((link) => ({ span: Tracer.externalSpan(link), attributes: link.attributes ?? {} })),
    startTime: startNanos,
    kind,
    root: parentSpanId === undefined,
    sampled: true
  })
  Object.defineProperties(span, { traceId: { value: traceId }, spanId: { value: spanId } })
  for (const [key, value] of Object.entries(attributes)) span.attribute(key, value)
  for (const { attributes, name, nanos } of events) span.event(name, nanos, { ...attributes })
  span.end(endNanos, exitOf(status))
}

const exitOf = (status: Status): Exit.Exit<void, Error> => {
  switch (status._tag) {
    case "Ok":
      return Exit.void
    case "Interrupted":
      return Exit.interrupt()
    case "Error": {
      const error = new Error(status.message)
      error.name = status.type
      if (status.stack === undefined) withoutStack(error)
      else error.stack = status.stack
      return Exit.fail(error)
    }
  }
}
