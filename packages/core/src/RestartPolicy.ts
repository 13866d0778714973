/**
 * When a supervisor restarts and when it gives up: one value with two readings.
 *
 * **When to use**
 *
 * Give it to `Supervisor.make` and `DynamicSupervisor.make` as `restart`; or read the same policy as one `Schedule` with
 * {@link schedule}, for `Effect.retry` of something that is not supervised.
 *
 * **Details**
 *
 * The *budget* (`intensity`) is data that the supervisor's machine decides on (`Intensity.decide`). The *delay* before the next start
 * is any Effect `Schedule` over the child's exit; it is stepped, never slept, so the supervisor goes on answering meanwhile. A
 * schedule that fails refuses the restart with its typed error; one that ends refuses it too, except under `"unlimited"`, where it
 * starts over. After `resetAfter` without a crash the delay starts over.
 *
 * **Gotchas**
 *
 * Nothing in a plain Schedule resets its backoff: `Schedule.exponential` alone would wait years at the thirtieth crash, one a day.
 * That is what `resetAfter` and the cap of {@link defaultDelay} are for.
 *
 * **Example** (Five restarts in half a minute, with backoff)
 *
 * ```ts
 * import { RestartPolicy } from "@snakepit/core"
 *
 * const policy = RestartPolicy.make({ intensity: { maxRestarts: 5, within: "30 seconds" } })
 * ```
 *
 * @see {@link ./Intensity.ts}
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import type { NoOther } from "./CompileError.ts"
import type { ExitReason } from "./ExitReason.ts"
import * as Intensity from "./Intensity.ts"
import { checkPolicy } from "./internal/specification.ts"

/** What a delay schedule is stepped with: the child that ended, and why. */
export interface ChildExit {
  readonly id: string
  readonly reason: ExitReason
}

/** `Limited` is `false` when no number of restarts makes the supervisor give up; `E` is the delay's own refusal. */
export interface RestartPolicy<out E = never, out Limited extends boolean = boolean> {
  readonly "~snakepit/core/RestartPolicy": { readonly limited: Limited; readonly error: E }
  readonly limit: Intensity.Limit | "unlimited"
  readonly delay: Schedule.Schedule<unknown, ChildExit, E>
  readonly resetAfterMillis: number
}

/** Any policy, whatever it refuses with. */
export type Any = RestartPolicy<unknown, boolean>

/** The restart budget was spent: `maxRestarts` restarts within `withinMillis`, and one more was needed. */
export class IntensityExceeded extends Data.TaggedError("IntensityExceeded")<{
  readonly maxRestarts: number
  readonly withinMillis: number
}> {
  override get message(): string {
    return `more than ${this.maxRestarts} restarts within ${this.withinMillis} ms. ` +
      "A cause that a restart does not cure is likely: read the reasons of the restarts before this one"
  }
}

/** The delay schedule ended: it allows no further restart. */
export class DelayEnded extends Data.TaggedError("DelayEnded")<{ readonly restarts: number }> {
  override get message(): string {
    return `the delay schedule allows no restart after ${this.restarts}. Give it a longer one, or a resetAfter`
  }
}

/** 50 ms doubling to 5 s: fast enough to hide one crash, slow enough that a crash loop does not burn a core. */
export const defaultDelay: Schedule.Schedule<unknown, ChildExit> = Schedule.min([
  Schedule.exponential("50 millis"),
  Schedule.spaced("5 seconds")
])

/** A limit as people write it. */
export type IntensityInput = { readonly maxRestarts: number; readonly within: Duration.Input } | "unlimited"

/** What {@link make} takes. */
export interface Options {
  readonly intensity: IntensityInput
  readonly delay?: Schedule.Schedule<unknown, ChildExit, any> | undefined
  readonly resetAfter?: Duration.Input | undefined
}

type RefusalOf<O> = O extends { readonly delay: Schedule.Schedule<any, any, infer E, any> } ? E : never
type IsLimited<O> = O extends { readonly intensity: "unlimited" } ? false : true

/**
 * Makes a policy. `delay` defaults to {@link defaultDelay}, `resetAfter` to the window (60 s when unlimited).
 * Throws an `InvalidSpec` for a negative or fractional `maxRestarts` or an empty window: a mistake in the program, not in its input.
 */
export const make = <const O extends Options>(
  options: O & NoOther<O, keyof Options, "RestartPolicy.make">
): RestartPolicy<RefusalOf<O>, IsLimited<O>> => {
  checkPolicy(options)
  const { delay, intensity, resetAfter }: Options = options
  const limit = limitOf(intensity)
  return {
    "~snakepit/core/RestartPolicy": undefined as never,
    limit,
    delay: delay ?? defaultDelay,
    resetAfterMillis: resetAfter !== undefined
      ? Duration.toMillis(Duration.fromInputUnsafe(resetAfter))
      : limit === "unlimited"
      ? 60_000 // long enough that a child which crashes every few seconds keeps its backoff
      : limit.withinMillis
  }
}

