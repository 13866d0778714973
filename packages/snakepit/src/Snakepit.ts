/**
 * Python from an Effect application: pools of worker processes under a supervision tree, as one layer.
 *
 * **When to use**
 *
 * Provide {@link layer} to a program that uses `Pool.client`. Wrap the program in {@link supervised} so that it ends, with code 70, should the
 * whole tree give up or be stopped beneath it.
 *
 * **Details**
 *
 * Building the layer starts the tree in order and returns when every worker of every pool is ready; the first that does not come up fails
 * the layer with `StartFailed`, naming its path and the reason. Closing the layer's scope stops the tree in reverse order; no process
 * is left behind.
 *
 * **Example** (A program with one pool)
 *
 * ```ts
 * import { NodeRuntime } from "@effect/platform-node"
 * import { Effect, Schema } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 * import { Pool, Snakepit } from "snakepit"
 *
 * class Tools extends RpcGroup.make(Rpc.make("add", { payload: { a: Schema.Int, b: Schema.Int }, success: Schema.Int })) {}
 *
 * const program = Effect.gen(function*() {
 *   const tools = yield* Pool.client(Tools)
 *   yield* Effect.log(yield* tools.add({ a: 1, b: 2 }))
 * })
 *
 * program.pipe(
 *   Snakepit.supervised,
 *   Effect.provide(Snakepit.layer({ pools: { default: { python: { adapter: "tools", path: ["./python"] } } } })),
 *   NodeRuntime.runMain
 * )
 * ```
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { GatewayConfig, Inbox, ProcessRegistry, PythonRuntime } from "@snakepit/bridge"
import {
  type Child,
  type Contract,
  RegisteredName,
  RestartMemory,
  Supervisor,
  SupervisorError,
  type SupervisorHandle,
  type Tree,
  Why
} from "@snakepit/core"
import { type ConfigInvalid, ConfigServer, HostTools, type PerWorker, Pool, PoolDirectory } from "@snakepit/pool"
import {
  EventBus,
  EventLog,
  History,
  HostSeries,
  IncidentTracing,
  LiveView,
  Otlp,
  type StartedTooOften,
  SupervisorSeries,
  TelemetryConfig
} from "@snakepit/telemetry"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import * as ConfigSources from "./config/ConfigSources.ts"
import * as Configuration from "./Configuration.ts"
import * as RecordedRun from "./RecordedRun.ts"
import * as RootSupervisor from "./RootSupervisor.ts"
import type { SnakepitConfigInput } from "./SnakepitConfig.ts"
import * as SnakepitConfig from "./SnakepitConfig.ts"
import { version } from "./Version.ts"

/**
 * How the tree can refuse to start: with the path and the typed reason of the child that did; `C` are the application's own children of
 * each worker, and `G` is the gateway's `onGiveUp`. What keeps a worker from coming up stands at the path of the worker_starter, and names the worker.
 * With `telemetry.history.resumeBudgets` also because the host has died too often: `StartedTooOften`, at the root.
 */
export type StartError<C extends Child.Any = never, G extends GatewayConfig.OnGiveUp = "stay_down"> =
  | Supervisor.StartError<RootSupervisor.RootSupervisor<C, G>>
  | SupervisorError.StartFailed<SupervisorError.Origin<"snakepit", StartedTooOften.StartedTooOften>>

/**
 * How the running tree can fail. Pools, bridge and telemetry never escalate by themselves, so it comes from Foundation alone, and from the gateway
 * whose `onGiveUp` is `"escalate"`. An operator who fails one of them through the handle of the root spends the root's budget too: then
 * `because` is a `Defect` at its path, which no type names.
 */
export type Escalation<G extends GatewayConfig.OnGiveUp = "stay_down"> = Supervisor.Escalation<RootSupervisor.RootSupervisor<never, G>>

/** Whatever the configuration says. */
type AnyEscalation = Escalation<GatewayConfig.OnGiveUp>

/** The tree gave up. Ends a `NodeRuntime.runMain` program with code 70 (`EX_SOFTWARE`). */
export class TreeGaveUp extends Error {
  readonly _tag = "TreeGaveUp"
  override readonly [Runtime.errorExitCode] = 70
  override readonly cause: AnyEscalation
  constructor(cause: AnyEscalation) {
    super(cause.message, { cause })
    this.cause = cause
  }
}

