import type { RestartPolicy, Supervisor, SupervisorError } from "@snakepit/core"
import type { Effect, Stream } from "effect"
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { describe, expectTypeOf, it } from "vitest"
import * as PoolsSupervisor from "../src/control/PoolsSupervisor.ts"
import * as PoolSupervisor from "../src/control/PoolSupervisor.ts"
import type { CallError, PoolDirectory, WorkerError, WorkerRuntime } from "../src/index.ts"
import { Pool, Tool } from "../src/index.ts"

class Tools extends RpcGroup.make(
  Rpc.make("fit", { payload: { model: Schema.String, at: Schema.DateFromString }, success: Schema.Struct({ score: Schema.Finite }) }),
  Rpc.make("epochs", { payload: { n: Schema.Int }, success: Schema.Date, stream: true }),
  Rpc.make("ping")
) {}

class NotFitted extends Schema.TaggedError<NotFitted>()("NotFitted", { message: Schema.String }) {}
class Diverged extends Schema.TaggedError<Diverged>()("Diverged", { notes: Schema.Array(Schema.String), worker: Schema.String }) {}
class Elsewhere extends Schema.TaggedError<Elsewhere>()("Elsewhere", { planet: Schema.String }) {}

class Raising extends RpcGroup.make(
  Rpc.make("predict", {
    payload: { x: Schema.Finite },
    success: Schema.Finite,
    error: Tool.Raises({ "sklearn.exceptions.NotFittedError": NotFitted, "optim.Diverged": Diverged, "optim.Slow": Diverged })
  }),
  Rpc.make("losses", { success: Schema.Finite, stream: true, error: Tool.Raises({ "optim.Diverged": Diverged }) })
) {}

class Unmapped extends RpcGroup.make(Rpc.make("fit", { success: Schema.Int, error: NotFitted })) {}
class UnmappedStream extends RpcGroup.make(Rpc.make("fit", { success: Schema.Int, error: NotFitted, stream: true })) {}

class Feeding extends RpcGroup.make(
  Rpc.make("total", { payload: { from: Schema.Int, at: Tool.InputStream(Schema.DateFromString) }, success: Schema.Int }),
  Rpc.make("echo", { payload: { words: Tool.InputStream(Schema.String) }, success: Schema.String, stream: true })
) {}

class TwoInputs extends RpcGroup.make(
  Rpc.make("zip", { payload: { a: Tool.InputStream(Schema.Int), b: Tool.InputStream(Schema.Int) } })
) {}

class Lost extends Schema.TaggedError<Lost>()("Lost", {}) {}
declare const dates: Stream.Stream<Date, Lost, Pool.Pools>
declare const raising: Pool.Client<RpcGroup.Rpcs<typeof Raising>>
declare const feeding: Pool.Client<RpcGroup.Rpcs<typeof Feeding>>

declare const directory: PoolDirectory.PoolDirectory
declare const runtime: WorkerRuntime.WorkerRuntime
declare const entry: Parameters<typeof PoolSupervisor.make>[1]

const client = () => Pool.client(Tools)
type Client = Effect.Success<ReturnType<typeof client>>

describe("a client", () => {
  it("has a function for each procedure, and no other", () => {
    expectTypeOf<keyof Client>().toEqualTypeOf<"fit" | "epochs" | "ping">()
  })

  it("takes the payload as it is decoded, and gives the decoded result", () => {
    expectTypeOf<Parameters<Client["fit"]>[0]>().toEqualTypeOf<{ readonly model: string; readonly at: Date }>()
    expectTypeOf<ReturnType<Client["fit"]>>().toEqualTypeOf<Effect.Effect<{ readonly score: number }, CallError.CallError>>()
  })

  it("gives a stream for a generator", () => {
    expectTypeOf<ReturnType<Client["epochs"]>>().toEqualTypeOf<Stream.Stream<Date, CallError.CallError>>()
  })

  it("takes nothing for a procedure without a payload", () => {
    expectTypeOf<Client["ping"]>().toBeCallableWith()
    expectTypeOf<ReturnType<Client["ping"]>>().toEqualTypeOf<Effect.Effect<void, CallError.CallError>>()
  })

  it("needs the pools, and fails when there is none of that name", () => {
    expectTypeOf<Effect.Error<ReturnType<typeof client>>>().toEqualTypeOf<Pool.PoolNotFound>()
    expectTypeOf<Effect.Services<ReturnType<typeof client>>>().toEqualTypeOf<Pool.Pools>()
  })

  it("takes options after the payload", () => {
    expectTypeOf<Parameters<Client["fit"]>[1]>().toEqualTypeOf<Pool.CallOptions | undefined>()
    expectTypeOf<Client["ping"]>().toBeCallableWith(undefined, { session: "s", tenant: "t", deadline: "1 second", queueTimeout: 5 })
  })
})

describe("an error of the caller's own", () => {
  it("stands in the method beside those of every call, and no other does", () => {
    expectTypeOf<ReturnType<typeof raising.predict>>().toEqualTypeOf<Effect.Effect<number, CallError.CallError | NotFitted | Diverged>>()
    expectTypeOf<ReturnType<typeof raising.losses>>().toEqualTypeOf<Stream.Stream<number, CallError.CallError | Diverged>>()
  })

  it("that says of no Python exception when it comes does not compile", () => {
    // @ts-expect-error: says which Python exceptions become it
    void Pool.client(Unmapped)
    // @ts-expect-error: says which Python exceptions become it
    void Pool.client(UnmappedStream)
  })

  it("with a field that no exception can fill does not compile", () => {
    // @ts-expect-error: has a field that no Python exception has
    void Tool.Raises({ "space.Elsewhere": Elsewhere })
  })
})

