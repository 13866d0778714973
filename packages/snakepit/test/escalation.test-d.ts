/** What an application must handle, inferred from the tree by path. */
import type { BridgeSupervisor, DataFolder, Listener, RunFolder } from "@snakepit/bridge"
import type * as Gateway from "@snakepit/bridge/gateway/Gateway"
import { Child, type Supervisor, type SupervisorError } from "@snakepit/core"
import { type ConfigInvalid, HostTools, type PerWorker, Pool, type WorkerError } from "@snakepit/pool"
import type { StartedTooOften } from "@snakepit/telemetry"
import { Context, Data, Effect, type Layer, Schema, type Scope } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { describe, expectTypeOf, it } from "vitest"
import type * as RootSupervisor from "../src/RootSupervisor.ts"
import * as Snakepit from "../src/Snakepit.ts"
import type { SnakepitConfigInput } from "../src/SnakepitConfig.ts"

type Always = SupervisorError.Defect | SupervisorError.Ended
type RegistryFailed = DataFolder.DataFolderFailed | RunFolder.SocketPathTooLong | RunFolder.RunFolderFailed
type At<Path extends string, E> = SupervisorError.Origin<Path, E>

type Starter = `snakepit/pools/${string}/control/launcher/worker_starter`
type NotUp = WorkerError.BootFailed | WorkerError.HandshakeFailed | WorkerError.ChannelLost | WorkerError.FleetLost
type Refusal<More = never> =
  | At<"snakepit/foundation/config_server", ConfigInvalid.ConfigInvalid>
  | At<"snakepit/foundation/process_registry", RegistryFailed>
  | At<`snakepit/pools/${string}/reaper`, WorkerError.ReaperLost | WorkerError.ContainmentUnavailable>
  | At<`snakepit/pools/${string}/control/launcher/forkserver`, WorkerError.BootFailed>
  | At<Starter, NotUp | More>

type Mistake<Cs> = PerWorker.Check<{ readonly default: () => Cs }> extends { readonly default: { readonly "✗": infer M } } ? M : never

describe("the tree of an application", () => {
  it("escalates only what Foundation cannot cure: pools and telemetry never do", () => {
    expectTypeOf<Snakepit.Escalation>().toEqualTypeOf<
      SupervisorError.GaveUp<
        "snakepit",
        | At<"snakepit/foundation", SupervisorError.Defect>
        | At<"snakepit/foundation/config_server", ConfigInvalid.ConfigInvalid | Always>
        | At<"snakepit/foundation/process_registry", RegistryFailed | Always>
        | At<"snakepit/foundation/session_store", Always>
      >
    >()
  })

  it("lets no trouble of the gateway out of Bridge, neither at the start nor later", () => {
    type Bridge = BridgeSupervisor.BridgeSupervisor<"stay_down">
    expectTypeOf<Supervisor.Escalation<Bridge>>().toBeNever()
    expectTypeOf<Supervisor.StartError<Bridge>>().toBeNever()
    type Gateway = ReturnType<typeof Gateway.child>
    expectTypeOf<Gateway["~snakepit/core/Child"]["L"]>().toEqualTypeOf<At<"gateway", Listener.GatewayFailed | Always>>()
  })

  it("lets it out where the configuration says so, and the type of the layer shows it", () => {
    type Escalates = Snakepit.Escalation<"escalate">
    type Because = Escalates extends SupervisorError.GaveUp<"snakepit", infer From> ? From : never
    expectTypeOf<Extract<Because, { readonly path: "snakepit/bridge/gateway" }>>().toEqualTypeOf<
      At<"snakepit/bridge/gateway", Listener.GatewayFailed | Always>
    >()
    type AtGateway<E> = E extends SupervisorError.StartFailed<infer From> ? Extract<From, { readonly path: "snakepit/bridge/gateway" }>
      : never
    const gateway = { listen: "unix:gateway" } as const
    const escalates = () => Snakepit.layer({ pools: {}, gateway: { ...gateway, onGiveUp: "escalate" } })
    expectTypeOf<AtGateway<Layer.Error<ReturnType<typeof escalates>>>>().toEqualTypeOf<
      At<"snakepit/bridge/gateway", Listener.GatewayFailed>
    >()
    const staysDown = () => Snakepit.layer({ pools: {}, gateway: { ...gateway, onGiveUp: "stay_down" } })
    expectTypeOf<Layer.Error<ReturnType<typeof staysDown>>>().toEqualTypeOf<Snakepit.StartError>()
    const saysNothing = () => Snakepit.layer({ pools: {}, gateway })
    expectTypeOf<Layer.Error<ReturnType<typeof saysNothing>>>().toEqualTypeOf<Snakepit.StartError>()
    const unknown = (config: SnakepitConfigInput) => Snakepit.layer(config)
    expectTypeOf<AtGateway<Layer.Error<ReturnType<typeof unknown>>>>().toEqualTypeOf<
      At<"snakepit/bridge/gateway", Listener.GatewayFailed>
    >()
  })

  it("still takes no key that there is not", () => {
    // @ts-expect-error: "pool" does not exist
    void (() => Snakepit.layer({ pools: {}, pool: {} }))
    // @ts-expect-error: "onGivingUp" does not exist
    void (() => Snakepit.layer({ pools: {}, gateway: { listen: "unix:gateway", onGivingUp: "escalate" } }))
  })

  it("ends a supervised program with one of two errors", () => {
    expectTypeOf(Effect.fail("mine" as const).pipe(Snakepit.supervised)).toEqualTypeOf<
      Effect.Effect<never, "mine" | Snakepit.TreeGaveUp | Snakepit.TreeStopped, Snakepit.Snakepit>
    >()
  })

  it("names every way it can refuse to start, with its path", () => {
    expectTypeOf<Snakepit.StartError>().toEqualTypeOf<SupervisorError.StartFailed<Refusal> | TooOften>()
    expectTypeOf<Layer.Error<ReturnType<typeof plain>>>().toEqualTypeOf<Snakepit.StartError>()
    expectTypeOf<Layer.Services<ReturnType<typeof plain>>>().toBeNever()
  })
})

