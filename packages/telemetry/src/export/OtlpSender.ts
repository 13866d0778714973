/**
 * Sends what waits of one signal to the collector, as a supervised child.
 *
 * ```text
 *  2xx                      taken: the next one
 *  429 502 503 504          the collector is busy: after its Retry-After the same again; without one the child fails, and backs off
 *  no answer in time, none  the child fails with OtlpFailed, and Telemetry starts it again with capped backoff; the batch waits
 *  any other                refused for good: dropped, counted, told as snakepit.otlp.drop
 * ```
 *
 * @see https://opentelemetry.io/docs/specs/otlp/#otlphttp-response
 */
import { Child, Event } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as TelemetryEvent from "../TelemetryEvent.ts"
import type { Signal } from "./OtlpConfig.ts"
import type { Outbox, Parcel } from "./Outbox.ts"
import { Outboxes } from "./Outboxes.ts"

/** How long one request may take. 10 s: what OpenTelemetry's exporters wait. */
export const answerWithin = Duration.seconds(10)

/** The longest that a collector's Retry-After is obeyed. A minute: what waits is bounded, and a typing error of theirs must not stop it for a day. */
export const longestWait = Duration.minutes(1)

/** The collector could not be reached, or did not answer. What was to be sent waits, and is tried again by itself. */
export class OtlpFailed extends Schema.TaggedError<OtlpFailed>()("OtlpFailed", {
  signal: Schema.String,
  /** Without what may be secret in it: user, password, query. */
  url: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the collector at ${this.url} does not take ${this.signal}: ${this.detail}. Check that it runs and that telemetry.otlp.url is its address. What is ` +
      "to be sent waits, bounded, and is tried again by itself; no call is touched"
  }
}

/** What a status means. */
export type Verdict = "taken" | "busy" | "refused"

export const verdict = (status: number): Verdict =>
  status >= 200 && status < 300 ? "taken" : [429, 502, 503, 504].includes(status) ? "busy" : "refused"

/** How long to wait, as the collector says; `undefined` when it does not. */
export const waitOf = (retryAfter: string | undefined, now: number): Duration.Duration | undefined => {
  const parsed = retryAfter === undefined ? undefined : Headers.parseRetryAfter(retryAfter)
  return parsed === undefined || Result.isFailure(parsed)
    ? undefined
    : Duration.min(Headers.retryAfterDelay(parsed.success, now), longestWait)
}

/** The address in a form that may be shown. */
const shown = (url: string): string => {
  const parsed = URL.parse(url)
  return parsed === null ? "(no address)" : `${parsed.origin}${parsed.pathname}`
}

const post = (client: HttpClient.HttpClient, signal: Signal, { request }: Parcel) => {
  const failed = (detail: string) => new OtlpFailed({ signal, url: shown(request.url), detail })
  return Effect.gen(function*() {
    const response = yield* client.execute(request)
    yield* Effect.ignore(response.arrayBuffer) // the connection is free for the next one when its answer was read
    return response
  }).pipe(
    Effect.provideService(HttpClient.TracerPropagationEnabled, false),
    Effect.withTracerEnabled(false),
    Effect.mapError(({ reason }) => failed(reason._tag)),
    Effect.timeoutOrElse({ duration: answerWithin, orElse: () => Effect.fail(failed(`no answer within ${Duration.format(answerWithin)}`)) })
  )
}

/** Sends the oldest of what waits. */
const sendOne = (outbox: Outbox, signal: Signal): Effect.Effect<void, OtlpFailed> =>
  Effect.suspend(() => {
    const parcel = outbox.take()
    if (parcel === undefined) return Effect.void
    const sent = Effect.gen(function*() {
      while (true) {
        const { headers, status } = yield* post(outbox.client, signal, parcel)
        const judged = verdict(status)
        if (judged === "taken") {
          outbox.sent += parcel.items
          return
        }
        if (judged === "refused") {
          outbox.refused += parcel.items
          return yield* Event.emit(TelemetryEvent.otlp_drop, { items: parcel.items, status }, { signal, reason: "refused" })
        }
        const wait = waitOf(headers["retry-after"], yield* Clock.currentTimeMillis)
        if (wait === undefined) return yield* new OtlpFailed({ signal, url: shown(parcel.request.url), detail: `it answers ${status}` })
        yield* Effect.sleep(wait)
      }
    })
    return Effect.onError(sent, () => Effect.sync(() => outbox.putBack(parcel)))
  })

/** Sends all that waits now. */
export const drain = (outbox: Outbox, signal: Signal): Effect.Effect<void, OtlpFailed> =>
  Effect.whileLoop({ while: () => outbox.arrived.isOpen(), body: () => sendOne(outbox, signal), step: () => {} })

/** The child for one signal: `otlp_traces`, `otlp_logs`, `otlp_metrics`. */
export const child = <const S extends Signal>(signal: S) =>
  Child.make(`otlp_${signal}`, {
    start: Effect.map(Outboxes, (outboxes) => {
      const outbox = outboxes[signal]
      return outbox === undefined // OTEL_SDK_DISABLED
        ? Effect.never
        : Effect.forever(Effect.andThen(outbox.arrived.await, sendOne(outbox, signal)))
    })
  })
