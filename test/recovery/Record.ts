/** What runs of the recovery suite measured, for `docs/failures.md`. */
import type { Event } from "@snakepit/core"
import type { Prediction } from "@snakepit/core/testing"
import { writeFileSync } from "node:fs"
import { cpus, release, type } from "node:os"
import type { RecoveryRow, Spread } from "../../scripts/FailuresPage.ts"
import type { Harm } from "./Harm.ts"
import type { Ended } from "./Load.ts"
import { placeOf } from "./Telling.ts"

/** Where to write the rows: nowhere in an ordinary run. */
const file = process.env["SNAKEPIT_RECORD"]

/** How often each child is killed: five times give a median that one slow start does not move. */
export const repetitions = file === undefined ? 1 : 5

/** One child that was killed once. Milliseconds since the harm. */
export interface Sample {
  readonly means: Harm["means"]
  /** The tag of the error that its supervisor was told. */
  readonly noticedAs: string
  readonly noticedMillis: number
  readonly recoveredMillis: number
  /** How the calls of the pools that it touched ended: those that ran, and those that waited. */
  readonly idempotent: ReadonlyArray<string>
  readonly once: ReadonlyArray<string>
  readonly waiting: ReadonlyArray<string>
}

const distinct = (outcomes: ReadonlyArray<string>): ReadonlyArray<string> => [...new Set(outcomes)].toSorted()

export const sample = (
  { decision, ended, promise, ...measured }: {
    readonly means: Harm["means"]
    readonly promise: Prediction.Prediction
    readonly decision: Event.Event
    readonly noticedMillis: number
    readonly recoveredMillis: number
    readonly ended: ReadonlyArray<Ended>
  }
): Sample => {
  const hit = new Set(promise.victims.map((path) => placeOf(path).pool))
  const outcomes = (fits: (call: Ended) => boolean) =>
    distinct(ended.filter((call) => hit.has(call.pool) && fits(call)).map((call) => call.outcome))
  return {
    ...measured,
    noticedAs: String(decision.attributes["cause"]).split(/[:\n]/)[0]!,
    idempotent: outcomes(({ idempotent, waiting }) => idempotent && !waiting),
    once: outcomes(({ idempotent, waiting }) => !idempotent && !waiting),
    waiting: outcomes(({ waiting }) => waiting)
  }
}

const spread = (millis: ReadonlyArray<number>): Spread => {
  const sorted = millis.map(Math.round).toSorted((a, b) => a - b)
  return { median: sorted[Math.floor(sorted.length / 2)]!, max: sorted.at(-1)! }
}

export const row = (path: string, samples: readonly [Sample, ...ReadonlyArray<Sample>]): RecoveryRow => ({
  path,
  means: samples[0].means,
  noticedAs: distinct(samples.map(({ noticedAs }) => noticedAs)).join(", "),
  runs: samples.length,
  noticed: spread(samples.map(({ noticedMillis }) => noticedMillis)),
  recovered: spread(samples.map(({ recoveredMillis }) => recoveredMillis)),
  idempotent: distinct(samples.flatMap(({ idempotent }) => idempotent)),
  once: distinct(samples.flatMap(({ once }) => once)),
  waiting: distinct(samples.flatMap(({ waiting }) => waiting))
})

/** Writes the rows if that is wanted, nothing has failed, and there is one for each of the `cases`: none was left out. */
export const write = (rows: ReadonlyArray<RecoveryRow>, { cases, failed }: { readonly cases: number; readonly failed: boolean }): void => {
  if (file === undefined) return
  if (failed || rows.length !== cases) {
    const why = failed ? "a test failed" : `${rows.length} of ${cases} cases were run`
    console.error(`recovery: nothing is recorded: ${why}. The figures of the last whole run stay`)
    return
  }
  const machine = { cpu: cpus()[0]!.model, cores: cpus().length, system: `${type()} ${release()}`, node: process.version }
  writeFileSync(file, `${JSON.stringify({ machine, rows }, undefined, 2)}\n`)
}
