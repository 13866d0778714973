/** The contract with `python/chaos_tools.py`. */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Tool } from "snakepit"

const id = Schema.Int
const seconds = Schema.Finite
const work = { id, millis: Schema.Finite, burn: Schema.Boolean }
const elements = { id, elements: Schema.Int, millis: Schema.Finite }

/** Ways for native code to end its process, by the class of exit that they must be found to be. */
export const crashes = { null_pointer: "Segfault", illegal: "Segfault", abort: "Abort" } as const
export type Crash = keyof typeof crashes
const how = Schema.Literals(["null_pointer", "illegal", "abort"])

/** The limit of the tools that hang with the interpreter lock free: nothing else can find them. */
export const limitMillis = 1000

export class Tools extends RpcGroup.make(
  Rpc.make("once", { payload: work, success: Schema.Int }),
  Rpc.make("again", { payload: work, success: Schema.Int }).annotate(Tool.Idempotent, true),
  Rpc.make("once_stream", { payload: elements, success: Schema.Int, stream: true }),
  Rpc.make("again_stream", { payload: elements, success: Schema.Int, stream: true })
    .annotate(Tool.Idempotent, true)
    .annotate(Tool.Deterministic, true),
  Rpc.make("nap", { payload: { id, seconds }, success: Schema.Int }),
  Rpc.make("hold_lock", { payload: { id, seconds }, success: Schema.Int }),
  Rpc.make("hold_lock_for_good", { payload: { id }, success: Schema.Int }),
  Rpc.make("grandchildren", { payload: { id, seconds }, success: Schema.Int }),
  Rpc.make("ignore_sigterm", { payload: { id, seconds }, success: Schema.Int }),
  Rpc.make("leak", { payload: { id }, success: Schema.Int }),
  Rpc.make("crash", { payload: { id, how }, success: Schema.Int }),
  Rpc.make("again_crash", { payload: { id, how: Schema.Union([how, Schema.Literal("none")]) }, success: Schema.Int }).annotate(
    Tool.Idempotent,
    true
  ),
  Rpc.make("eat", { payload: { id, bytes: Schema.Int }, success: Schema.Int }),
  Rpc.make("cut", { payload: { id, millis: Schema.Finite }, success: Schema.Int }),
  Rpc.make("again_copy", { payload: { id, data: Schema.Uint8Array }, success: Schema.Uint8Array }).annotate(Tool.Idempotent, true),
  Rpc.make("deadlock_holding_lock", { payload: { id }, success: Schema.Int }),
  Rpc.make("deadlock", { payload: { id }, success: Schema.Int }).annotate(Tool.CallTimeout, limitMillis),
  Rpc.make("endless", { payload: { id }, success: Schema.Int }).annotate(Tool.CallTimeout, limitMillis)
) {}

/** What is called under load: half of it idempotent. */
export const mix = ["once", "once", "once", "once_stream", "again", "again", "again", "again_stream"] as const

type Lasting = "nap" | "hold_lock" | "grandchildren" | "ignore_sigterm"
type Endless = "hold_lock_for_good" | "deadlock_holding_lock" | "deadlock" | "endless" | "leak"

/** A call of one tool, by name, and what it takes beside its id. */
export type Asked =
  & { readonly pool: string }
  & (
    | { readonly tool: Lasting; readonly seconds: number }
    | { readonly tool: Endless }
    /** `as`: with the arguments of that earlier call. */
    | { readonly tool: "crash"; readonly how: Crash; readonly as?: number }
    /** `none`: its process lives, and the call is over at once. */
    | { readonly tool: "again_crash"; readonly how: Crash | "none"; readonly as?: number }
    /** Takes so much memory, and touches it. */
    | { readonly tool: "eat"; readonly bytes: number }
    /** Its worker shuts its side of the connection down, so long after the answer. */
    | { readonly tool: "cut"; readonly millis: number }
    | { readonly tool: "again_copy"; readonly bytes: number }
  )