/**
 * The tree was stopped, through the handle of its root, while the program went on. Ends a `NodeRuntime.runMain` program with code 70
 * (`EX_SOFTWARE`). When the scope of the layer closes there is no such error: that is how a tree is meant to end.
 */
export class TreeStopped extends Error {
  readonly _tag = "TreeStopped"
  override readonly [Runtime.errorExitCode] = 70
  /** What was stopped, and the reason that was given to `stop`. */
  readonly why: Why.Why
  constructor(why: Why.Why) {
    super(
      `the tree was stopped while its program went on (${
        Why.render(why)
      }): somebody called \`stop\` on the handle of its root. Its pools are ` +
        "down and nothing brings them back: start the program again. To stop a part of the tree, use terminateChild of the supervisor above " +
        "it; to stop all of it, end the program, and the tree stops with it"
    )
    this.why = why
  }
}

/** The running tree. */
export class Snakepit extends Context.Service<Snakepit, {
  /** Identifies this run; all its processes carry it. */
  readonly runId: string
  /** The tree as it stands. */
  readonly tree: Effect.Effect<Tree.SupervisorNode>
  /** The handle of the root: why a child is not running, when a supervisor gives up, and `at` for the handle of each supervisor below. */
  readonly root: SupervisorHandle.SupervisorHandle
  /** Processes that SIGKILL has not ended, with pid and worker; the next start of an application on the same data folder tries again. */
  readonly leaks: Effect.Effect<ReadonlyArray<ProcessRegistry.ProcessEntry>>
  /** What the tree promises, as data, with the limits of the configuration: each pool and its `perWorker` children stand in it by name. */
  readonly contract: Contract.Contract
  /** Never succeeds; fails when the tree gave up, or was stopped although the scope of its layer is open. */
  readonly gaveUp: Effect.Effect<never, TreeGaveUp | TreeStopped>
}>()("snakepit/Snakepit") {}

/** What the layer provides. */
export type Services =
  | Snakepit
  | Configuration.Configuration
  | Pool.Pools
  | EventLog.EventLog
  | EventBus.EventBus
  | History.History
  | LiveView.LiveView

/** What {@link layer} and {@link contract} take beside the configuration, because it is code. */
export interface Options {
  /**
   * The application's own children under each worker's supervisor, by pool. One that belongs to the control plane, or that has the id of
   * another, does not compile. See `PerWorker`.
   */
  readonly perWorker?: PerWorker.PerWorker | undefined
  /**
   * A file with more of the configuration, in YAML, TOML or JSON by its ending: over what stands in code, and under the environment. It is read
   * again when it changes and at each SIGHUP; what is wrong in it changes nothing. Relative to the working folder of the host.
   */
  readonly configFile?: string | undefined
  /**
   * Functions that the tools of a pool may call while they run, by pool. What their handlers need is in the needs of the layer, but for its pools: a handler
   * may call Python. See `HostTools`.
   */
  readonly hostTools?: { readonly [pool: string]: HostTools.HostTools<any> } | undefined
}

/** What the options are taken for when there are none: nothing else has its key. */
interface NoOptions extends Options {
  readonly "~snakepit/NoOptions"?: never
}

type PerWorkerOf<O> = "~snakepit/NoOptions" extends keyof O ? {} : O extends { readonly perWorker?: infer P } ? NonNullable<P> : {}
type HostToolsOf<O> = "~snakepit/NoOptions" extends keyof O ? {} : O extends { readonly hostTools?: infer H } ? NonNullable<H> : {}
type ChildOf<O> = PerWorker.ChildOf<PerWorkerOf<O>>
type NeedOf<O> = Exclude<
  Supervisor.NeedOf<ChildOf<O>> | Exclude<HostTools.NeedOf<HostToolsOf<O>[keyof HostToolsOf<O>]>, Pool.Pools>,
  EventLog.EventLog | EventBus.EventBus | History.History | LiveView.LiveView | NodeServices.NodeServices
>
type CheckOptions<O> = keyof PerWorker.Check<PerWorkerOf<O>> extends never ? unknown
  : { readonly perWorker: PerWorker.Check<PerWorkerOf<O>> }

