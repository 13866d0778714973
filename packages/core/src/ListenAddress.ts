/** Where something listens, as a configuration writes it, and who can reach it there. Pure. */
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"

/** - `own`: this user. - `machine`: every user of this machine. - `network`: other machines. */
export type Reach = "own" | "machine" | "network"

/** `127.0.0.1:50051`, `[::1]:0`, `localhost:50051` (port 0: the system chooses), or `unix:/path`. */
export type ListenAddress =
  | { readonly _tag: "Unix"; readonly path: string }
  | { readonly _tag: "Tcp"; readonly host: string; readonly port: number }

const isIpv4 = (host: string): boolean => Result.isSuccess(NetAddress.ipv4FromString(host))
const isIpv6 = (host: string): boolean => Result.isSuccess(NetAddress.ipv6FromString(host))

/** `undefined` for what is no address. A host without brackets has no colon, so a port cannot be taken for a part of it. */
export const parse = (text: string): ListenAddress | undefined => {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length)
    return path === "" ? undefined : { _tag: "Unix", path }
  }
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  if (digits === undefined || port > 65_535 || (bracketed !== undefined && !isIpv6(bracketed))) return undefined
  return { _tag: "Tcp", host: bracketed ?? plain!, port }
}

/** Names but `localhost` may resolve to anything, so they count as the network. */
export const reach = (address: ListenAddress): Reach => {
  if (address._tag === "Unix") return "own"
  const { host } = address
  return host === "localhost" || host === "::1" || (isIpv4(host) && host.startsWith("127.")) ? "machine" : "network"
}

/** As {@link parse} reads it, and as clients dial it. */
export const render = (address: ListenAddress): string =>
  address._tag === "Unix" ? `unix:${address.path}` : `${isIpv6(address.host) ? `[${address.host}]` : address.host}:${address.port}`
