/**
 * `npm run verify:otp`: generated schedules through Erlang's own supervisor and through the engine, every step compared. Without Erlang
 * it is the recorded corpus that the engine is held to.
 *
 * ```text
 * --schedules N    how many (1000)
 * --seed S         from 0 to 4294967295; a fresh one otherwise, which is told
 * --corpus         the corpus even where Erlang is
 * --live           Erlang or nothing: without it, or with a release that *otp* does not follow, exit code 69
 * --replay WHAT    one schedule, as JSON or the name of a file of it: both traces are shown
 * --record         Erlang's traces of N schedules (20000) become the corpus; nothing is compared
 * --json           the last line of stdout is {"oracle":"erl"|"corpus","schedules":N,"steps":N,"differences":N,"seed":S}
 * ```
 *
 * Exit codes: 0 no difference, 1 some, 64 a wrong flag, 69 what was asked for needs an Erlang that is not there.
 */
import { randomInt } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import * as Corpus from "./Corpus.ts"
import type { Recorded } from "./Corpus.ts"
import { ErlangSupervisor, ErlangUnavailable } from "./ErlangSupervisor.ts"
import { describe, describeOperation } from "./Schedule.ts"
import type { Schedule } from "./Schedule.ts"
import { askOne, compare, live, smallest } from "./Verification.ts"
import type { Comparison } from "./Verification.ts"

const seeds = 2 ** 32
/** By then it is clear that something is wrong, and not everywhere the same. */
const enoughDifferences = 20
/** The release whose supervisor *otp* follows. */
const followed = "25."
/** Lines of agreement shown before the first that differs. */
const context = 3

const exitOk = 0
const exitDifferent = 1
const exitUsage = 64 // EX_USAGE
const exitUnavailable = 69 // EX_UNAVAILABLE

class UsageError extends Error {}

const wholeNumber = (flag: string, text: string, low: number, high: number): number => {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < low || value > high) {
    throw new UsageError(`--${flag} takes a whole number from ${low} to ${high}, not "${text}"`)
  }
  return value
}

const scheduleOf = (text: string): Schedule => {
  const json = existsSync(text) ? readFileSync(text, "utf8") : text
  try {
    const schedule = JSON.parse(json) as Schedule
    if (Array.isArray(schedule.operations) && Array.isArray(schedule.before) && typeof schedule.root === "object") return schedule
  } catch {
    // told below: neither a file's name nor JSON
  }
  throw new UsageError(`--replay takes a schedule in JSON (a replay line has one) or the name of a file of it, not "${text.slice(0, 80)}"`)
}

const optionsOf = (args: ReadonlyArray<string>) => {
  const parse = () => {
    try {
      return parseArgs({
        args: [...args],
        options: {
          schedules: { type: "string" },
          seed: { type: "string" },
          corpus: { type: "boolean", default: false },
          live: { type: "boolean", default: false },
          replay: { type: "string" },
          record: { type: "boolean", default: false },
          json: { type: "boolean", default: false }
        }
      }).values
    } catch (thrown) {
      throw new UsageError((thrown as Error).message)
    }
  }
  const { corpus, json, live, record, replay, schedules, seed } = parse()
  if (corpus && live) throw new UsageError("--live asks Erlang: it does not go with --corpus")
  if (corpus && (record || replay !== undefined)) throw new UsageError("--record and --replay ask Erlang: they do not go with --corpus")
  return {
    corpus,
    live,
    json,
    record,
    replay: replay === undefined ? undefined : scheduleOf(replay),
    schedules: schedules === undefined ? (record ? 20_000 : 1000) : wholeNumber("schedules", schedules, 1, 100_000_000),
    seed: seed === undefined ? randomInt(seeds) : wholeNumber("seed", seed, 0, seeds - 1)
  }
}

const say = (text: string): void => void process.stdout.write(`${text}\n`)
const note = (text: string): void => void process.stderr.write(`verify: ${text}\n`)

const progress = (done: number, of: number, differences: number): void => {
  if (process.stderr.isTTY) process.stderr.write(`\rverify: ${done} of ${of}, ${differences} differences `)
}

/** Both traces from the given step on: a line each where they agree, one below the other where they do not. */
const sideBySide = ({ expected, got, schedule }: Comparison, from: number, to: number): string =>
  Array.from({ length: Math.max(0, to - from) }, (_, index) => {
    const step = from + index
    const operation = schedule.operations[step - 1]
    const what = step === 0
      ? "boot"
      : operation === undefined
      ? "the root is asked to shut down, and what follows"
      : describeOperation(operation)
    const [theirs, mine] = [expected[step] ?? "(nothing)", got[step] ?? "(nothing)"]
    return `  ${step}: ${what}\n` + (theirs === mine ? `      both    ${theirs}` : `    ! OTP     ${theirs}\n    ! engine  ${mine}`)
  }).join("\n")

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

