/**
 * What a call carries to its worker: bytes, or bytes in pieces that are one after the other.
 *
 * **Details**
 *
 * The large pieces are the caller's own memory, which is not copied before it is sent: what the caller writes there until then is sent too.
 */

/** Bytes in pieces. */
export class Pieces {
  readonly parts: ReadonlyArray<Uint8Array>
  readonly byteLength: number
  constructor(parts: ReadonlyArray<Uint8Array>) {
    this.parts = parts
    this.byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0)
  }
}

/** Arguments, or one input. */
export type Payload = Uint8Array | Pieces

/** Its pieces, in order. */
export const partsOf = (payload: Payload): ReadonlyArray<Uint8Array> => payload instanceof Pieces ? payload.parts : [payload]

/** Its bytes in one piece; copies when they are not. */
export const whole = (payload: Payload): Uint8Array => {
  if (!(payload instanceof Pieces)) return payload
  const bytes = new Uint8Array(payload.byteLength)
  let at = 0
  for (const part of payload.parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}
