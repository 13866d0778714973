/**
 * The settings of the gateway: a Schema that refuses to expose it.
 *
 * | `listen`                        | who can reach it            | needs                                  |
 * | ------------------------------- | --------------------------- | -------------------------------------- |
 * | `unix:/path`                    | this user: a folder of 0700 | nothing; `token` by choice             |
 * | `127.0.0.1:0` `[::1]:0`         | every user of this machine  | `token`, or `tls` with `ca`            |
 * | `0.0.0.0:443` `10.0.0.1:50051`  | other machines              | `tls`, and `token` or `tls.ca`         |
 *
 * **Example** (On loopback, with a token)
 *
 * ```ts
 * import { Snakepit } from "snakepit"
 *
 * const layer = Snakepit.layer({
 *   gateway: { listen: "127.0.0.1:50051", token: process.env["GATEWAY_TOKEN"] },
 *   pools: { default: { python: { adapter: "tools" } } }
 * })
 * ```
 */
import { ListenAddress } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { resolve } from "node:path"
import { maxSocketPath } from "../process/RunFolder.ts"

const count = (minimum: number, maximum: number, value: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum })).pipe(Schema.withDecodingDefault(Effect.succeed(value)))

/** 32 characters: 128 bits where they are hexadecimal digits, as of `openssl rand -hex 16`. */
const shortestToken = 32

export const OnGiveUp = Schema.Literals(["stay_down", "escalate"])

/** What a gateway that gives up does to its application. */
export type OnGiveUp = typeof OnGiveUp.Type

export const GatewayConfig = Schema.Struct({
  /** `unix:/path`, or a host and a port: `127.0.0.1:50051`, `[::1]:50051`. Port 0: the system chooses, and `snakepit.gateway.start` says which. */
  listen: Schema.String,
  /** What clients say in the metadata `authorization: Bearer <token>`. Never shown: not in errors, not in events. */
  token: Schema.optional(Schema.RedactedFromValue(Schema.String.check(Schema.isMinLength(shortestToken)))),
  /** Files in PEM. They are read at each start of the gateway, so that a renewed certificate takes a restart of it and no more. */
  tls: Schema.optional(Schema.Struct({
    cert: Schema.NonEmptyString,
    key: Schema.NonEmptyString,
    /** Mutual TLS: clients must have a certificate that one of these authorities has signed. */
    ca: Schema.optional(Schema.NonEmptyString)
  })),
  /** Other machines may reach it without `tls`, because something in front of it encrypts: a proxy, the mesh of a cluster. */
  plaintext: Schema.optional(Schema.Boolean),
  /** Connections at a time; the next is closed at once. 256: a process may often have 1024 files open, and the pools need theirs. */
  maxConnections: count(1, 65_536, 256),
  /** Calls of one connection at a time; further ones wait in the client. 100: what HTTP/2 advises, and less than a pool's queue takes. */
  maxCalls: count(1, 1_000_000, 100),
  /**
   * What becomes of the application when the gateway cannot listen, or crashes again and again. `"stay_down"`: nothing; the gateway is tried again for ever,
   * at most every 5 s, and no pool is touched. `"escalate"`: it does not start without its gateway, and ends (code 70) when the gateway needs more
   * restarts than `restart` allows and Root's own are spent too.
   */
  onGiveUp: OnGiveUp.pipe(Schema.withDecodingDefault(Effect.succeed("stay_down" as const))),
  /** The budget of `onGiveUp: "escalate"`. 3 in a minute come to 350 ms of a port that is taken: raise it where a port takes longer to be free. */
  restart: Schema.Struct({
    maxRestarts: count(0, 1000, 3),
    within: Schema.DurationFromString.pipe(Schema.withDecodingDefault(Effect.succeed("1 minute")))
  })
    .pipe(Schema.withDecodingDefault(Effect.succeed({})))
}).check(Schema.makeFilter(({ listen, plaintext, tls, token }) => {
  const address = ListenAddress.parse(listen)
  if (address === undefined) return `"${listen}" is no address: listen on "unix:/path", or on a host and a port, as "127.0.0.1:50051"`
  if (address._tag === "Unix") {
    if (tls !== undefined) return "a Unix socket has no use for tls: the folder that it is in keeps others away. Leave tls out"
    const bytes = Buffer.byteLength(resolve(address.path))
    return bytes <= maxSocketPath || `the path of the socket takes ${bytes} bytes, and the kernel allows ${maxSocketPath}: ${address.path}`
  }
  const isOpen = token === undefined && tls?.ca === undefined
  if (ListenAddress.reach(address) === "machine") {
    return !isOpen ||
      `every user and every process of this machine can reach ${listen}: give the gateway a token, or mutual TLS (tls.ca), or let it listen ` +
        "on \"unix:/path\", which only this user can reach"
  }
  if (isOpen) return `other machines can reach ${listen}: give the gateway tls and a token, or mutual TLS (tls.ca)`
  return tls !== undefined || plaintext === true ||
    `what other machines send to ${listen}, the token too, can be read on its way: give the gateway tls, or say plaintext: true if something ` +
      "in front of it encrypts"
}))

/** The settings, decoded. */
export type GatewayConfig = typeof GatewayConfig.Type

/** What holds where nothing is configured. */
export const giveUp: Pick<GatewayConfig, "onGiveUp" | "restart"> = Schema.decodeUnknownSync(GatewayConfig)({ listen: "unix:unused" })

/** How clients show who they are, in words: `token over TLS`. */
export const security = ({ listen, tls, token }: GatewayConfig): string => {
  const shown = [...(token === undefined ? [] : ["token"]), ...(tls?.ca === undefined ? [] : ["client certificate"])].join(" and ")
  if (listen.startsWith("unix:")) return `${shown === "" ? "" : `${shown} over a `}socket of this user alone`
  return `${shown} over ${tls === undefined ? "plain TCP" : "TLS"}`
}
