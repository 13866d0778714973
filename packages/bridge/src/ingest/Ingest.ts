/**
 * Takes in what workers tell of themselves and their tools: events go to the bus, spans to the tracer in the context, lines to the logger.
 *
 * **Details**
 *
 * What is let in, the `Edge` decides. A logger or a tracer that throws costs the record that it threw at. Records wait in the `Inbox` while the
 * ingest is restarted; what it has learnt of names begins anew.
 */
import { Child, Event, RemoteSpan } from "@snakepit/core"
import type { WireTelemetry } from "@snakepit/pool"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Tracer from "effect/Tracer"
import * as BridgeEvent from "../BridgeEvent.ts"
import * as Edge from "./Edge.ts"
import type * as Inbox from "./Inbox.ts"

/** After so many records others get their turn: some milliseconds of them. */
const turn = 64

/** How often it tells what was left out, while there is something to tell. */
const tellEvery = "1 second"

export const child = (inbox: Inbox.Inbox) =>
  Child.make("ingest", {
    plane: "control",
    start: Effect.gen(function*() {
      const tracer = yield* Effect.tracer
      const edges = new Map<string, Edge.Edge>()
      const told = new Set<string>()

      /** Tells once that a pool has told of too many. */
      const limit = ({ pool }: WireTelemetry.Teller, what: Edge.What, name: string) =>
        Effect.suspend(() => {
          const key = `${pool}/${what}`
          if (told.has(key)) return Effect.void
          told.add(key)
          return Event.emit(BridgeEvent.python_limit, { limit: Edge.most[what] }, { pool, what, event: name })
        })

      const take = Effect.fnUntraced(function*({ record, teller }: Inbox.Item) {
        const edge = edges.get(teller.pool) ?? new Edge.Edge()
        edges.set(teller.pool, edge)
        const verdict = edge.judge(record)
        const { said } = record
        if (verdict._tag === "Dropped") {
          inbox.lose(teller, verdict.reason, 1)
          if (verdict.reason !== "shape" && said._tag !== "Log") yield* limit(teller, verdict.reason, said.name)
          return
        }
        const about = { ...teller, correlationId: record.correlationId, tool: record.tool || undefined }
        if (verdict._tag === "Known") {
          const { attributes, known, measurements } = verdict
          return yield* hand(known.declaration, record.at, measurements, { ...teller, ...attributes })
        }
        const own = Object.fromEntries(Object.entries(verdict.attributes).map(([key, value]) => [`python.${key}`, value]))
        switch (said._tag) {
          case "Event": {
            for (const what of verdict.without) {
              inbox.lose(teller, what, 1)
              yield* limit(teller, what, said.name)
            }
            return yield* hand(BridgeEvent.python_event, record.at, Object.fromEntries(said.measurements), {
              ...own,
              ...about,
              event: said.name
            })
          }
          case "Span":
            return RemoteSpan.record(
              tracer,
              spanOf(record.at, said, { ...notOfHost(verdict.attributes), ...ofHost(about, statusOf(said.error)) })
            )
          case "Log": {
            const line = Effect.annotateLogs(log(record.at, said), { ...own, ...present(about), logger: said.logger })
            return yield* said.span === undefined
              ? line
              : Effect.withParentSpan(line, Tracer.externalSpan({ traceId: hex(said.span.traceId), spanId: hex(said.span.spanId) }))
          }
        }
      })

      const moveAll = Effect.gen(function*() {
        let taken = 0
        for (let item = inbox.shift(); item !== undefined; item = inbox.shift()) {
          const { teller } = item
          yield* Effect.catchCause(take(item), (cause) =>
            Cause.hasInterruptsOnly(cause)
              ? Effect.failCause(cause)
              : Effect.andThen(
                Effect.sync(() => inbox.lose(teller, "defect", 1)),
                Effect.exit(Effect.logError("a logger, a tracer or the event bus threw at what a worker told", cause)) // it may throw again
              ))
          if (++taken % turn === 0) yield* Effect.yieldNow
        }
      })
      const tellLost = Effect.suspend(() =>
        Effect.forEach(
          inbox.lost(),
          ({ reason, records, teller }) => Event.emit(BridgeEvent.python_drop, { records }, { ...teller, reason }),
          { discard: true }
        )
      )
      yield* Effect.forkScoped(Effect.repeat(tellLost, Schedule.spaced(tellEvery)))
      return Effect.forever(Effect.andThen(inbox.arrived.await, moveAll))
    })
  })

