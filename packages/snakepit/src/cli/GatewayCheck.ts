/** Whether the gateway could listen, and how its clients show who they are. */
import { GatewayConfig, Listener } from "@snakepit/bridge"
import { ListenAddress } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Finding from "./Finding.ts"

const area = "gateway"

/** What a try to listen means. */
export const judge = (
  config: GatewayConfig.GatewayConfig,
  tried: Result.Result<string, Listener.GatewayFailed>
): ReadonlyArray<Finding.Finding> => {
  if (Result.isFailure(tried)) {
    const { code, detail, listen } = tried.failure
    return [
      code === "EADDRINUSE"
        ? Finding.warning(
          area,
          `${listen} is taken: ${detail}`,
          "if that is not this application as it runs, choose another gateway.listen"
        )
        : Finding.error(area, `cannot listen on ${listen} (${code}): ${detail}`, Listener.next(code))
    ]
  }
  const found = Finding.ok(area, `can listen on ${config.listen}: ${GatewayConfig.security(config)}`)
  const isOpen = config.tls === undefined && ListenAddress.reach(ListenAddress.parse(config.listen)!) === "network"
  const remedy = "give it tls, or make sure that something does"
  return isOpen
    ? [
      found,
      Finding.warning(
        area,
        "its token and all payloads can be read on their way from other machines, unless something in front of it encrypts",
        remedy
      )
    ]
    : [found]
}

/** Listens for a moment. The folder of a socket is made, as the gateway would. */
export const check = (config: GatewayConfig.GatewayConfig | undefined): Effect.Effect<ReadonlyArray<Finding.Finding>> =>
  config === undefined
    ? Effect.succeed([])
    : Effect.flatMap(Listener.server({}), (server) => Listener.listen(config, server)).pipe(
      Effect.result,
      Effect.map((tried) => judge(config, tried)),
      Effect.scoped
    )
