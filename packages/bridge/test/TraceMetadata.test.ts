import { assert, describe, it } from "@effect/vitest"
import * as grpc from "@grpc/grpc-js"
import { TraceContext } from "@snakepit/pool"
import { Effect, Option } from "effect"
import * as TraceMetadata from "../src/gateway/TraceMetadata.ts"

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"
const traceparent = `00-${traceId}-${spanId}-01`
const binary = Buffer.from(`0000${traceId}01${spanId}0200`, "hex")

const metadataOf = (entries: ReadonlyArray<readonly [string, string | Buffer]>) => {
  const metadata = new grpc.Metadata()
  for (const [key, value] of entries) metadata.add(key, value)
  return metadata
}

describe("the metadata of a call", () => {
  it("names the client's span, in text or in binary, and text goes before", () => {
    const inText = TraceMetadata.spanOf(metadataOf([["traceparent", traceparent], ["grpc-trace-bin", binary]]))
    assert.deepInclude(inText, { traceId, spanId, sampled: true })
    assert.deepInclude(TraceMetadata.spanOf(metadataOf([["grpc-trace-bin", binary]])), { traceId, spanId, sampled: false })
    assert.deepInclude(TraceMetadata.spanOf(metadataOf([["traceparent", "?"], ["grpc-trace-bin", binary]])), { sampled: false })
  })

  it("has the state as it came, in one entry or in several", () => {
    const span = TraceMetadata.spanOf(metadataOf([["traceparent", traceparent], ["tracestate", "a=1"], ["tracestate", "b=2"]]))!
    assert.strictEqual(TraceContext.stateOf(span), "a=1,b=2")
  })

  it("is no reason to refuse a call, when it cannot be read", () => {
    const wrong: ReadonlyArray<ReadonlyArray<readonly [string, string | Buffer]>> = [
      [],
      [["traceparent", "00-1-2-3"]],
      [["traceparent", traceparent], ["traceparent", traceparent]],
      [["grpc-trace-bin", Buffer.of(1)]]
    ]
    for (const entries of wrong) assert.isUndefined(TraceMetadata.spanOf(metadataOf(entries)))
  })

  it.effect("is the parent of what is done for it", () =>
    Effect.gen(function*() {
      const parent = yield* Effect.option(Effect.currentParentSpan).pipe(TraceMetadata.within(metadataOf([["traceparent", traceparent]])))
      assert.deepInclude(Option.getOrThrow(parent), { traceId, spanId })
      const none = yield* Effect.option(Effect.currentParentSpan).pipe(TraceMetadata.within(metadataOf([])))
      assert.isTrue(Option.isNone(none))
    }))
})
