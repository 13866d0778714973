/** The engine against OTP: what both do with the same schedules, and the smallest schedule with which they part. */
import type { Recorded } from "./Corpus.ts"
import { engineTrace } from "./EngineTrace.ts"
import type { ErlangSupervisor } from "./ErlangSupervisor.ts"
import type { Schedule } from "./Schedule.ts"
import { generate, shrink } from "./ScheduleGenerator.ts"
import { difference, normalise } from "./Trace.ts"
import type { Difference, Trace } from "./Trace.ts"

/** How many go to Erlang at once, and how many times that: it works on the next ones while the engine does these. */
const batchSize = 50
const batchesAhead = 3

/** More is not worth waiting for: the schedule is small by then. */
const shrinkingPatienceMs = 20_000
const candidatesAtOnce = 16

/** Both traces of one schedule, normalised, and where they part. */
export interface Comparison {
  readonly schedule: Schedule
  readonly expected: Trace
  readonly got: Trace
  readonly difference: Difference | undefined
}

/** What the engine did; one that throws has a trace that says so. */
const ours = (schedule: Schedule): Trace => {
  try {
    return normalise(schedule)(engineTrace(schedule))
  } catch (thrown) {
    return [`the engine threw: ${thrown instanceof Error ? thrown.stack : String(thrown)}`]
  }
}

export const compare = ({ schedule, trace }: Recorded): Comparison => {
  const got = ours(schedule)
  return { schedule, expected: trace, got, difference: difference(trace, got) }
}

const ask = async (erl: ErlangSupervisor, schedules: ReadonlyArray<Schedule>): Promise<ReadonlyArray<Recorded>> => {
  const traces = await erl.run(schedules)
  return schedules.map((schedule, index) => ({ schedule, trace: normalise(schedule)(traces[index] as Trace) }))
}

/** What Erlang does with the given schedule. */
export const askOne = async (erl: ErlangSupervisor, schedule: Schedule): Promise<Recorded> => (await ask(erl, [schedule]))[0] as Recorded

/** What Erlang does with the first `count` schedules of a seed. */
export async function* live(erl: ErlangSupervisor, seed: number, count: number): AsyncIterable<Recorded> {
  const batches = Math.ceil(count / batchSize)
  const send = (batch: number): Promise<ReadonlyArray<Recorded>> => {
    const start = batch * batchSize
    const answer = ask(erl, Array.from({ length: Math.min(batchSize, count - start) }, (_, index) => generate(seed, start + index)))
    answer.catch(() => {}) // told where it is awaited
    return answer
  }
  const ahead = Array.from({ length: Math.min(batchesAhead, batches) }, (_, batch) => send(batch))
  for (let next = ahead.length, batch = ahead.shift(); batch !== undefined; batch = ahead.shift()) {
    const records = await batch
    if (next < batches) ahead.push(send(next++))
    yield* records
  }
}

/** Greedily: as long as a smaller schedule still tells the two apart, that one. */
export const smallest = async (erl: ErlangSupervisor, from: Comparison): Promise<Comparison> => {
  const deadline = performance.now() + shrinkingPatienceMs
  let best = from
  for (let improved = true; improved;) {
    improved = false
    let candidates: Array<Schedule> = []
    const anyFails = async (): Promise<boolean> => {
      const found = (await ask(erl, candidates)).map(compare).find(({ difference }) => difference !== undefined)
      candidates = []
      best = found ?? best
      return found !== undefined
    }
    for (const candidate of shrink(best.schedule)) {
      if (performance.now() > deadline) return best
      candidates.push(candidate)
      if (candidates.length < candidatesAtOnce) continue
      improved = await anyFails()
      if (improved) break
    }
    if (!improved && candidates.length > 0) improved = await anyFails()
  }
  return best
}
