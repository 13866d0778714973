/**
 * The whole of Snakepit as its user has it: a supervised pool, called through its public API, with the metrics that it keeps, and with one
 * call in a hundred traced.
 */
import { Effect, ManagedRuntime, Schema, Stream } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { fileURLToPath } from "node:url"
import { Pool, type PoolConfig, Snakepit, type SnakepitConfig } from "snakepit"
import type { Closing } from "../Bench.ts"
import * as Load from "./Load.ts"

/** The tools of python/call_tools.py. */
class Tools extends RpcGroup.make(
  Rpc.make("echo", { payload: { data: Schema.Uint8Array }, success: Schema.Uint8Array }),
  Rpc.make("told", { payload: { data: Schema.Uint8Array }, success: Schema.Uint8Array }),
  Rpc.make("mirror", { payload: { data: Schema.Uint8Array }, success: Schema.Uint8Array }),
  Rpc.make("hold", { payload: { seconds: Schema.Finite } }),
  Rpc.make("elements", { success: Schema.Uint8Array, stream: true }),
  Rpc.make("process", { success: Schema.Int })
) {}

/** The tools of a pool. */
export type Client = Effect.Success<ReturnType<typeof client>>

const client = (pool: string) => Pool.client(Tools, { pool })

/** An application with its pools, ready. */
export interface Ours {
  readonly client: (pool?: string) => Promise<Client>
  readonly run: <A>(program: Effect.Effect<A>) => Promise<A>
}

/** Its pools by name; what they say is beside the size the only thing that is not the default. */
export const open = async (
  closing: Closing,
  pools: { readonly [name: string]: PoolConfig.PoolConfigInput },
  telemetry: NonNullable<SnakepitConfig.SnakepitConfigInput["telemetry"]> = {}
): Promise<Ours> => {
  const python = { adapter: "call_tools", path: [fileURLToPath(new URL("python", import.meta.url))] }
  const runtime = ManagedRuntime.make(Snakepit.layer({
    pools: Object.fromEntries(Object.entries(pools).map(([name, pool]) => [name, { ...pool, python }])),
    telemetry
  }))
  closing(() => runtime.dispose())
  return {
    client: (pool = "default") => runtime.runPromise(client(pool)),
    run: (program) => runtime.runPromise(program)
  }
}

/** One call in so many is traced. */
const tracedEvery = 100

/** Every hundredth call is made in a span of its caller's. */
export const traced = <A extends ReadonlyArray<unknown>, B, E>(
  call: (...args: A) => Effect.Effect<B, E>
): (...args: A) => Effect.Effect<B, E> => {
  let calls = 0
  return (...args) => ++calls % tracedEvery === 0 ? Effect.withSpan(call(...args), "bench.call") : call(...args)
}

/** Calls of `echo`, one in a hundred traced. */
export const echoes = ({ echo }: Client, callers: number, data: Uint8Array): Effect.Effect<Load.Point> =>
  Load.fibers(callers, traced(() => Effect.orDie(echo({ data }))))

/** The same for what is large: its tool takes a view of the bytes. */
export const mirrored = ({ mirror }: Client, callers: number, data: Uint8Array): Effect.Effect<Load.Point> =>
  Load.fibers(callers, traced(() => Effect.orDie(mirror({ data }))))

/** Elements of the endless generator, until `note` says to stop. */
export const elements = ({ elements }: Client, note: (elements: number) => boolean): Effect.Effect<void> =>
  Effect.orDie(Stream.runDrain(Stream.takeWhile(elements(), () => note(1))))
