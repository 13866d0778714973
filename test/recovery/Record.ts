/** What a run of the recovery suite measured, for `docs/failures.md`. */
import type { Event } from "@snakepit/core"
import type { Prediction } from "@snakepit/core/testing"
import { writeFileSync } from "node:fs"
import { cpus, release, type } from "node:os"
import type { Harm } from "./Harm.ts"
import type { Ended } from "./Load.ts"
import { placeOf } from "./Telling.ts"

/** One child that was killed. Paths are those of the contract. Milliseconds since the harm. */
export interface Row {
  readonly path: string
  readonly means: Harm["means"]
  /** The tag of the error that its supervisor was told. */
  readonly noticedAs: string
  readonly noticedMillis: number
  readonly recoveredMillis: number
  /** How the running calls of the pools that it touched ended. */
  readonly idempotent: ReadonlyArray<string>
  readonly once: ReadonlyArray<string>
}

export const row = (
  { decision, ended, means, noticedMillis, promise, recoveredMillis, template }: {
    readonly template: string
    readonly means: Harm["means"]
    readonly promise: Prediction.Prediction
    readonly decision: Event.Event
    readonly noticedMillis: number
    readonly recoveredMillis: number
    readonly ended: ReadonlyArray<Ended>
  }
): Row => {
  const hit = new Set(promise.victims.map((path) => placeOf(path).pool))
  const concerned = ended.filter(({ pool }) => hit.has(pool))
  const outcomes = (idempotent: boolean) =>
    [...new Set(concerned.filter((call) => call.idempotent === idempotent).map(({ outcome }) => outcome))].toSorted()
  return {
    path: template,
    means,
    noticedAs: String(decision.attributes["cause"]).split(/[:\n]/)[0]!,
    noticedMillis: Math.round(noticedMillis),
    recoveredMillis: Math.round(recoveredMillis),
    idempotent: outcomes(true),
    once: outcomes(false)
  }
}

/** Several runs of the same case as one row: every outcome that was seen, the longest times. */
export const merge = (rows: readonly [Row, ...ReadonlyArray<Row>]): Row => ({
  ...rows[0],
  noticedMillis: Math.max(...rows.map(({ noticedMillis }) => noticedMillis)),
  recoveredMillis: Math.max(...rows.map(({ recoveredMillis }) => recoveredMillis)),
  idempotent: [...new Set(rows.flatMap(({ idempotent }) => idempotent))].toSorted(),
  once: [...new Set(rows.flatMap(({ once }) => once))].toSorted()
})

/** Writes the rows where `SNAKEPIT_RECORD` says, if it does. */
export const write = (rows: ReadonlyArray<Row>): void => {
  const file = process.env["SNAKEPIT_RECORD"]
  if (file === undefined) return
  const machine = { cpu: cpus()[0]!.model, cores: cpus().length, system: `${type()} ${release()}`, node: process.version }
  writeFileSync(file, `${JSON.stringify({ machine, rows }, undefined, 2)}\n`)
}