/** Hands on an event that happened at its own time. */
const hand = (
  declaration: Event.Declaration,
  at: number,
  measurements: Readonly<Record<string, number>>,
  attributes: Readonly<Record<string, Event.Value>>
): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    Event.tell(fiber.getRef(Event.EventSink), Event.make(declaration, Math.round(at), measurements, attributes))
    return Effect.void
  })

/** Without what there is none of: a label that says nothing. */
const present = (about: Readonly<Record<string, Event.Value>>): Record<string, WireTelemetry.Value> =>
  Object.fromEntries(Object.entries(about).flatMap(([key, value]) => value === undefined ? [] : [[key, value]]))

/** A line as `Effect.log` hands it to the loggers, at the time at which it was said. */
const log = (at: number, { level, message }: WireTelemetry.WireLog): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const logLevel = levelOf(level)
    if (LogLevel.isGreaterThan(fiber.getRef(References.MinimumLogLevel), logLevel)) return Effect.void
    const date = new Date(at)
    for (const logger of fiber.getRef(Logger.CurrentLoggers)) logger.log({ message: [message], logLevel, cause: Cause.empty, fiber, date })
    return Effect.void
  })

/** Of Python's number; 0, of a line that was written, is no level of its own. */
const levelOf = (level: number): LogLevel.Severity => {
  if (level === 0) return "Info"
  if (level < 10) return "Trace"
  if (level < 20) return "Debug"
  if (level < 30) return "Info"
  if (level < 40) return "Warn"
  return level < 50 ? "Error" : "Fatal"
}

/** Both say that a call, or a task of it, was given up. */
const cancellations: ReadonlySet<string> = new Set(["snakepit.Cancelled", "asyncio.exceptions.CancelledError"])

const statusOf = (error: WireTelemetry.WireSpan["error"]): RemoteSpan.Status => {
  if (error === undefined) return { _tag: "Ok" }
  return cancellations.has(error.type) ? { _tag: "Interrupted" } : { _tag: "Error", ...error }
}

const hex = (id: Uint8Array): string => Buffer.from(id).toString("hex")

/** What the host knows of a span, under the names that its own spans have it by. */
const ofHost = (
  { correlationId, tool, ...teller }: WireTelemetry.Teller & {
    readonly correlationId: string | undefined
    readonly tool: string | undefined
  },
  status: RemoteSpan.Status
): Record<string, WireTelemetry.Value> =>
  present({
    "snakepit.pool": teller.pool,
    "snakepit.slot": teller.slot,
    "snakepit.generation": teller.generation,
    "snakepit.tool": tool,
    "snakepit.correlation_id": correlationId,
    "error.type": status._tag === "Error" ? status.type : undefined
  })

/** A tool that says one of those itself is not believed. */
const notOfHost = (attributes: Readonly<Record<string, WireTelemetry.Value>>): Record<string, WireTelemetry.Value> =>
  Object.fromEntries(Object.entries(attributes).filter(([key]) => !key.startsWith("snakepit.")))

const spanOf = (
  at: number,
  { error, name, parentId, server, spanId, tookMicros, traceId }: WireTelemetry.WireSpan,
  attributes: Readonly<Record<string, WireTelemetry.Value>>
): RemoteSpan.RemoteSpan => {
  const micros = BigInt(Math.round(at * 1000))
  return {
    traceId: hex(traceId),
    spanId: hex(spanId),
    parentSpanId: hex(parentId),
    name,
    kind: server ? "server" : "internal",
    startNanos: micros * 1000n,
    endNanos: (micros + BigInt(tookMicros)) * 1000n,
    attributes,
    events: [],
    links: [],
    status: statusOf(error)
  }
}