/** By the history of the runs before. */
type TooOften = SupervisorError.StartFailed<At<"snakepit", StartedTooOften.StartedTooOften>>

const plain = () => Snakepit.layer({ pools: {} })

class NoLicence extends Data.TaggedError("NoLicence")<{}> {}
class Licences extends Context.Service<Licences, { readonly take: Effect.Effect<void, NoLicence> }>()("test/Licences") {}
const licence = Child.make("licence", {
  plane: "execution",
  start: Effect.as(Effect.flatMap(Licences, ({ take }) => take), Effect.never as Effect.Effect<never, "expired">)
})
const gauge = Child.make("gauge", { start: Effect.succeed(Effect.never) })
const one = { pools: { default: { python: { adapter: "tools" } } } } as const

describe("an application with children of its own under each worker", () => {
  it("can refuse to start because of them, and needs what they need", () => {
    const layer = Snakepit.layer(one, { perWorker: { default: () => [licence, gauge] } })
    expectTypeOf<Layer.Error<typeof layer>>().toEqualTypeOf<
      SupervisorError.StartFailed<Refusal<WorkerError.PerWorkerFailed<"licence", NoLicence>>> | TooOften
    >()
    expectTypeOf<Layer.Services<typeof layer>>().toEqualTypeOf<Licences>()
  })

  it("escalates no further for them", () => {
    expectTypeOf<Supervisor.Escalation<RootSupervisor.RootSupervisor<typeof licence>>>().toEqualTypeOf<Snakepit.Escalation>()
  })

  it("gives each the worker that it is placed under", () => {
    void (() =>
      Snakepit.layer(one, {
        perWorker: {
          default: (worker) => {
            expectTypeOf(worker).toEqualTypeOf<PerWorker.Worker>()
            return [gauge]
          }
        }
      }))
  })

  it("may have them in some pools only, and in a number that is not known", () => {
    void (() => Snakepit.layer(one, { perWorker: { default: () => [] } }))
    void (() => Snakepit.layer(one, { perWorker: { default: () => [gauge] as ReadonlyArray<typeof gauge>, gpu: () => [licence] } }))
    void (() => Snakepit.contract(one, { perWorker: { default: () => [gauge] } }))
  })

  it("does not compile with one of the control plane", () => {
    const control = Child.make("planner", { plane: "control", start: Effect.succeed(Effect.never) })
    expectTypeOf<Mistake<readonly [typeof control]>>().toEqualTypeOf<
      `child "planner" belongs to the control plane, a worker's children to the execution plane`
    >()
    // @ts-expect-error: child "planner" belongs to the control plane, a worker's children to the execution plane
    void (() => Snakepit.layer(one, { perWorker: { default: () => [control] } }))
    // @ts-expect-error: a child of perWorker belongs to the control plane, a worker's children to the execution plane
    void (() => Snakepit.layer(one, { perWorker: { default: () => [control] as ReadonlyArray<typeof control> } }))
  })

  it("does not compile with one id twice, or with an id that every worker has", () => {
    const channel = Child.make("channel", { start: Effect.succeed(Effect.never) })
    expectTypeOf<Mistake<readonly [typeof gauge, typeof licence, typeof gauge]>>().toEqualTypeOf<`duplicate child id "gauge"`>()
    expectTypeOf<Mistake<readonly [typeof channel]>>().toEqualTypeOf<
      `child id "channel" is taken: every worker has a channel of its own`
    >()
    // @ts-expect-error: duplicate child id "gauge"
    void (() => Snakepit.layer(one, { perWorker: { default: () => [gauge, gauge] } }))
    // @ts-expect-error: child id "channel" is taken: every worker has a channel of its own
    void (() => Snakepit.contract(one, { perWorker: { default: () => [channel] } }))
  })

  it("does not compile with one that is significant", () => {
    const last = Child.make("last", { start: Effect.succeed(Effect.void), restart: "transient", significant: true })
    // @ts-expect-error: child "last" is significant, but a worker never shuts itself down
    void (() => Snakepit.layer(one, { perWorker: { default: () => [last] } }))
  })
})

