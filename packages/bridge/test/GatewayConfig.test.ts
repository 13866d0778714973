/** Where a gateway may listen, and what it must then ask of its clients. */
import { assert, describe, it } from "@effect/vitest"
import { Exit, Option, Redacted, Schema } from "effect"
import * as GatewayConfig from "../src/gateway/GatewayConfig.ts"

const decode = Schema.decodeUnknownExit(GatewayConfig.GatewayConfig, { onExcessProperty: "error", errors: "all" })

/** Why a configuration is refused; `undefined` when it is not. */
const refusal = (input: typeof GatewayConfig.GatewayConfig.Encoded): string | undefined => {
  const exit = decode(input)
  return Exit.isSuccess(exit) ? undefined : Option.getOrThrow(Exit.findErrorOption(exit)).message
}

const token = "0123456789abcdef0123456789abcdef"
const tls = { cert: "cert.pem", key: "key.pem" }
const mutual = { ...tls, ca: "ca.pem" }

describe("the configuration of a gateway", () => {
  it("may leave a Unix socket without a token, since no other user reaches it", () => {
    assert.isUndefined(refusal({ listen: "unix:/run/a.sock" }))
    assert.isUndefined(refusal({ listen: "unix:/run/a.sock", token }))
  })

  it("needs a token or mutual TLS where others reach it, and says who could", () => {
    for (const listen of ["127.0.0.1:0", "0.0.0.0:443"]) {
      assert.isUndefined(refusal({ listen, token, plaintext: true }))
      assert.isUndefined(refusal({ listen, token, tls }))
      assert.isUndefined(refusal({ listen, tls: mutual }))
    }
    assert.include(refusal({ listen: "127.0.0.1:0" }), "every user and every process of this machine can reach 127.0.0.1:0")
    assert.include(refusal({ listen: "127.0.0.1:0", tls }), "mutual TLS (tls.ca)")
    assert.isUndefined(refusal({ listen: "127.0.0.1:0", token }))
    assert.include(refusal({ listen: "0.0.0.0:443", tls }), "other machines can reach 0.0.0.0:443")
    assert.include(refusal({ listen: "0.0.0.0:443", plaintext: true }), "other machines can reach 0.0.0.0:443")
    assert.include(refusal({ listen: "0.0.0.0:443", token }), "can be read on its way: give the gateway tls, or say plaintext: true")
    assert.include(refusal({ listen: "models.example:443", token }), "can be read on its way")
  })

  it("refuses what is no address, TLS on a socket, a path too long for the kernel and a token that can be guessed", () => {
    assert.include(refusal({ listen: "50051" }), "\"50051\" is no address")
    assert.include(refusal({ listen: "unix:/run/a.sock", tls }), "no use for tls")
    assert.include(refusal({ listen: `unix:/${"a".repeat(107)}` }), "108 bytes, and the kernel allows 107")
    assert.include(refusal({ listen: "127.0.0.1:0", token: "short" }), "at least 32")
  })

  it("leaves the application alone unless it is told otherwise, and bounds what clients may take up", () => {
    const config = Option.getOrThrow(Exit.getSuccess(decode({ listen: "unix:/run/a.sock" })))
    assert.include(config, { onGiveUp: "stay_down", maxConnections: 256, maxCalls: 100 })
    assert.deepStrictEqual(GatewayConfig.giveUp.restart, config.restart)
    assert.isDefined(refusal({ listen: "unix:/run/a.sock", maxConnections: 0 }))
    assert.isDefined(refusal({ listen: "unix:/run/a.sock", maxCalls: 0 }))
    assert.isDefined(refusal({ listen: "unix:/run/a.sock", restart: { maxRestarts: -1 } }))
  })

  it("never shows its token", () => {
    const config = Exit.getSuccess(decode({ listen: "127.0.0.1:0", token })).pipe(Option.getOrThrow)
    assert.strictEqual(Redacted.value(config.token!), token)
    assert.notInclude(`${JSON.stringify(config)} ${String(config.token)}`, token)
    for (const input of [{ listen: "nowhere", token }, { listen: "127.0.0.1:0", token: token.slice(1) }]) {
      assert.notInclude(refusal(input), token.slice(1))
    }
  })

  it("says in words how clients show who they are", () => {
    const security = (input: typeof GatewayConfig.GatewayConfig.Encoded) =>
      GatewayConfig.security(Option.getOrThrow(Exit.getSuccess(decode(input))))
    assert.strictEqual(security({ listen: "unix:/run/a.sock" }), "socket of this user alone")
    assert.strictEqual(security({ listen: "unix:/run/a.sock", token }), "token over a socket of this user alone")
    assert.strictEqual(security({ listen: "127.0.0.1:0", token }), "token over plain TCP")
    assert.strictEqual(security({ listen: "0.0.0.0:443", tls: mutual, token }), "token and client certificate over TLS")
  })
})
