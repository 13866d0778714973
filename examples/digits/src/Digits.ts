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
    .annotate(Tool.Idempotent, true),
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
    .annotate(Tool.Deterministic, true),
  /** Append one result to the journal. Running it twice would write it twice: it is not idempotent. */
  Rpc.make("record", { payload: { journal: Schema.String, fit: Schema.Int, accuracy: Schema.Number } })
).annotateRpcs(Tool.ContractHash, "8b449c547c77c3dd0773295ea4d82bf78cf8db6ed764f7d9f9e54780bf71e607") {}
