/**
 * The tools of the Python adapter `digits`, made from its annotations by `snakepit codegen`. Edit those, and renew this file:
 *
 *     snakepit codegen --adapter digits --path python --out src/Digits.ts
 */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Tool } from "snakepit"

/** How large the data is. */
export const Dataset = Schema.Struct({ classes: Schema.Int, scans: Schema.Int })
export type Dataset = typeof Dataset.Type

export class Digits extends RpcGroup.make(
  /** Say how large the data is. */
  Rpc.make("dataset", { success: Dataset })
    .annotate(Tool.Idempotent, true)
    .annotate(Tool.Contract, { result: "d527d40dd4b8", promises: "a5c6eb56cd1e" }),
  /** Cross-validate one classifier, yielding the accuracy of each fold as it is known. */
  Rpc.make("fit", {
    payload: {
      model: Schema.String,
      params: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Number])),
      folds: Schema.Int
    },
    success: Schema.Number,
    stream: true
  })
    .annotate(Tool.Idempotent, true)
    .annotate(Tool.Deterministic, true)
    .annotate(Tool.Contract, {
      "argument model": "32cd8fee1c61",
      "argument params": "0c0435b5255c",
      "argument folds": "be456ac440ca",
      result: "428f46b7789d",
      promises: "56366e25b2d6"
    }),
  /** Append one result to the journal. Running it twice would write it twice: it is not idempotent. */
  Rpc.make("record", { payload: { journal: Schema.String, fit: Schema.Int, accuracy: Schema.Number } })
    .annotate(Tool.Contract, {
      "argument journal": "32cd8fee1c61",
      "argument fit": "be456ac440ca",
      "argument accuracy": "7fcc69d76e1b",
      result: "b904dc287582"
    })
) {}
