/**
 * The gateway's place in the world: a socket of this user alone, or a port, with TLS where it is asked for. Whatever keeps it from listening is
 * one typed error.
 */
import * as grpc from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { chmodSync, lstatSync, mkdirSync, readFileSync, realpathSync, rmSync } from "node:fs"
import { createConnection } from "node:net"
import { dirname, resolve } from "node:path"
import { exposure } from "../process/DataFolder.ts"
import * as Address from "./Address.ts"
import type { GatewayConfig } from "./GatewayConfig.ts"

/** The gateway could not listen. It is tried again by itself; the pools go on without it. */
export class GatewayFailed extends Schema.TaggedError<GatewayFailed>()("GatewayFailed", {
  listen: Schema.String,
  /** The system's name for what was wrong, `EADDRINUSE`; or `EXPOSED`: the socket would be in reach of other users; or `OTHER`. */
  code: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the gateway cannot listen on ${this.listen} (${this.code}): ${this.detail}. ${next(this.code)}. ` +
      "It is tried again by itself, at most every 5 s; no pool is touched"
  }
}

/** What to do about a {@link GatewayFailed} of that code. */
export const next = (code: string): string => {
  switch (code) {
    case "EADDRINUSE":
      return "Another program, or another gateway, listens there: end it, or choose another address (gateway.listen)"
    case "EACCES":
      return "This user may not use that port or folder: choose a port from 1024 on, or a folder of your own"
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return "This machine has no such address: 127.0.0.1 and 0.0.0.0 always are"
    case "EXPOSED":
      return "Choose a folder for the socket that is yours alone (mode 0700), or one that does not exist yet: it is made so"
    case "ENOENT":
      return "Check the paths of gateway.tls"
    default:
      return "Check gateway.listen and gateway.tls"
  }
}

const failed = (listen: string) => (cause: unknown): GatewayFailed => {
  if (cause instanceof GatewayFailed) return cause
  const detail = cause instanceof Error ? cause.message : String(cause)
  const [code = "OTHER"] = /\bE[A-Z]{3,}\b/.exec(detail) ?? [] // grpc-js tells the system's error in its text alone
  return new GatewayFailed({ listen, code, detail })
}

/** Makes the folder of a socket if it is not there. Throws when others may reach into it. */
const prepareFolder = (listen: string, path: string): void => {
  const exposed = (detail: string) => new GatewayFailed({ listen, code: "EXPOSED", detail })
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const folder = realpathSync(dirname(path))
  const { mode, uid } = lstatSync(folder)
  const own = process.getuid?.() ?? uid
  if (uid !== own) throw exposed(`${folder} belongs to another user (uid ${uid}, this is ${own})`)
  if ((mode & 0o077) !== 0) throw exposed(`${folder} is open to others (mode 0${(mode & 0o777).toString(8)})`)
  const above = exposure(folder, own, (part) => lstatSync(part, { throwIfNoEntry: false }))
  if (above !== undefined) throw exposed(above)
}

/** Whether somebody accepts connections on the socket. */
const isServed = (path: string): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = createConnection(path)
    socket.once("connect", () => resume(Effect.succeed(true)))
    socket.once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })

/** Takes away the socket that a killed host has left, and nothing else. */
const clear = (listen: string, path: string): Effect.Effect<void, GatewayFailed> =>
  Effect.gen(function*() {
    const there = lstatSync(path, { throwIfNoEntry: false })
    if (there === undefined) return
    const inUse = (detail: string) => new GatewayFailed({ listen, code: "EADDRINUSE", detail })
    if (!there.isSocket()) return yield* inUse(`${path} is there, and is no socket`)
    if (yield* isServed(path)) return yield* inUse(`somebody serves ${path}`)
    rmSync(path, { force: true })
  })

const credentialsOf = ({ tls }: GatewayConfig): grpc.ServerCredentials => {
  if (tls === undefined) return grpc.ServerCredentials.createInsecure()
  const { ca, cert, key } = tls
  const pair = { cert_chain: readFileSync(cert), private_key: readFileSync(key) }
  return grpc.ServerCredentials.createSsl(ca === undefined ? null : readFileSync(ca), [pair], ca !== undefined)
}

const bind = (server: grpc.Server, address: string, credentials: grpc.ServerCredentials): Effect.Effect<number, Error> =>
  Effect.callback((resume) =>
    server.bindAsync(address, credentials, (error, port) => resume(error ? Effect.fail(error) : Effect.succeed(port)))
  )

/** How long a stop waits for what clients were told to reach them. 1 s: a client that does not read must not hold the gateway. */
const farewell = "1 second"

const stop = (server: grpc.Server): Effect.Effect<void> =>
  Effect.callback<void>((resume) => server.tryShutdown(() => resume(Effect.void))).pipe(
    Effect.timeoutOption(farewell),
    Effect.andThen(Effect.sync(() => server.forceShutdown()))
  )

/** A server that listens nowhere yet. When the scope closes, it listens no more. */
export const server = (options: grpc.ServerOptions): Effect.Effect<grpc.Server, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(() => new grpc.Server(options)), stop)

/** Lets the server listen as the configuration says; returns the address, with the port that was chosen. */
export const listen = (config: GatewayConfig, server: grpc.Server): Effect.Effect<string, GatewayFailed> =>
  Effect.gen(function*() {
    const asked = Address.parse(config.listen)!
    const address: Address.Address = asked._tag === "Unix" ? { ...asked, path: resolve(asked.path) } : asked
    const credentials = yield* Effect.try({ try: () => credentialsOf(config), catch: failed(config.listen) })
    if (address._tag === "Unix") {
      yield* Effect.try({ try: () => prepareFolder(config.listen, address.path), catch: failed(config.listen) })
      yield* clear(config.listen, address.path)
    }
    const port = yield* Effect.mapError(bind(server, Address.render(address), credentials), failed(config.listen))
    if (address._tag === "Tcp") return Address.render({ ...address, port })
    chmodSync(address.path, 0o600)
    return Address.render(address)
  })
