/**
 * How values travel to scripted workers: as JSON, whose bytes have a true length, or as they are, for values that JSON does not hold.
 */
import * as Payload from "../Payload.ts"
import type { PayloadCodec } from "../WorkerRuntime.ts"

/** Both are in every host; this package is compiled without the types of one. */
const { TextDecoder, TextEncoder } = globalThis as unknown as {
  readonly TextEncoder: new() => { readonly encode: (text: string) => Uint8Array }
  readonly TextDecoder: new() => { readonly decode: (bytes: Uint8Array) => string }
}

/** One whose payloads are in one piece. */
export interface Codec extends PayloadCodec {
  readonly encode: (value: unknown) => Uint8Array
}

/** UTF-8 of JSON. */
export const json: Codec = {
  encode: (value) => new TextEncoder().encode(JSON.stringify(value ?? null)),
  decode: (payload) => JSON.parse(new TextDecoder().decode(payload))
}

/** Values by reference, whatever they are: bigint, bytes, dates, maps. A payload is 8 bytes long. */
export const structured = (): Codec => {
  const values: Array<unknown> = []
  return {
    encode: (value) => {
      const payload = new Uint8Array(8)
      new DataView(payload.buffer).setFloat64(0, values.push(value) - 1)
      return payload
    },
    decode: (payload) => values[new DataView(payload.buffer, payload.byteOffset).getFloat64(0)]
  }
}

/** As long as the digest of a real runtime, and as good for what a test calls a tool with: four times FNV-1a of the bytes. */
export const digest = (payload: Payload.Payload): string => {
  const lanes = [0, 1, 2, 3].map((lane) => {
    let hash = 0x811c9dc5 ^ lane
    for (const part of Payload.partsOf(payload)) for (const byte of part) hash = Math.imul(hash ^ byte, 0x01000193)
    return (hash >>> 0).toString(16).padStart(8, "0")
  })
  return lanes.join("")
}
