/**
 * Payloads as JSON, for clients without MessagePack. Integers are exact beyond 2^53 too, bytes become base64, arrays lists; what JSON cannot say (NaN, infinities)
 * is an error and not `null`.
 */
import { NdArray, Payload, type WorkerRuntime } from "@snakepit/pool"
import * as Result from "effect/Result"

// Node has both, and TypeScript's library not yet
const { parse, rawJSON } = JSON as unknown as {
  readonly parse: (text: string, reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown) => unknown
  readonly rawJSON: (text: string) => unknown
}

const detailOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

const read = (text: string): unknown =>
  parse(
    text,
    (_, value, { source = "" }) =>
      typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? BigInt(source) : value
  )

/** Arguments: an object. Fails with what is wrong with them. */
export const toArguments = (codec: WorkerRuntime.PayloadCodec, text: string): Result.Result<Uint8Array, string> =>
  Result.try({
    try: () => {
      const value = read(text)
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        throw new TypeError("an object of keyword arguments is expected")
      }
      return Payload.whole(codec.encode(value))
    },
    catch: detailOf
  })

/** One input: any value. Fails with what is wrong with it. */
export const toInput = (codec: WorkerRuntime.PayloadCodec, text: string): Result.Result<Uint8Array, string> =>
  Result.try({ try: () => Payload.whole(codec.encode(read(text))), catch: detailOf })

/** A result or an element. Fails with what cannot be said. */
export const fromPayload = (codec: WorkerRuntime.PayloadCodec, payload: Uint8Array): Result.Result<string, string> =>
  Result.try({
    try: () =>
      JSON.stringify(codec.decode(payload), function(this: Readonly<Record<string, unknown>>, key, value: unknown) {
        const held = this[key] // before `toJSON`, which bytes have
        if (held instanceof Uint8Array) return Buffer.from(held).toString("base64")
        if (held instanceof NdArray.NdArray) return NdArray.toLists(held)
        if (typeof value === "bigint") return rawJSON(String(value))
        if (typeof value === "number" && !Number.isFinite(value)) throw new RangeError(`JSON has no ${value}: ask with MessagePack`)
        return value
      }),
    catch: detailOf
  })