/** What an application is made of. */
interface Application {
  readonly input: SnakepitConfigInput
  readonly configFile: string | undefined
  readonly schema: typeof SnakepitConfig.SnakepitConfig
  readonly perWorker: PerWorker.PerWorker
  readonly hostTools: NonNullable<Options["hostTools"]>
}

const applicationOf = (input: SnakepitConfigInput, options: Options | undefined): Application => {
  const perWorker = options?.perWorker ?? {}
  const hostTools = options?.hostTools ?? {}
  const schema = SnakepitConfig.naming({ perWorker: Object.keys(perWorker), hostTools: Object.keys(hostTools) })
  return { input, configFile: options?.configFile, schema, perWorker, hostTools }
}

/** The parts of an application, put together and not yet started. */
const assemble = Effect.fnUntraced(function*({ configFile, input, perWorker, schema }: Application, shown: boolean) {
  const run = yield* ProcessRegistry.makeRun
  const config = RegisteredName.make<SnakepitConfig.SnakepitConfig>("configuration")
  const server = RegisteredName.make<ConfigServer.ConfigServer>("config_server")
  const store = yield* ConfigServer.makeStore<SnakepitConfig.SnakepitConfig>()
  const sources = yield* ConfigSources.make({ schema, code: input, file: configFile })
  const primed = yield* Effect.result(shown ? ConfigServer.prime({ schema, sources, store }) : Effect.succeed(undefined))
  const expected = Result.getOrUndefined(primed) // config_server says what is wrong with it
  const directory = PoolDirectory.make(config, expected)
  const configuration = {
    ...{ schema, sources, store, name: config, server },
    publish: ({ config, version }: ConfigServer.ConfigSnapshot<SnakepitConfig.SnakepitConfig>) => directory.configure(version, config)
  }
  const inbox = new Inbox.Inbox()
  const runtime = yield* PythonRuntime.make(run, directory, inbox)
  const telemetry = expected?.telemetry ?? TelemetryConfig.everything // contracts without a configuration show what there may be
  const served = expected === undefined || expected.gateway !== undefined
  const gateway = served ? () => config.latest!.gateway! : undefined
  const { onGiveUp, restart: gatewayRestart } = expected?.gateway ?? GatewayConfig.giveUp
  const root = RootSupervisor.make({
    perWorker,
    configuration,
    directory,
    run,
    runtime,
    inbox,
    telemetry,
    gateway,
    onGiveUp,
    gatewayRestart
  })
  return { run, directory, runtime, root, primed, otlp: expected?.telemetry.otlp, configuration: Configuration.make(store, server) }
})

/**
 * What the tree of an application will promise, as data: every supervisor with its children, strategy, limits and reasons. Starts nothing.
 * The contract of a tree that runs is `contract` of the {@link Snakepit} service.
 *
 * With a configuration each of its pools stands in it by name, with its limits and its `perWorker` children. Without one an entry with the id
 * `Contract.templateKey` stands for any pool, with the default limits.
 *
 * **Example** (What a crash of the Reaper takes along)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Contract, Snakepit } from "snakepit"
 *
 * const program = Effect.gen(function*() {
 *   const contract = yield* Snakepit.contract({ pools: { default: { python: { adapter: "tools" } } } })
 *   const pool = Contract.flatten(contract).find(({ path }) => path === "snakepit/pools/default")
 *   pool?.contract.strategy // => "rest_for_one": fleet and control, which come after it
 * })
 * ```
 */
export const contract: {
  (): Effect.Effect<Contract.Contract>
  <const O extends NoOptions>(
    config: SnakepitConfigInput,
    options?: O & CheckOptions<O>
  ): Effect.Effect<Contract.Contract, ConfigInvalid.ConfigInvalid>
} = (config?: SnakepitConfigInput, options?: Options): Effect.Effect<Contract.Contract, never> => {
  const application = applicationOf(config ?? { pools: {} }, options)
  const made = Effect.gen(function*() {
    const { primed, root } = yield* assemble(application, config !== undefined)
    yield* Effect.fromResult(primed)
    return root.contract
  })
  return Effect.provide(Effect.scoped(made), NodeServices.layer) as Effect.Effect<Contract.Contract> // none is invalid where there is none
}