const replay = async (erl: ErlangSupervisor, schedule: Schedule): Promise<boolean> => {
  const comparison = compare(await askOne(erl, schedule))
  say(describe(schedule))
  say(sideBySide(comparison, 0, Math.max(comparison.expected.length, comparison.got.length)))
  say(comparison.difference === undefined ? "no difference" : `they part at step ${comparison.difference.step}`)
  return comparison.difference === undefined
}

const report = (index: number, seed: number, first: Comparison, shrunk: Comparison): void => {
  const step = shrunk.difference?.step ?? 0
  say(`\nschedule ${index} of seed ${seed} differs at step ${first.difference?.step}; the smallest found that differs:\n`)
  say(describe(shrunk.schedule))
  say(`\nthere, around step ${step}:`)
  say(sideBySide(shrunk, Math.max(0, step - context), step + 2))
  say(`replay: npm run verify:otp -- --replay ${quoted(JSON.stringify(shrunk.schedule))}`)
}

const record = async (erl: ErlangSupervisor, seed: number, schedules: number): Promise<void> => {
  const done = await Corpus.record(erl.version, seed, live(erl, seed, schedules))
  note(`recorded ${done.schedules} schedules of seed ${seed} with OTP ${erl.version}: ${(done.bytes / 1e6).toFixed(2)} MB`)
}

interface Totals {
  readonly schedules: number
  readonly steps: number
  readonly differences: number
}

const verify = async (
  records: AsyncIterable<Recorded> | Iterable<Recorded>,
  wanted: number,
  seed: number,
  erl: ErlangSupervisor | undefined
): Promise<Totals> => {
  let [schedules, steps, differences] = [0, 0, 0]
  for await (const recorded of records) {
    const comparison = compare(recorded)
    schedules++
    steps += recorded.trace.length
    if (comparison.difference !== undefined) {
      differences++
      report(schedules - 1, seed, comparison, erl === undefined ? comparison : await smallest(erl, comparison))
    }
    if (schedules % 100 === 0) progress(schedules, wanted, differences)
    if (schedules === wanted) break
    if (differences === enoughDifferences) {
      note(`stopped after ${differences} differences`)
      break
    }
  }
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K")
  return { schedules, steps, differences }
}

const findErlang = async (needed: boolean): Promise<ErlangSupervisor | undefined> => {
  try {
    const erl = await ErlangSupervisor.start()
    if (erl.version.startsWith(followed)) return erl
    await erl.close()
    throw new ErlangUnavailable(`the engine's *otp* follows OTP ${followed}x, and this is ${erl.version}: later releases differ in places.`)
  } catch (thrown) {
    if (needed || !(thrown instanceof ErlangUnavailable)) throw thrown
    note(`${thrown.message} The recorded corpus stands in for it.`)
    return undefined
  }
}

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const options = optionsOf(args)
  const erl = options.corpus ? undefined : await findErlang(options.live || options.record || options.replay !== undefined)
  try {
    if (erl !== undefined && options.replay !== undefined) return await replay(erl, options.replay) ? exitOk : exitDifferent
    if (erl !== undefined && options.record) {
      await record(erl, options.seed, options.schedules)
      return exitOk
    }
    const start = performance.now()
    const corpus = erl === undefined ? Corpus.header() : undefined
    const seed = corpus?.seed ?? options.seed
    const wanted = Math.min(options.schedules, corpus?.schedules ?? Infinity)
    const from = erl === undefined ? Corpus.read() : live(erl, seed, wanted)
    const totals = await verify(from, wanted, seed, erl)
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    note(
      `${totals.schedules} schedules (${totals.steps} steps) of seed ${seed} against ${erl === undefined ? "the corpus of " : ""}OTP ${
        erl?.version ?? corpus?.otp
      }: ${totals.differences} differences, in ${seconds} s`
    )
    if (options.json) say(JSON.stringify({ oracle: erl === undefined ? "corpus" : "erl", ...totals, seed }))
    return totals.differences === 0 ? exitOk : exitDifferent
  } finally {
    await erl?.close()
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (thrown) {
  if (thrown instanceof UsageError) {
    note(thrown.message)
    process.exitCode = exitUsage
  } else if (thrown instanceof ErlangUnavailable) {
    note(thrown.message)
    process.exitCode = exitUnavailable
  } else throw thrown
}
