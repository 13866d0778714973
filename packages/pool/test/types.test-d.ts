import type { RestartPolicy, Supervisor, SupervisorError } from "@snakepit/core"
import type { Effect, Stream } from "effect"
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { describe, expectTypeOf, it } from "vitest"
import * as PoolsSupervisor from "../src/control/PoolsSupervisor.ts"
import * as PoolSupervisor from "../src/control/PoolSupervisor.ts"
import type { CallError, PoolDirectory, WorkerError, WorkerRuntime } from "../src/index.ts"
import { Pool } from "../src/index.ts"

class Tools extends RpcGroup.make(
  Rpc.make("fit", { payload: { model: Schema.String, at: Schema.DateFromString }, success: Schema.Struct({ score: Schema.Finite }) }),
  Rpc.make("epochs", { payload: { n: Schema.Int }, success: Schema.Date, stream: true }),
  Rpc.make("ping")
) {}

class Failing extends RpcGroup.make(
  Rpc.make("fit", { success: Schema.Int, error: Schema.String })
) {}

declare const directory: PoolDirectory.PoolDirectory
declare const runtime: WorkerRuntime.WorkerRuntime
declare const config: Parameters<typeof PoolSupervisor.make>[1]
declare const roster: Parameters<typeof PoolSupervisor.make>[3]

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

  it("of a contract with errors of its own does not compile", () => {
    // @ts-expect-error: a tool's failures are CallErrors
    void Pool.client(Failing)
  })
})

const pool = () => PoolSupervisor.make("gpu", config, runtime, roster)
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
      | At<"gpu/control", SupervisorError.Defect>
      | At<"gpu/control/dispatcher", Always>
      | At<"gpu/control/spares", Always>
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
