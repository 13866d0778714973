/**
 * Supervises what the world outside talks to, and what takes in what Python tells.
 *
 * ```text
 * bridge        one_for_one, unlimited restarts with capped backoff; limited with onGiveUp: "escalate"
 * ├─ ingest     what workers tell of themselves    crash ⇒ it waits in its inbox, bounded; workers go on
 * └─ gateway    the pools' tools over gRPC   crash ⇒ its calls end UNAVAILABLE, their tools are cancelled; no pool is touched
 * ```
 *
 * Never escalates: trouble of the network stays here, unless the configuration says that the application is nothing without its gateway. The gateway is
 * there when it is configured. Stopped by: Root.
 */
import { RestartPolicy, Supervisor } from "@snakepit/core"
import type { Pool } from "@snakepit/pool"
import * as BridgeEvent from "./BridgeEvent.ts"
import * as Gateway from "./gateway/Gateway.ts"
import type { GatewayConfig, OnGiveUp } from "./gateway/GatewayConfig.ts"
import type { Inbox } from "./ingest/Inbox.ts"
import * as Ingest from "./ingest/Ingest.ts"

/** What {@link make} takes. */
export interface Options<G extends OnGiveUp> {
  /** Asked at each start of the gateway; `undefined`: there is none. */
  readonly gateway: (() => GatewayConfig) | undefined
  readonly pools: Pool.Pools["Service"]
  /** Where what workers tell waits. */
  readonly inbox: Inbox
  readonly onGiveUp: G
  /** The budget of `escalate`. */
  readonly restart: GatewayConfig["restart"]
}

const common = {
  plane: "control",
  strategy: "one_for_one",
  because: "what it holds has nothing to do with each other, and workers have nothing to do with it",
  events: BridgeEvent.bridge_supervisor
} as const

const patient = {
  ...common,
  restart: RestartPolicy.make({ intensity: "unlimited" }),
  limitBecause: "a port may be taken for hours, and calls from inside the program need no gateway"
} as const

const strict = (intensity: GatewayConfig["restart"]) =>
  ({
    ...common,
    restart: RestartPolicy.make({ intensity }),
    limitBecause: "the configuration says that the application is nothing without its gateway (onGiveUp: \"escalate\")"
  }) as const

interface Made {
  readonly stay_down: Supervisor.Made<"bridge", ReturnType<typeof Ingest.child> | ReturnType<typeof Gateway.child>, typeof patient>
  readonly escalate: Supervisor.Made<
    "bridge",
    ReturnType<typeof Ingest.child> | ReturnType<typeof Gateway.required>,
    ReturnType<typeof strict>
  >
}

/** Bridge by what becomes of a gateway that gives up. */
export type BridgeSupervisor<G extends OnGiveUp> = Made[G]

export const make = <G extends OnGiveUp>({ gateway, inbox, onGiveUp, pools, restart }: Options<G>): BridgeSupervisor<G> => {
  const options = gateway === undefined ? undefined : { config: gateway, pools }
  const ingest = Ingest.child(inbox)
  const made: Made[OnGiveUp] = onGiveUp === "escalate"
    ? Supervisor.make("bridge", { ...strict(restart), children: options === undefined ? [ingest] : [ingest, Gateway.required(options)] })
    : Supervisor.make("bridge", { ...patient, children: options === undefined ? [ingest] : [ingest, Gateway.child(options)] })
  return made as BridgeSupervisor<G>
}
