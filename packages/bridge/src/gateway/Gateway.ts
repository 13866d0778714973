/**
 * The gateway as a supervised child: the tools of the pools for clients in any language, over gRPC.
 *
 * ```text
 *  start ─▶ listen ─▶ serve: Execute, ExecuteStream, ExecuteWithInputs, ListTools; health; reflection
 *                └▶ cannot: GatewayFailed, and Bridge tries again with backoff. The first start is acknowledged all the same, because the
 *                   application comes up without its gateway; not with onGiveUp: "escalate"
 *  stop  ─▶ health says NOT_SERVING ─▶ open calls are interrupted, which cancels their tools, and end UNAVAILABLE ─▶ the port is free
 * ```
 *
 * It holds nothing that outlives a call: its crash touches no pool.
 */
import { Child, Event, Instrument } from "@snakepit/core"
import { Pool } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { HealthImplementation, type ServingStatusMap } from "grpc-health-check"
import { GatewayService } from "../../gen/snakepit/v1/gateway_pb.ts"
import * as BridgeEvent from "../BridgeEvent.ts"
import * as BridgeMetrics from "../BridgeMetrics.ts"
import * as Definition from "./Definition.ts"
import { type GatewayConfig, security } from "./GatewayConfig.ts"
import * as Listener from "./Listener.ts"
import * as Service from "./Service.ts"
import * as Token from "./Token.ts"

/** What {@link child} takes. */
export interface Options {
  /** Asked at each start. */
  readonly config: () => GatewayConfig
  readonly pools: Pool.Pools["Service"]
}

/** A client whose machine has gone says nothing: it is asked after 30 s, and has 10 s to answer, or its calls would hold workers for ever. */
const keepalive = { "grpc.keepalive_time_ms": 30_000, "grpc.keepalive_timeout_ms": 10_000 }

/** A connection without calls is closed after so long, and clients open another when they need it. 5 minutes: longer than a person thinks. */
const idle = { "grpc.max_connection_idle_ms": 300_000 }

/** What a request may hold beside a payload. 64 KiB: names, and the frame of the message. */
const envelope = 65_536

/** Messages up to twice the largest payload are read, so that one too large for its pool gets the typed error. JSON takes more than MessagePack. */
const largestMessage = ({ directory }: Pool.Pools["Service"]): number =>
  2 * Math.max(...directory.names().map((pool) => directory.entry(pool).config().maxPayload), 0) + envelope

/** How often it looks whether the pools are up, and whom it turned away. 1 s: probes come every few seconds. */
const look = "1 second"

const here = ["", GatewayService.typeName] as const

/** The health of the gateway, and of each pool under `pools/<name>`. */
const health = (pools: Pool.Pools["Service"]): Effect.Effect<
  { readonly service: HealthImplementation; readonly lookAround: Effect.Effect<void> },
  never,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const told: ServingStatusMap = Object.fromEntries(here.map((name) => [name, "SERVING"]))
    const service = new HealthImplementation(told)
    const set = (name: string, up: boolean): void => {
      const status = up ? "SERVING" : "NOT_SERVING"
      if (told[name] === status) return
      told[name] = status
      service.setStatus(name, status)
    }
    const lookAround = Effect.map(Effect.provideService(Pool.tools, Pool.Pools, pools), (all) => {
      for (const [pool, tools] of all) set(`pools/${pool}`, tools !== undefined)
    })
    yield* lookAround
    yield* Effect.addFinalizer(() => Effect.sync(() => here.forEach((name) => set(name, false))))
    return { service, lookAround }
  })

/** Listens and serves; returns the gateway's life. */
const serve = ({ config, pools }: { readonly config: GatewayConfig; readonly pools: Pool.Pools["Service"] }) =>
  Effect.gen(function*() {
    let refused = 0
    let dropped = 0
    const server = yield* Listener.server({
      ...(config.listen.startsWith("unix:") ? {} : keepalive), // the end of a socket's other side is always heard
      ...idle,
      "grpc.max_concurrent_streams": config.maxCalls,
      "grpc.max_receive_message_length": largestMessage(pools),
      interceptors: config.token === undefined ? [] : [Token.interceptor(config.token, () => ++refused)]
    })
    const series = yield* Instrument.series
    const ended = { ok: 0, failed: 0, cancelled: 0 }
    let open = 0
    for (const outcome of BridgeMetrics.gatewayOutcomes) series.add(BridgeMetrics.gatewayCalls, { outcome }, () => ended[outcome])
    series.add(BridgeMetrics.gatewayCallsOpen, {}, () => open)
    series.add(BridgeMetrics.gatewayConnections, {}, () => server.connections.size)
    const counted = <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.onExit(
        Effect.suspend(() => {
          open++
          return call
        }),
        (exit) =>
          Effect.sync(() => {
            open--
            ended[Exit.isSuccess(exit) ? "ok" : Exit.hasInterrupts(exit) ? "cancelled" : "failed"]++
          })
      )
    const run = yield* FiberSet.makeRuntime<never>() // its calls end before the server does: their clients are told
    const { lookAround, service } = yield* health(pools)
    server.grpc.addService(Definition.gateway, Service.handlers((effect) => run(counted(Effect.provideService(effect, Pool.Pools, pools)))))
    service.addToServer(server.grpc)
    Definition.reflection().addToServer(server.grpc)
    const address = yield* Listener.listen(config, server, () => ++dropped)
    yield* Effect.addFinalizer(() => Event.emit(BridgeEvent.gateway_stop, { refused }, { address }))
    yield* Event.emit(BridgeEvent.gateway_start, {}, { address, security: security(config) })
    const tellDropped = Effect.suspend(() => {
      const connections = dropped
      dropped = 0
      return connections === 0
        ? Effect.void
        : Event.emit(BridgeEvent.gateway_drop, { connections, limit: config.maxConnections }, { address })
    })
    return Effect.andThen(Effect.repeat(Effect.andThen(lookAround, tellDropped), Schedule.spaced(look)), Effect.never)
  })

const begin = ({ config, pools }: Options) => Effect.suspend(() => serve({ config: config(), pools }))

/** The gateway of an application that goes on without it. */
export const child = (options: Options) =>
  Child.make("gateway", {
    plane: "control",
    start: Effect.gen(function*() {
      const { generation } = yield* Child.CurrentChild
      const served = yield* Effect.exit(begin(options))
      if (Exit.isSuccess(served)) return served.value as Effect.Effect<never, Listener.GatewayFailed>
      // the first start is acknowledged: its failure is the first failure of the gateway's life
      return generation === 0 ? served : yield* served as Exit.Exit<never> // a restart's is a failed restart, which Bridge alone is told of
    })
  })

/** The gateway of an application that is nothing without it: where it cannot listen, that does not start. */
export const required = (options: Options) => Child.make("gateway", { plane: "control", start: begin(options) })
