/**
 * The gateway's place in the world: a socket of this user alone, or a port, with TLS where it is asked for. Whatever keeps it from listening is
 * one typed error.
 */
import * as grpc from "@grpc/grpc-js"
import { ListenAddress } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { chmodSync, lstatSync, mkdirSync, readFileSync, realpathSync, rmSync } from "node:fs"
import { type AddressInfo, createConnection, createServer, type Server as NetServer, type Socket } from "node:net"
import { dirname, resolve } from "node:path"
import { exposure } from "../process/DataFolder.ts"
import type { GatewayConfig } from "./GatewayConfig.ts"

/** The gateway could not listen. What becomes of that, its `onGiveUp` says. */
export class GatewayFailed extends Schema.TaggedError<GatewayFailed>()("GatewayFailed", {
  listen: Schema.String,
  /** The system's name for what was wrong, `EADDRINUSE`; Node's, for a certificate; or `EXPOSED`: the socket would be in reach of other users; or `OTHER`. */
  code: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the gateway cannot listen on ${this.listen} (${this.code}): ${this.detail}. ${next(this.code)}. ` +
      "It is tried again by itself, and no pool is touched, unless onGiveUp is \"escalate\""
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
  const { code = "OTHER" } = cause as { readonly code?: string }
  return new GatewayFailed({ listen, code, detail: cause instanceof Error ? cause.message : String(cause) })
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

/**
 * What serves, and what takes connections for it: grpc-js listens too, but without a limit, and tells the system's error in words on standard error.
 */
export interface Server {
  readonly grpc: grpc.Server
  readonly door: NetServer
  /** Those that are open. */
  readonly connections: ReadonlySet<Socket>
}

/** How long a stop waits for what clients were told to reach them. 1 s: a client that does not read must not hold the gateway. */
const farewell = "1 second"

/** The door is closed when the last connection has ended. */
const stop = ({ connections, door, grpc }: Server): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    door.close(() => resume(Effect.void))
    grpc.tryShutdown(() => {})
  }).pipe(
    Effect.timeoutOption(farewell),
    Effect.andThen(Effect.sync(() => {
      grpc.forceShutdown()
      for (const socket of connections) socket.destroy() // those that never came to speak HTTP/2
    }))
  )

/** A server that listens nowhere yet. When the scope closes, it listens no more, and its calls are over. */
export const server = (options: grpc.ServerOptions): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.suspend(() => {
    const connections = new Set<Socket>()
    const door = createServer((socket) => {
      connections.add(socket)
      socket.on("close", () => connections.delete(socket))
      socket.on("error", () => {}) // its client is gone, and its calls end by that
    })
    door.on("error", () => {}) // one connection that could not be accepted, for want of files for example; `bind` hears of its own
    return Effect.acquireRelease(Effect.succeed({ grpc: new grpc.Server(options), door, connections }), stop)
  })

const bind = (door: NetServer, address: ListenAddress.ListenAddress): Effect.Effect<ListenAddress.ListenAddress, Error> =>
  Effect.callback((resume) => {
    door.once("error", (error) => resume(Effect.fail(error)))
    door.listen(
      address._tag === "Unix" ? { path: address.path } : { port: address.port, host: hostOf(address) },
      () => resume(Effect.succeed(address._tag === "Unix" ? address : { ...address, port: (door.address() as AddressInfo).port }))
    )
  })

/** Of two addresses the one that clients find by the name and by itself. */
const hostOf = ({ host }: { readonly host: string }): string => host === "localhost" ? "127.0.0.1" : host

/**
 * Lets the server listen as the configuration says; returns the address, with the port that was chosen. `dropped` is told of each connection beyond
 * `maxConnections`, which is closed.
 */
export const listen = (
  config: GatewayConfig,
  { door, grpc }: Server,
  dropped: () => void = () => {}
): Effect.Effect<string, GatewayFailed> =>
  Effect.gen(function*() {
    const attempt = <A>(act: () => A) => Effect.try({ try: act, catch: failed(config.listen) })
    const asked = ListenAddress.parse(config.listen)!
    const address: ListenAddress.ListenAddress = asked._tag === "Unix" ? { ...asked, path: resolve(asked.path) } : asked
    const injector = yield* attempt(() => grpc.createConnectionInjector(credentialsOf(config)))
    if (address._tag === "Unix") {
      yield* attempt(() => prepareFolder(config.listen, address.path))
      yield* clear(config.listen, address.path)
    }
    door.maxConnections = config.maxConnections
    door.on("drop", dropped)
    door.on("connection", (socket) => injector.injectConnection(socket))
    const bound = yield* Effect.mapError(bind(door, address), failed(config.listen))
    if (address._tag === "Unix") yield* attempt(() => chmodSync(address.path, 0o600))
    return ListenAddress.render(bound)
  })
