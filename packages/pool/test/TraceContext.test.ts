import { assert, describe, it } from "@effect/vitest"
import { Effect, Tracer } from "effect"
import * as TraceContext from "../src/TraceContext.ts"

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"
const text = (flags = "01", version = "00", more = "") => `${version}-${traceId}-${spanId}-${flags}${more}`
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"))
const grpc = (flags = "01") => bytes(`0000${traceId}01${spanId}02${flags}`)

describe("a trace context", () => {
  it("is read from text, with the caller's decision", () => {
    assert.deepInclude(TraceContext.ofText(text()), { traceId, spanId, sampled: true })
    assert.deepInclude(TraceContext.ofText(text("00")), { traceId, spanId, sampled: false })
    assert.deepInclude(TraceContext.ofText(text("03")), { sampled: true })
    assert.deepInclude(TraceContext.ofText(text("01", "cc", "-more")), { traceId, spanId }, "of a later version")
  })

  it("is read from gRPC's binary form", () => {
    assert.deepInclude(TraceContext.ofBinary(grpc()), { traceId, spanId, sampled: true })
    assert.deepInclude(TraceContext.ofBinary(grpc("00")), { sampled: false })
  })

  it("is none, when it is not what it says", () => {
    for (
      const wrong of [
        "",
        text().toUpperCase(),
        text("01", "ff"),
        text("01", "00", "-more"),
        text("01", "cc", "more"),
        text("1"),
        `00-${"0".repeat(32)}-${spanId}-01`,
        `00-${traceId}-${"0".repeat(16)}-01`,
        ` ${text()}`
      ]
    ) assert.isUndefined(TraceContext.ofText(wrong), wrong)
    for (const wrong of ["", `0100${traceId}01${spanId}0201`, `0000${traceId}01${spanId}02`, `0000${traceId}02${spanId}0201`]) {
      assert.isUndefined(TraceContext.ofBinary(bytes(wrong)), wrong)
    }
  })

  it("is written in W3C's binary form, unless its tracer has other ids", () => {
    const span = TraceContext.ofText(text())!
    assert.deepStrictEqual(TraceContext.toBinary(span), bytes(`${traceId}${spanId}01`))
    assert.isUndefined(TraceContext.toBinary(Tracer.externalSpan({ traceId: "mine", spanId })))
  })

  it.effect("has the state of the nearest span above that came with one", () =>
    Effect.gen(function*() {
      const parent = TraceContext.ofText(text(), "a=1")!
      const span = yield* Effect.currentSpan.pipe(Effect.withSpan("inner"), Effect.withSpan("outer"), Effect.withParentSpan(parent))
      assert.strictEqual(TraceContext.stateOf(span), "a=1")
      assert.strictEqual(TraceContext.stateOf(yield* Effect.withSpan(Effect.currentSpan, "root")), "")
    }))
})
