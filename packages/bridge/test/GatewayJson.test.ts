/** Payloads as JSON: what is exact, and what is refused. */
import { assert, describe, it } from "@effect/vitest"
import { Payload } from "@snakepit/pool"
import { Result } from "effect"
import { Msgpack } from "../src/codec/Msgpack.ts"
import * as Json from "../src/gateway/Json.ts"

const there = (text: string) => Result.getOrThrow(Json.toArguments(Msgpack, text))
const back = (value: unknown) => Json.fromPayload(Msgpack, Payload.whole(Msgpack.encode(value)))
const issueOf = (result: Result.Result<unknown, string>): string => Result.isFailure(result) ? result.failure : ""

describe("a payload as JSON", () => {
  it("comes back as it went", () => {
    for (
      const text of [
        "{}",
        "{\"a\":1,\"b\":[true,null,\"ä\",0.5,{}]}",
        "{\"large\":9007199254740993}",
        "{\"u64\":18446744073709551615}",
        "{\"i64\":-9223372036854775808}",
        "{\"float\":1e+300}"
      ]
    ) {
      assert.strictEqual(Result.getOrThrow(Json.fromPayload(Msgpack, there(text))), text)
    }
  })

  it("says bytes in base64", () => {
    assert.strictEqual(Result.getOrThrow(back({ data: new Uint8Array([0, 255, 7]) })), "{\"data\":\"AP8H\"}")
    assert.strictEqual(Result.getOrThrow(back(new Uint8Array([1]))), "\"AQ==\"")
  })

  it("refuses what JSON cannot say, instead of null", () => {
    assert.include(issueOf(back([Number.NaN])), "JSON has no NaN: ask with MessagePack")
    assert.include(issueOf(back(Number.POSITIVE_INFINITY)), "JSON has no Infinity")
  })

  it("must be an object of arguments", () => {
    for (const text of ["[1]", "1", "null", "\"a\""]) {
      assert.include(issueOf(Json.toArguments(Msgpack, text)), "an object of keyword arguments is expected")
    }
    assert.include(issueOf(Json.toArguments(Msgpack, "{\"a\":")), "JSON")
    assert.notStrictEqual(issueOf(Json.toArguments(Msgpack, "{\"a\":18446744073709551616}")), "", "an integer beyond 64 bits")
  })

  it("that cannot be read at all is told", () => {
    assert.notStrictEqual(issueOf(Json.fromPayload(Msgpack, Uint8Array.of(0x92, 0x01))), "")
  })

  it("may be as deep as an attacker likes: that is an issue, and no end of the host", () => {
    const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`
    assert.notStrictEqual(issueOf(Json.toArguments(Msgpack, `{"a":${deep}}`)), "")
    assert.notStrictEqual(issueOf(Json.toInput(Msgpack, deep)), "")
    const nested = Uint8Array.from({ length: 200_001 }, (_, i) => i === 200_000 ? 0xc0 : 0x91) // arrays of one, and null
    assert.notStrictEqual(issueOf(Json.fromPayload(Msgpack, nested)), "")
  })

  it("may be any value as an input", () => {
    for (const text of ["1", "null", "\"text\"", "[1,2]", "{\"a\":18014398509481985}"]) {
      assert.strictEqual(Result.getOrThrow(Json.fromPayload(Msgpack, Result.getOrThrow(Json.toInput(Msgpack, text)))), text)
    }
    assert.include(issueOf(Json.toInput(Msgpack, "{")), "JSON")
  })
})