describe("law 3", () => {
  it("is what `executed` says", () => {
    expectTypeOf<CallError.CallError["executed"]>().toEqualTypeOf<"no" | "failed" | "unknown">()
    type Ran = Extract<CallError.CallError, { readonly executed: "failed" }>["_tag"]
    expectTypeOf<Ran>().toEqualTypeOf<"PythonError" | "ResultTooLarge" | "InvalidResult">()
  })
})

describe("a stream of inputs", () => {
  it("brings its own failures and needs into the call", () => {
    const call = () => feeding.total({ from: 1, at: dates })
    expectTypeOf<ReturnType<typeof call>>().toEqualTypeOf<Effect.Effect<number, CallError.CallError | Lost, Pool.Pools>>()
    const pure = () => feeding.echo({ words: null as never as Stream.Stream<string> }, { session: "s" })
    expectTypeOf<ReturnType<typeof pure>>().toEqualTypeOf<Stream.Stream<string, CallError.CallError>>()
  })

  it("of other elements does not compile", () => {
    // @ts-expect-error: dates are not words
    void feeding.echo({ words: dates })
    // @ts-expect-error: from is missing
    void feeding.total({ at: dates })
  })

  it("beside another one does not compile", () => {
    // @ts-expect-error: at most one stream of inputs
    void Pool.client(TwoInputs)
  })
})

describe("map", () => {
  it("keeps the errors of the stream and of the tool", () => {
    const mapped = (inputs: Stream.Stream<{ readonly x: number }, Lost>) => inputs.pipe(Pool.map(raising.predict))
    expectTypeOf<ReturnType<typeof mapped>>().toEqualTypeOf<Stream.Stream<number, CallError.CallError | NotFitted | Diverged | Lost>>()
  })

  it("of a stream of other payloads does not compile", () => {
    // @ts-expect-error: x is missing
    void ((inputs: Stream.Stream<{ readonly y: number }>) => inputs.pipe(Pool.map(raising.predict)))
  })
})

const pool = () => PoolSupervisor.make("gpu", entry, runtime)
const pools = () => PoolsSupervisor.make(directory, runtime)
type From<T> = T extends SupervisorError.StartFailed<infer F> ? F : never
type Because<T> = T extends SupervisorError.GaveUp<string, infer F, unknown> ? F : never
type At<Path extends string, E> = SupervisorError.Origin<Path, E>
type Always = SupervisorError.Defect | SupervisorError.Ended
type NotUp = WorkerError.BootFailed | WorkerError.HandshakeFailed | WorkerError.ChannelLost | WorkerError.FleetLost

describe("the tree of a pool", () => {
  it("does not start with the path and the error of the child that did not: a worker's stands in who started it", () => {
    expectTypeOf<From<Supervisor.StartError<ReturnType<typeof pool>>>>().toEqualTypeOf<
      | At<"gpu/reaper", WorkerError.ReaperLost | WorkerError.ContainmentUnavailable>
      | At<"gpu/control/launcher/forkserver", WorkerError.BootFailed>
      | At<"gpu/control/launcher/worker_starter", NotUp>
    >()
  })

  it("escalates with the path and the error of the child that set it off", () => {
    type Worker = `gpu/fleet/${string}`
    expectTypeOf<Supervisor.Escalation<ReturnType<typeof pool>>["path"]>().toEqualTypeOf<"gpu">()
    expectTypeOf<Because<Supervisor.Escalation<ReturnType<typeof pool>>>>().toEqualTypeOf<
      | At<"gpu/roster", Always>
      | At<"gpu/reaper", WorkerError.ReaperLost | WorkerError.ContainmentUnavailable | Always>
      | At<"gpu/fleet", SupervisorError.Defect>
      | At<Worker, SupervisorError.Defect>
      | At<`${Worker}/process`, WorkerError.BootFailed | WorkerError.ProcessExited | WorkerRuntime.Imposed | Always>
      | At<`${Worker}/channel`, WorkerError.HandshakeFailed | WorkerError.ChannelLost | Always>
      | At<`${Worker}/heartbeat`, Always>
      | At<`${Worker}/watchdog`, Always>
      | At<`${Worker}/telemetry_tap`, Always>
      | At<"gpu/control", SupervisorError.Defect>
      | At<"gpu/control/dispatcher", Always>
      | At<"gpu/control/lifecycle", Always>
      | At<"gpu/control/spares", Always>
      | At<"gpu/control/sampler", Always>
      | At<"gpu/control/launcher/forkserver", WorkerError.BootFailed>
      | At<"gpu/control/launcher/worker_starter", NotUp>
    >()
  })

  it("gives up with its budget, or because a boot would fail again", () => {
    expectTypeOf<Supervisor.Escalation<ReturnType<typeof pool>>["limit"]>().toEqualTypeOf<
      WorkerError.DeterministicBootFailure | RestartPolicy.IntensityExceeded | RestartPolicy.DelayEnded
    >()
  })

  it("needs nothing from the context", () => {
    expectTypeOf<Supervisor.NeedOf<ReturnType<typeof pool>>>().toBeNever()
  })
})

describe("the tree of all pools", () => {
  it("never escalates", () => {
    expectTypeOf<Supervisor.Escalation<ReturnType<typeof pools>>>().toBeNever()
  })

  it("does not start with the path and the error of the child that did not", () => {
    expectTypeOf<From<Supervisor.StartError<ReturnType<typeof pools>>>>().toEqualTypeOf<
      | At<`pools/${string}/reaper`, WorkerError.ReaperLost | WorkerError.ContainmentUnavailable>
      | At<`pools/${string}/control/launcher/forkserver`, WorkerError.BootFailed>
      | At<`pools/${string}/control/launcher/worker_starter`, NotUp>
    >()
  })
})
