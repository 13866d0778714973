import { assert, describe, it } from "@effect/vitest"
import { RemoteSpan } from "@snakepit/core"
import { RecordedSpans } from "@snakepit/core/testing"
import { Effect } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { OtlpExporter, OtlpSerialization, OtlpTracer } from "effect/observability"

const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
const embed: RemoteSpan.RemoteSpan = {
  traceId: trace,
  spanId: "00f067aa0ba902b7",
  parentSpanId: "00f067aa0ba90001",
  name: "embed",
  kind: "server",
  startNanos: 1_700_000_000_000_000_000n,
  endNanos: 1_700_000_000_250_000_001n,
  attributes: { "code.function.name": "embed" },
  events: [{ name: "loaded", nanos: 1_700_000_000_100_000_000n, attributes: { bytes: 7 } }],
  links: [{ traceId: "0123456789abcdef0123456789abcdef", spanId: "0123456789abcdef" }],
  status: { _tag: "Error", type: "ValueError", message: "no text", stack: "Traceback: …" }
}
const inner: RemoteSpan.RemoteSpan = {
  ...embed,
  spanId: "00f067aa0ba902b8",
  parentSpanId: embed.spanId,
  name: "tokenize",
  kind: "internal",
  events: [],
  links: [],
  status: { _tag: "Ok" }
}

const exported = Effect.gen(function*() {
  const bodies: Array<string> = []
  const client = HttpClient.make((request) =>
    Effect.sync(() => {
      if (request.body._tag === "Uint8Array") bodies.push(new TextDecoder().decode(request.body.body))
      return HttpClientResponse.fromWeb(request, new Response(null, { status: 200 }))
    })
  )
  yield* Effect.gen(function*() {
    const tracer = yield* OtlpTracer.make({ url: "http://collector/v1/traces", resource: { serviceName: "test" } })
    for (const span of [embed, inner]) RemoteSpan.record(tracer, span)
  }).pipe(
    Effect.scoped,
    Effect.provide([OtlpSerialization.layerJson, OtlpExporter.layerFlusher]),
    Effect.provideService(HttpClient.HttpClient, client)
  )
  return bodies.flatMap((body) => JSON.parse(body).resourceSpans[0].scopeSpans[0].spans)
})

describe("RemoteSpan", () => {
  it.effect("leaves the host by OTLP as it came: its ids, parent, times, events, links and status", () =>
    Effect.gen(function*() {
      const [first, second] = yield* exported
      assert.deepInclude(first, {
        traceId: trace,
        spanId: embed.spanId,
        parentSpanId: embed.parentSpanId,
        name: "embed",
        kind: 2,
        startTimeUnixNano: "1700000000000000000",
        endTimeUnixNano: "1700000000250000001",
        attributes: [{ key: "code.function.name", value: { stringValue: "embed" } }],
        status: { code: 2, message: "no text" }
      })
      assert.deepInclude(first.events[0], { name: "loaded", timeUnixNano: "1700000000100000000" })
      assert.deepStrictEqual(first.events[1].attributes.slice(0, 2), [
        { key: "exception.type", value: { stringValue: "ValueError" } },
        { key: "exception.message", value: { stringValue: "no text" } }
      ])
      assert.deepInclude(first.links[0], { traceId: "0123456789abcdef0123456789abcdef", spanId: "0123456789abcdef" })
      assert.deepInclude(second, { traceId: trace, spanId: inner.spanId, parentSpanId: embed.spanId, status: { code: 1 } })
    }))
  it("is a root with a trace id of its own, and cancelled, when it says so", () => {
    const spans = RecordedSpans.make()
    RemoteSpan.record(spans.tracer, { ...embed, parentSpanId: undefined, status: { _tag: "Interrupted" } })
    const [root] = spans.all
    assert.deepInclude(root, { traceId: trace, spanId: embed.spanId, parentSpanId: undefined, sampled: true, ends: 1 })
    assert.isTrue(root!.status._tag === "Ended" && root!.status.exit._tag === "Failure")
  })
  it("can be a parent: spans of the host that name it find it", () => {
    const spans = RecordedSpans.make()
    RemoteSpan.record(spans.tracer, embed)
    RemoteSpan.record(spans.tracer, inner)
    assert.strictEqual(RecordedSpans.render(spans.all), "embed\n  tokenize")
  })
})
