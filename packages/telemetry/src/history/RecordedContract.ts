/** The contract of a run, as a history keeps it. */
import type { Contract } from "@snakepit/core"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"

const strings = Schema.Array(Schema.String)
const numbers = Schema.Array(Schema.Number)
const plane = Schema.Literals(["control", "execution"])

const AContract = Schema.Struct({
  id: Schema.String,
  plane,
  layer: Schema.Literals(["root", "foundation", "telemetry", "bridge", "control", "execution"]),
  strategy: Schema.Literals(["one_for_one", "one_for_all", "rest_for_one", "dynamic"]),
  intensity: Schema.Union([Schema.Literal("unlimited"), Schema.Struct({ maxRestarts: Schema.Number, withinMillis: Schema.Number })]),
  backoff: Schema.Struct({ lowestMillis: numbers, highestMillis: numbers, resetAfterMillis: Schema.Number }),
  because: Schema.String,
  limitBecause: Schema.String,
  stoppedBy: strings,
  autoShutdown: Schema.Literals(["never", "any", "all"]),
  children: Schema.Array(Schema.Struct({
    id: Schema.String,
    plane,
    restart: Schema.Literals(["permanent", "transient", "temporary"]),
    significant: Schema.Boolean,
    shutdown: Schema.Union([Schema.Number, Schema.Literals(["infinity", "brutal"])]),
    failedBy: strings,
    supervisor: Schema.optional(Schema.suspend((): Schema.Codec<unknown> => AContract))
  })),
  startedBy: Schema.String,
  events: strings
})

const decode = Schema.decodeUnknownExit(AContract)

/** What stands in a history: the contract, or why it cannot be read. */
export type Read =
  | { readonly contract: Contract.Contract; readonly unreadable: undefined }
  | { readonly contract: undefined; readonly unreadable: string }

/** Reads it from JSON, which has no infinity and says `null` for it. */
export const read = (text: string): Read => {
  let parsed: unknown
  try {
    parsed = JSON.parse(text, (_, value) => value === null ? Number.POSITIVE_INFINITY : value)
  } catch (thrown) {
    return { contract: undefined, unreadable: thrown instanceof Error ? thrown.message : String(thrown) }
  }
  const decoded = decode(parsed)
  return Exit.isSuccess(decoded)
    ? { contract: parsed as Contract.Contract, unreadable: undefined }
    : { contract: undefined, unreadable: `its contract has another form: ${firstOf(decoded)}` }
}

const firstOf = (failed: Exit.Failure<unknown, Schema.SchemaError>): string => {
  const failure = failed.cause.reasons.find((reason) => reason._tag === "Fail")
  return String(failure?.error.message ?? "").split("\n").map((line) => line.trim()).join(" ").slice(0, 200) // in one line of a report
}