type RpcsOf<G> = G extends RpcGroup.RpcGroup<infer R> ? R : never
class Denied extends Data.TaggedError("Denied")<{}> {}

class Host extends RpcGroup.make(Rpc.make("check", { payload: { user: Schema.String }, success: Schema.Boolean })) {}

describe("an application with host tools", () => {
  const check = HostTools.make(Host, {
    check: ({ user }) => Effect.as(Effect.flatMap(Licences, ({ take }) => Effect.orDie(take)), user !== "")
  })

  it("needs what their handlers need, beside their caller and their scope", () => {
    expectTypeOf(check).toEqualTypeOf<HostTools.HostTools<Licences>>()
    const layer = Snakepit.layer(one, { hostTools: { default: check } })
    expectTypeOf<Layer.Services<typeof layer>>().toEqualTypeOf<Licences>()
    expectTypeOf<Layer.Error<typeof layer>>().toEqualTypeOf<Snakepit.StartError>()
    const called = HostTools.make(Host, {
      check: () => Effect.andThen(Effect.addFinalizer(() => Effect.void), Effect.map(HostTools.Caller, ({ slot }) => slot === 0))
    })
    expectTypeOf(called).toEqualTypeOf<HostTools.HostTools>()
    expectTypeOf(HostTools.serve(check, { session: "s" })).toEqualTypeOf<
      Effect.Effect<void, Pool.PoolNotFound | HostTools.HostToolTaken, Pool.Pools | Scope.Scope | Licences>
    >()
  })

  it("has its pools for handlers that call Python", () => {
    const nested = HostTools.make(Host, { check: () => Effect.as(Effect.orDie(Pool.client(Host)), true) })
    expectTypeOf(nested).toEqualTypeOf<HostTools.HostTools<Pool.Pools>>()
    const layer = Snakepit.layer(one, { hostTools: { default: nested } })
    expectTypeOf<Layer.Services<typeof layer>>().toBeNever()
  })

  it("may have children under each worker as well", () => {
    const layer = Snakepit.layer(one, { perWorker: { default: () => [gauge] }, hostTools: { default: check } })
    expectTypeOf<Layer.Services<typeof layer>>().toEqualTypeOf<Licences>()
  })

  it("does not compile when a handler is missing, gives something else, or fails in a way that the contract does not declare", () => {
    // @ts-expect-error: Property 'check' is missing
    void (() => HostTools.make(Host, {}))
    // @ts-expect-error: Type 'string' is not assignable to type 'boolean'
    void (() => HostTools.make(Host, { check: () => Effect.succeed("yes") }))
    type Given = ReturnType<HostTools.Handlers<RpcsOf<typeof Host>>["check"]>
    expectTypeOf<Effect.Effect<boolean, Denied>>().not.toExtend<Given>()
    expectTypeOf<Effect.Effect<boolean, never, Licences>>().toExtend<Given>()
  })

  it("does not compile with one that streams", () => {
    const streams = RpcGroup.make(Rpc.make("rows", { success: Schema.Int, stream: true }))
    // @ts-expect-error: a host tool gives one result: leave `stream: true` out
    void (() => HostTools.make(streams, { rows: () => Effect.void }))
  })
})
