import { assert, describe, it } from "@effect/vitest"
import { Payload } from "@snakepit/pool"
import * as ArgumentDigest from "../src/codec/ArgumentDigest.ts"

describe("the digest of arguments", () => {
  it("is the beginning of the SHA-256 of their bytes, in one piece or in several", () => {
    const bytes = Buffer.from("abc")
    assert.strictEqual(ArgumentDigest.of(bytes), "ba7816bf8f01cfea414140de5dae2223") // FIPS 180-2, B.1
    assert.strictEqual(ArgumentDigest.of(new Payload.Pieces([bytes.subarray(0, 1), bytes.subarray(1)])), ArgumentDigest.of(bytes))
    assert.notStrictEqual(ArgumentDigest.of(Buffer.from("abd")), ArgumentDigest.of(bytes))
  })
})
