/**
 * A tracer that keeps every span, for tests: what began, what has ended and how, and under which parent.
 *
 * **Example** (The spans of a program)
 *
 * ```ts
 * import { RecordedSpans } from "@snakepit/core/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const spans = RecordedSpans.make()
 *   yield* Effect.void.pipe(Effect.withSpan("child"), Effect.withSpan("parent"), Effect.withTracer(spans.tracer))
 *   return RecordedSpans.render(spans.all) // => "parent\n  child"
 * })
 * ```
 */
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/** One span, and how often it was ended: once, if all is well. */
export class RecordedSpan extends Tracer.NativeSpan {
  ends = 0
  override end(...args: Parameters<Tracer.Span["end"]>): void {
    this.ends++
    super.end(...args)
  }
  get parentSpanId(): string | undefined {
    return Option.getOrUndefined(this.parent)?.spanId
  }
  /** `undefined` while it is open; in nanoseconds. */
  get endTime(): bigint | undefined {
    return this.status._tag === "Ended" ? this.status.endTime : undefined
  }
}

/** The spans so far, in the order in which they began; those that are not sampled too. */
export interface RecordedSpans {
  readonly tracer: Tracer.Tracer
  readonly all: ReadonlyArray<RecordedSpan>
}

export const make = (): RecordedSpans => {
  const all: Array<RecordedSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new RecordedSpan(options)
      all.push(span)
      return span
    }
  })
  return { tracer, all }
}

/** What is wrong with them, in words: a span that is open, was ended twice, is of another trace than its parent, or not within its parent's time. */
export const violations = (spans: ReadonlyArray<RecordedSpan>): ReadonlyArray<string> => {
  const byId = new Map(spans.map((span) => [span.spanId, span]))
  return spans.flatMap((span) => {
    const { endTime, ends, name, parentSpanId, startTime, traceId } = span
    if (ends !== 1) return [`${name} was ended ${ends} times`]
    const parent = byId.get(parentSpanId ?? "")
    if (parent === undefined) return []
    if (parent.traceId !== traceId) return [`${name} is of another trace than ${parent.name}`]
    const isWithin = parent.startTime <= startTime && (parent.endTime === undefined || endTime! <= parent.endTime)
    return isWithin ? [] : [`${name} is not within ${parent.name}`]
  })
}

const ordered = (spans: ReadonlyArray<RecordedSpan>) =>
  spans.toSorted((a, b) => a.startTime === b.startTime ? 0 : a.startTime < b.startTime ? -1 : 1)

/** The tree of spans, one a line, each below its parent, those of one parent in the order of their begin. `line` gives the text; by default the name. */
export const render = (spans: ReadonlyArray<RecordedSpan>, line: (span: RecordedSpan) => string = ({ name }) => name): string => {
  const known = new Set(spans.map(({ spanId }) => spanId))
  const below = (parent: string | undefined, depth: number): ReadonlyArray<string> =>
    ordered(spans).flatMap((span) => {
      const above = span.parentSpanId !== undefined && known.has(span.parentSpanId) ? span.parentSpanId : undefined
      return above === parent ? [`${"  ".repeat(depth)}${line(span)}`, ...below(span.spanId, depth + 1)] : []
    })
  return below(undefined, 0).join("\n")
}
