/** Where `/metrics` may listen, and what it must then ask of who scrapes it. */
import { assert, describe, it } from "@effect/vitest"
import { PrometheusConfig, TelemetryConfig } from "@snakepit/telemetry"
import { Exit, Option, Redacted, Schema } from "effect"

const decode = Schema.decodeUnknownExit(PrometheusConfig.PrometheusConfig, { onExcessProperty: "error", errors: "all" })

/** Why a configuration is refused; `undefined` when it is not. */
const refusal = (input: typeof PrometheusConfig.PrometheusConfig.Encoded): string | undefined => {
  const exit = decode(input)
  return Exit.isSuccess(exit) ? undefined : Option.getOrThrow(Exit.findErrorOption(exit)).message
}

const token = "0123456789abcdef0123456789abcdef"

describe("the configuration of /metrics", () => {
  it("is off when nobody asks for it, and then on loopback", () => {
    assert.isUndefined(Schema.decodeUnknownSync(TelemetryConfig.TelemetryConfig)({}).prometheus)
    const { listen, path } = Exit.getSuccess(decode({})).pipe(Option.getOrThrow)
    assert.deepStrictEqual({ listen, path }, { listen: "127.0.0.1:9464", path: "/metrics" })
  })

  it("may do without a token on loopback and on a socket, and not where other machines reach it", () => {
    for (const listen of ["127.0.0.1:0", "localhost:9464", "[::1]:9464", "unix:/run/user/metrics.sock"]) {
      assert.isUndefined(refusal({ listen }))
    }
    for (const listen of ["0.0.0.0:9464", "10.0.0.1:9464", "metrics.example:9464"]) {
      assert.include(refusal({ listen }), `other machines can reach ${listen}`)
      assert.isUndefined(refusal({ listen, token }))
    }
  })

  it("refuses what is no address, a path that is none, a socket that is too long, and a token that can be guessed, without showing it", () => {
    assert.include(refusal({ listen: "9464" }), "\"9464\" is no address")
    assert.include(refusal({ listen: `unix:/${"a".repeat(120)}` }), "the kernel allows 107")
    assert.include(refusal({ path: "metrics" }), "a path as /metrics")
    assert.notInclude(refusal({ token: "guessable" }), "guessable")
    assert.notInclude(JSON.stringify(Exit.getSuccess(decode({ token })).pipe(Option.getOrThrow)), token)
    assert.strictEqual(Redacted.value(Exit.getSuccess(decode({ token })).pipe(Option.getOrThrow).token!), token)
  })
})
