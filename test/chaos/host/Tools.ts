/** The contract with `python/chaos_tools.py`. */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Tool } from "snakepit"

const id = Schema.Int
const seconds = Schema.Finite
const work = { id, millis: Schema.Finite, burn: Schema.Boolean }
const elements = { id, elements: Schema.Int, millis: Schema.Finite }

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
  Rpc.make("deadlock_holding_lock", { payload: { id }, success: Schema.Int }),
  Rpc.make("deadlock", { payload: { id }, success: Schema.Int }).annotate(Tool.CallTimeout, limitMillis),
  Rpc.make("endless", { payload: { id }, success: Schema.Int }).annotate(Tool.CallTimeout, limitMillis)
) {}

/** What is called under load: half of it idempotent. */
export const mix = ["once", "once", "once", "once_stream", "again", "again", "again", "again_stream"] as const

/** A tool that can be called by name with an id, and how long it shall take. */
export type Single = "nap" | "hold_lock" | "grandchildren" | "ignore_sigterm"
export type Endless = "hold_lock_for_good" | "deadlock_holding_lock" | "deadlock" | "endless" | "leak"
