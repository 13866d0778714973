/** The contract with `python/digits.py`. */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Tool } from "snakepit"

export const Params = Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Finite]))

export class Digits extends RpcGroup.make(
  Rpc.make("dataset", { success: Schema.Struct({ scans: Schema.Int, classes: Schema.Int }) }).annotate(Tool.Idempotent, true),
  // One accuracy a fold, as it is known. Seeded, so that a fit whose worker dies goes on where it was on another one.
  Rpc.make("fit", {
    payload: { model: Schema.String, params: Params, folds: Schema.Int },
    success: Schema.Finite,
    stream: true
  }).annotate(Tool.Idempotent, true).annotate(Tool.Deterministic, true),
  // Appends to a journal: never tried again.
  Rpc.make("record", { payload: { journal: Schema.String, fit: Schema.Int, accuracy: Schema.Finite } })
) {}
