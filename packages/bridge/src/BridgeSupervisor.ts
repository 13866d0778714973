/**
 * Supervises what the world outside talks to.
 *
 * ```text
 * bridge        one_for_one, unlimited restarts with capped backoff
 * └─ gateway    the pools' tools over gRPC   crash ⇒ its calls end UNAVAILABLE, their tools are cancelled; no pool is touched
 * ```
 *
 * Never escalates: trouble of the network stays here. The gateway is there when it is configured. Stopped by: Root.
 */
import { RestartPolicy, Supervisor } from "@snakepit/core"
import type { Pool } from "@snakepit/pool"
import * as BridgeEvent from "./BridgeEvent.ts"
import * as Gateway from "./gateway/Gateway.ts"
import type { GatewayConfig } from "./gateway/GatewayConfig.ts"

/** What {@link make} takes. */
export interface Options {
  /** Asked at each start of the gateway; `undefined`: there is none. */
  readonly gateway: (() => GatewayConfig) | undefined
  readonly pools: Pool.Pools["Service"]
}

export const make = ({ gateway, pools }: Options) =>
  Supervisor.make("bridge", {
    plane: "control",
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: "unlimited" }),
    because: "what it holds has nothing to do with each other, and workers have nothing to do with it",
    limitBecause: "a port may be taken for hours, and calls from inside the program need no gateway",
    events: BridgeEvent.bridge_supervisor,
    children: gateway === undefined ? [] : [Gateway.child({ config: gateway, pools })]
  })