const tree = (application: Application) =>
  Layer.effectContext(Effect.gen(function*() {
    const { configuration, directory, otlp, primed, root, run, runtime } = yield* assemble(application, true)
    const pools = { directory, codec: runtime.codec }
    for (const [pool, { tools }] of Object.entries(application.hostTools)) {
      const registered = HostTools.register(directory.entry(pool).hostTools, runtime.codec, tools, { pool })
      yield* Effect.orDie(Effect.provideService(registered, Pool.Pools, pools)) // a handler may call Python
    }
    yield* HostSeries.begin(version)
    const supervisors = yield* SupervisorSeries.make
    const exporting = yield* Otlp.make(otlp, run.runId)
    yield* Effect.provideContext(IncidentTracing.attach, exporting)
    const history = yield* History.History
    const memory = yield* Result.match(primed, {
      onSuccess: (config) => RecordedRun.begin(config!, run, root.contract), // it is shown, so it was read
      onFailure: () => Effect.succeed(new Map<string, ReadonlyArray<number>>())
    })
    const running = yield* Supervisor.start(root).pipe(
      Effect.provideContext(exporting),
      Effect.provideService(RestartMemory.RestartMemory, memory)
    )
    supervisors.show(() => Effect.runSync(running.tree))
    let closing = false
    yield* Effect.addFinalizer((exit) =>
      Effect.gen(function*() {
        closing = true
        const stands = (yield* Effect.orDie(running.why(running.path))) === undefined
        if (stands && (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause))) yield* history.endsInOrder
      })
    ) // runs before the tree stops
    const stopped = Effect.flatMap(Effect.orDie(running.why(running.path)), (why) =>
      closing || why === undefined
        ? Effect.never
        : Effect.fail(SupervisorError.withoutStack(new TreeStopped(why))))
    const gaveUp = running.life.pipe(
      Effect.mapError((error: AnyEscalation) => SupervisorError.withoutStack(new TreeGaveUp(error))),
      Effect.andThen(stopped)
    )
    return Context.make(Snakepit, {
      runId: run.runId,
      tree: running.tree,
      root: running,
      contract: root.contract,
      leaks: ProcessRegistry.leaks(run),
      gaveUp
    }).pipe(
      Context.add(Pool.Pools, pools),
      Context.add(Configuration.Configuration, configuration),
      Context.merge(exporting)
    )
  }))

/**
 * The application's pools, started.
 *
 * **Example** (A child of the application's own under each worker)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Child, Snakepit } from "snakepit"
 *
 * const layer = Snakepit.layer({ pools: { default: { python: { adapter: "tools" } } } }, {
 *   perWorker: {
 *     default: (worker) => [
 *       Child.make("greeter", {
 *         plane: "execution",
 *         start: Effect.as(Effect.log(`process ${worker.pid()} fills ${worker.name}`), Effect.never)
 *       })
 *     ]
 *   }
 * })
 * ```
 */
export const layer = <const O extends NoOptions, const G extends GatewayConfig.OnGiveUp = "stay_down">(
  config: SnakepitConfigInput & { readonly gateway?: { readonly onGiveUp?: G | undefined } | undefined },
  options?: O & CheckOptions<O>
): Layer.Layer<Services, StartError<ChildOf<O>, G>, NeedOf<O>> =>
  tree(applicationOf(config, options)).pipe(
    Layer.provideMerge(Layer.mergeAll(EventLog.EventLog.layer, History.History.layer, LiveView.LiveView.layer)),
    Layer.provideMerge(EventBus.EventBus.layer),
    Layer.provide([NodeServices.layer, FetchHttpClient.layer])
  ) as unknown as Layer.Layer<Services, StartError<ChildOf<O>, G>, NeedOf<O>> // which children there are, only the types of the options know

/**
 * Runs a program for as long as the tree stands. Should the tree give up, the program is interrupted and fails with {@link TreeGaveUp};
 * should somebody stop the tree beneath it, with {@link TreeStopped}.
 */
export const supervised = <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<A, E | TreeGaveUp | TreeStopped, R | Snakepit> =>
  Effect.flatMap(Snakepit, ({ gaveUp }) => Effect.raceFirst(program, gaveUp))
