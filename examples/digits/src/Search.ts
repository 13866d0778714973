/** The search: every candidate is fitted on whichever worker is free, its fold scores streamed, its mean recorded in a journal. */
import { Effect, Stream } from "effect"
import { Pool } from "snakepit"
import { Digits } from "./Digits.ts"
import type { Candidate } from "./Grid.ts"
import * as Journal from "./Journal.ts"

export interface Result {
  readonly candidate: Candidate
  readonly scores: ReadonlyArray<number>
  readonly accuracy: number
}

export interface Options {
  readonly candidates: ReadonlyArray<Candidate>
  readonly folds: number
  /** Candidates in work at a time; a few more than workers keep these busy. */
  readonly concurrency: number
  /** A file that every finished fit is appended to. */
  readonly journal: string
  readonly onFold: (candidate: Candidate, accuracy: number) => Effect.Effect<void>
  readonly onFit: (result: Result) => Effect.Effect<void>
}

const mean = (scores: ReadonlyArray<number>) => scores.reduce((sum, score) => sum + score, 0) / scores.length

export const search = Effect.fn("search")(function*({ candidates, concurrency, folds, journal, onFit, onFold }: Options) {
  const digits = yield* Pool.client(Digits)
  const results = yield* Effect.forEach(candidates, (candidate) =>
    Effect.gen(function*() {
      const scores = yield* digits.fit({ model: candidate.model, params: candidate.params, folds }).pipe(
        Stream.tap((accuracy) => onFold(candidate, accuracy)),
        Stream.runCollect
      )
      const result: Result = { candidate, scores, accuracy: mean(scores) }
      const record = digits.record({ journal, fit: candidate.id, accuracy: result.accuracy })
      yield* record.pipe(
        // Its worker died, and may have written it before: only the journal knows.
        Effect.catchIf(
          (error) => error._tag === "WorkerCrashed" || (error._tag === "OutcomeUnknown" && error.ended),
          () => Journal.read(journal).includes(candidate.id) ? Effect.void : record
        )
      )
      yield* onFit(result)
      return result
    }), { concurrency })
  return results.toSorted((a, b) => b.accuracy - a.accuracy)
})