const limitOf = (input: IntensityInput): Intensity.Limit | "unlimited" =>
  input === "unlimited"
    ? input
    : { maxRestarts: input.maxRestarts, withinMillis: Duration.toMillis(Duration.fromInputUnsafe(input.within)) }

/**
 * Steps the delay of one restart: milliseconds to wait before the start, or why there must be none. An `Exit` where the schedule knows at
 * once, so that nobody needs a fiber to ask.
 */
export type DelayStep<E> = (now: number, exit: ChildExit) => Effect.Effect<number, E | DelayEnded>

/** What a stepper was asked since it last began anew, so that its future can be read by replaying its past (`GiveUpAt.ts`). */
export interface DelayMemory {
  readonly asked: Array<{ readonly now: number; readonly exit: ChildExit }>
  /** More was asked than is kept. */
  incomplete: boolean
}

/** An empty memory. */
export const delayMemory = (): DelayMemory => ({ asked: [], incomplete: false })

const remembered = 256 // exits are kept with their errors: enough for any limit that people set, and bounded in a crash loop without end

/** A budget above what is kept cannot be looked ahead to its end: nothing is kept for it at all. */
const isLookedAhead = ({ limit }: Any): boolean => limit === "unlimited" || limit.maxRestarts <= remembered

type Stepped = readonly [output: unknown, delay: Duration.Duration]
const millisOf = ([, delay]: Stepped): number => Duration.toMillis(delay)

/**
 * The delay reading: a stepper with its own memory, made anew after `resetAfter` without a crash. It keeps what it is asked in `memory`
 * when it is given one.
 */
export const delayStep = <E>(policy: RestartPolicy<E>, memory?: DelayMemory): DelayStep<E> => {
  const fresh = Schedule.toStep(policy.delay)
  let step: Effect.Success<typeof fresh> | undefined
  let last = Number.NEGATIVE_INFINITY
  let restarts = 0
  const beginAnew = () => {
    step = undefined
    restarts = 0
    if (memory === undefined) return
    memory.asked.length = 0
    memory.incomplete = false
  }
  const keep = memory === undefined ? () => {} : remember(memory, isLookedAhead(policy) ? remembered : 0)
  const next = (current: Effect.Success<typeof fresh>, now: number, exit: ChildExit): Effect.Effect<number, E | DelayEnded> => {
    step = current
    restarts++
    const stepped = current(now, exit)
    if (Exit.isExit(stepped) && Exit.isSuccess(stepped)) return Exit.succeed(millisOf(stepped.value as Stepped))
    return stepped.pipe(
      Effect.map(millisOf),
      Pull.catchDone(() => {
        if (policy.limit !== "unlimited") return Effect.fail(new DelayEnded({ restarts: restarts - 1 }))
        if (restarts === 1) return Effect.succeed(0) // a schedule that allows nothing at all: no delay to repeat
        beginAnew()
        keep(now, exit)
        return begin(now, exit)
      })
    )
  }
  const begin: DelayStep<E> = (now, exit) => Effect.flatMap(fresh, (current) => next(current, now, exit))
  return (now, exit) => {
    if (now - last >= policy.resetAfterMillis) beginAnew()
    last = now
    keep(now, exit)
    if (step === undefined) return begin(now, exit)
    try {
      return next(step, now, exit)
    } catch (defect) {
      return Exit.die(defect) // as it would be inside an effect
    }
  }
}

const remember = (memory: DelayMemory, most: number) => (now: number, exit: ChildExit): void => {
  if (memory.asked.length < most) memory.asked.push({ now, exit })
  else memory.incomplete = true
}

/**
 * The other reading: the whole policy as one `Schedule`, its escalation in the error channel.
 *
 * **Example** (The same limits for a plain retry)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RestartPolicy } from "@snakepit/core"
 *
 * declare const policy: RestartPolicy.RestartPolicy
 * declare const connect: Effect.Effect<void, "refused">
 *
 * const connected = connect.pipe(
 *   Effect.mapError((error) => ({ id: "db", reason: { _tag: "Failed" as const, error } })),
 *   Effect.retry(RestartPolicy.schedule(policy))
 * )
 * ```
 */
export const schedule = <E>(
  policy: RestartPolicy<E>
): Schedule.Schedule<number, ChildExit, E | IntensityExceeded | DelayEnded> =>
  Schedule.fromStepWithMetadata(Effect.sync(() => {
    const window = Intensity.make(policy.limit)
    const delay = delayStep(policy)
    return (
      { input, now }: Schedule.InputMetadata<ChildExit>
    ): Effect.Effect<[number, Duration.Duration], E | IntensityExceeded | DelayEnded> => {
      const verdict = Intensity.decide(window, now)
      return verdict.allowed
        ? Effect.map(delay(now, input), (millis) => [verdict.left, Duration.millis(millis)])
        : Effect.fail(intensityExceeded(policy))
    }
  }))

/** The error of a spent budget, with the policy's own figures. */
export const intensityExceeded = (policy: Any): IntensityExceeded =>
  new IntensityExceeded(policy.limit === "unlimited" ? { maxRestarts: 0, withinMillis: 0 } : policy.limit)
