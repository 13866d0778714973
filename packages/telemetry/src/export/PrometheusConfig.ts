/**
 * The settings of `/metrics`: a Schema that refuses to expose it.
 *
 * | `listen`                        | who can reach it            | needs               |
 * | ------------------------------- | --------------------------- | ------------------- |
 * | `unix:/path`                    | this user: a folder of 0700 | nothing             |
 * | `127.0.0.1:9464` `[::1]:9464`   | every user of this machine  | `token` by choice   |
 * | `0.0.0.0:9464` `10.0.0.1:9464`  | other machines              | `token`             |
 */
import { ListenAddress } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { resolve } from "node:path"

/** 32 characters: 128 bits where they are hexadecimal digits, as of `openssl rand -hex 16`. */
const shortestToken = 32

/** What `sun_path` of Linux holds, less the zero at its end. */
const maxSocketPath = 107

const PathOfUrl = Schema.String.check(
  Schema.isPattern(/^\/[\w./-]*$/, { expected: "a path as /metrics: a slash, then letters, digits, . _ - /" })
)

export const PrometheusConfig = Schema.Struct({
  /** A host and a port, `127.0.0.1:9464`, or `unix:/path`. Port 0: the system chooses, and `snakepit.metrics_endpoint.start` says which. 9464: what OpenTelemetry uses. */
  listen: Schema.String.pipe(Schema.withDecodingDefault(Effect.succeed("127.0.0.1:9464"))),
  /** What is asked for; every other path is answered 404. */
  path: PathOfUrl.pipe(Schema.withDecodingDefault(Effect.succeed("/metrics"))),
  /** What scrapers say in `Authorization: Bearer <token>`. Never shown: not in errors, not in events. */
  token: Schema.optional(Schema.RedactedFromValue(Schema.String.check(Schema.isMinLength(shortestToken))))
}).check(Schema.makeFilter(({ listen, token }) => {
  const address = ListenAddress.parse(listen)
  if (address === undefined) return `"${listen}" is no address: listen on "unix:/path", or on a host and a port, as "127.0.0.1:9464"`
  if (address._tag === "Unix") {
    const bytes = Buffer.byteLength(resolve(address.path))
    return bytes <= maxSocketPath || `the path of the socket takes ${bytes} bytes, and the kernel allows ${maxSocketPath}: ${address.path}`
  }
  return ListenAddress.reach(address) === "machine" || token !== undefined ||
    `other machines can reach ${listen}, and metrics say what runs here and how much: give telemetry.prometheus a token, or listen on 127.0.0.1`
}))

/** The settings, decoded. */
export type PrometheusConfig = typeof PrometheusConfig.Type
