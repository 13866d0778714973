/**
 * One procedure of a contract as the function that its callers have.
 *
 * **Details**
 *
 * A call enters Effect once and stays in plain functions until its reply: no fiber and no queue of its own, and spans only when it is sampled. Only a
 * stream of inputs has a fiber, which runs the caller's stream.
 */
import { SupervisorError } from "@snakepit/core"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as CallError from "./CallError.ts"
import * as CallTrace from "./CallTrace.ts"
import * as CallCycles from "./control/CallCycles.ts"
import * as HostCalls from "./control/HostCalls.ts"
import * as Roster from "./control/Roster.ts"
import type * as Guard from "./Guard.ts"
import * as InputFeed from "./InputFeed.ts"
import type { Payload } from "./Payload.ts"
import type { CallOptions } from "./Pool.ts"
import type { PoolEntry } from "./PoolDirectory.ts"
import type { RetryDelay } from "./RetryDelay.ts"
import { millisOf, type Signature } from "./Signature.ts"

/** A call that was handed to the pool. */
interface Submitted {
  readonly id: number
  readonly roster: Roster.Roster
}

/** Its caller is gone: Python is told, if the call is open still. */
const cancel = ({ id, roster }: Submitted): void => {
  if (roster.tickets.has(id)) Roster.cancel(roster, id)
}

/** The caller of a tool that gives one result. */
class Caller implements Roster.Ticket {
  readonly tool: string
  readonly payload: Payload
  readonly retry: RetryDelay | undefined
  readonly trace: CallTrace.CallTrace | undefined
  private readonly signature: Signature
  private readonly feed: InputFeed.InputFeed | undefined
  private readonly resume: (outcome: Effect.Effect<unknown, unknown>) => void

  constructor(
    signature: Signature,
    payload: Payload,
    feed: InputFeed.InputFeed | undefined,
    trace: CallTrace.CallTrace | undefined,
    resume: (outcome: Effect.Effect<unknown, unknown>) => void
  ) {
    this.tool = signature.tool
    this.payload = payload
    this.retry = signature.retry
    this.signature = signature
    this.feed = feed
    this.trace = trace
    this.resume = resume
  }
  item(): void {}
  want(elements: number): void {
    this.feed?.want(elements)
  }
  complete(result: Uint8Array): void {
    const outcome = this.feedFailure() ?? this.signature.decode(result)
    this.trace?.end(outcome)
    this.resume(outcome)
  }
  fail(error: CallError.CallError): void {
    const failure = this.feedFailure()
    this.trace?.end(failure ?? Exit.fail(error))
    this.resume(failure ?? Exit.fail(SupervisorError.withoutStack(this.signature.errorOf(error))))
  }
  /** The caller's own stream of inputs comes before what became of the call. */
  private feedFailure(): Exit.Exit<never, unknown> | undefined {
    const failure = this.feed?.failure
    return failure === undefined ? undefined : Exit.failCause(failure)
  }
}

const none: CallOptions = {}

/** What goes on beside a call. */
interface Beside {
  readonly feed?: InputFeed.InputFeed | undefined
  readonly trace: CallTrace.CallTrace | undefined
  /** Hears of the call first, if it could be made. */
  readonly submitted?: ((call: Submitted) => void) | undefined
}

/** Where the functions of clients lead. */
const places = new WeakMap<Function, PoolEntry>()

/** Calls that the workers behind a client's function run at once; 1 of any other function. */
export const capacity = (method: Function): number => {
  const roster = places.get(method)?.roster.current
  if (roster === undefined) return 1
  let running = 0
  for (const { concurrency } of roster.wires.values()) running += concurrency
  return Math.max(running, roster.lifecycle.size)
}

export const make = (entry: PoolEntry, signature: Signature, defaults: CallOptions) => {
  const { pool, tool } = signature
  const about = { pool, tool }
  const usual = {
    deadline: millisOf(defaults.deadline),
    queueTimeout: millisOf(defaults.queueTimeout),
    callTimeout: millisOf(defaults.callTimeout) ?? signature.callTimeoutMillis
  }

  const down = () => new CallError.PoolDown({ ...about, executed: "no", because: entry.because() })

  const errorOf = (error: CallError.CallError): Error => SupervisorError.withoutStack(signature.errorOf(error))

  const traceOf = (options: CallOptions): CallTrace.CallTrace | undefined => {
    const fiber = Fiber.getCurrent()!
    const { span, tracer } = fiber.cache
    if (span === undefined && tracer === undefined) return undefined // nobody looks: nothing is made for it
    const session = options.session ?? defaults.session
    return CallTrace.begin(fiber, { pool, tool, session, tracing: entry.config().tracing, sampler: entry.sampler })
  }

  const submit = (
    roster: Roster.Roster,
    ticket: Roster.Ticket,
    options: CallOptions
  ): Submitted => {
    const id = ++roster.calls
    const fiber = Fiber.getCurrent()!
    const hostCall = HostCalls.running === 0 ? undefined : fiber.getRef(HostCalls.Current)
    const at = roster.clock.now()
    const deadline = millisOf(options.deadline) ?? usual.deadline
    roster.tickets.set(id, ticket)
    ticket.trace?.waits()
    Roster.offer(roster, {
      id,
      tool,
      agreement: signature.agreement,
      payload: ticket.payload,
      bytes: ticket.payload.byteLength,
      idempotent: signature.idempotent,
      deterministic: signature.deterministic,
      callTimeoutMillis: millisOf(options.callTimeout) ?? usual.callTimeout,
      hardLimitMillis: signature.hardLimitMillis,
      blocking: signature.blocking,
      session: options.session ?? defaults.session,
      tenant: options.tenant ?? defaults.tenant ?? "",
      deadline: deadline === undefined ? undefined : at + deadline,
      queueTimeoutMillis: millisOf(options.queueTimeout) ?? usual.queueTimeout,
      nested: hostCall && HostCalls.nest(hostCall, fiber, { roster, id }),
      at
    })
    if (hostCall !== undefined) CallCycles.lookAt(roster, id)
    return { id, roster }
  }

  const run = (feed: InputFeed.InputFeed, { id, roster }: Submitted) =>
    feed.run({
      encode: (element, position) => signature.encodeInput(element, position, roster.config.maxPayload),
      send: (payload) => Roster.input(roster, id, payload),
      end: (failure) => Roster.inputEnd(roster, id, failure)
    })

  /** The arguments of a call as they travel, or why it cannot be made. */
  const begin = (roster: Roster.Roster | undefined, input: unknown): Exit.Exit<Payload, CallError.CallError> =>
    roster === undefined ? Exit.fail(down()) : signature.encode(input)

  const feedOf = (input: unknown): InputFeed.InputFeed | undefined =>
    signature.input === undefined
      ? undefined
      : InputFeed.make((input as Record<string, Stream.Stream<unknown, unknown, unknown>>)[signature.input]!)

  const hasGuards = signature.breaker !== undefined || signature.rateLimit !== undefined

  /** Whether calls meet a breaker or a rate limit now. */
  const isGuarded = (roster: Roster.Roster): boolean => {
    if (hasGuards) return true
    const { breaker, rateLimit } = roster.config
    return breaker !== undefined || rateLimit !== undefined
  }

  const guardsOf = ({ config, state }: Roster.Roster, options: CallOptions): Guard.Settings => ({
    tool,
    pool: config,
    own: signature,
    patienceMillis: Math.min(
      millisOf(options.queueTimeout) ?? usual.queueTimeout ?? state.limits.queueTimeout,
      millisOf(options.deadline) ?? usual.deadline ?? Number.POSITIVE_INFINITY
    ),
    capacity: config.queue.capacity
  })

  /** What is left for a call that has waited for its guards. */
  const after = (waitedMillis: number, options: CallOptions): CallOptions => {
    const deadline = millisOf(options.deadline) ?? usual.deadline
    return waitedMillis === 0 || deadline === undefined ? options : { ...options, deadline: deadline - waitedMillis }
  }

  /** What guards refuse is told as what the pool itself refuses. */
  const refused = (error: CallError.CallError): CallError.CallError => {
    const roster = entry.roster.current
    if (roster !== undefined && (error._tag === "CircuitOpen" || error._tag === "RateLimited")) Roster.refused(roster, error)
    return error
  }

  /** A breaker sees the error as the pool has it, callers as their contract has it. */
  const unmapped = (): Signature => ({ ...signature, errorOf: (error) => error })

  const guarded = (
    roster: Roster.Roster,
    options: CallOptions,
    trace: CallTrace.CallTrace | undefined,
    run: (options: CallOptions) => Effect.Effect<unknown, unknown, unknown>
  ): Effect.Effect<unknown, unknown, unknown> =>
    entry.guard.around(guardsOf(roster, options), (waited) => run(after(waited, options))).pipe(
      (call) => trace === undefined ? call : Effect.onExit(call, (exit) => Effect.sync(() => trace.end(exit))), // refused, or given up while it waited for them
      Effect.mapError((error) => isCallError(error) ? errorOf(refused(error)) : error)
    )

  const call = (input: unknown, options: CallOptions = none): Effect.Effect<unknown, unknown> =>
    Effect.callback((resume) => {
      const roster = entry.roster.current
      const trace = traceOf(options)
      if (roster === undefined || !isGuarded(roster)) return begun(signature, input, options, { trace }, resume)
      const once = (left: CallOptions) => outcome(unmapped(), input, left, { trace })
      return resume(guarded(roster, options, trace, once) as Effect.Effect<unknown, unknown>)
    })

  /** With a stream of inputs. */
  const feedingCall = (input: unknown, options: CallOptions = none): Effect.Effect<unknown, unknown, unknown> =>
    Effect.suspend(() => {
      const roster = entry.roster.current
      const trace = traceOf(options)
      return roster === undefined || !isGuarded(roster)
        ? feeding(signature, input, options, trace)
        : guarded(roster, options, trace, (left) => feeding(unmapped(), input, left, trace))
    })

  const feeding = (
    by: Signature,
    input: unknown,
    options: CallOptions,
    trace: CallTrace.CallTrace | undefined
  ): Effect.Effect<unknown, unknown, unknown> => {
    const feed = feedOf(input)!
    let submitted: Submitted
    const given = outcome(by, input, options, {
      feed,
      trace,
      submitted: (call) => {
        submitted = call
      }
    })
    return Effect.raceFirst(given, Effect.suspend(() => run(feed, submitted)))
  }

  /** What becomes of one call. */
  const outcome = (by: Signature, input: unknown, options: CallOptions, beside: Beside): Effect.Effect<unknown, unknown> =>
    Effect.callback((resume) => begun(by, input, options, beside, resume))

  /** Makes the call; gives what cancels it. */
  const begun = (
    by: Signature,
    input: unknown,
    options: CallOptions,
    { feed, submitted, trace }: Beside,
    resume: (outcome: Effect.Effect<unknown, unknown>) => void
  ): Effect.Effect<void> | void => {
    const roster = entry.roster.current
    const payload = begin(roster, input)
    if (Exit.isFailure(payload)) {
      trace?.end(payload)
      return resume(payload)
    }
    const call = submit(roster!, new Caller(by, payload.value, feed, trace, resume), options)
    submitted?.(call)
    return Effect.sync(() => {
      trace?.end(Exit.interrupt())
      cancel(call)
    })
  }

  const stream = (input: unknown, options: CallOptions = none): Stream.Stream<unknown, unknown, unknown> =>
    Stream.unwrap(
      Effect.gen(function*() {
        const current = entry.roster.current
        const trace = traceOf(options)
        if (trace !== undefined) yield* Effect.addFinalizer((exit) => Effect.sync(() => trace.end(exit)))
        const guards = current !== undefined && isGuarded(current)
          ? yield* Effect.mapError(entry.guard.enter(guardsOf(current, options)), refused)
          : undefined
        const payload = yield* begin(entry.roster.current, input)
        const roster = entry.roster.current!
        const feed = feedOf(input)
        const elements = yield* Queue.unbounded<unknown, unknown>() // bounded by the credit
        const submitted = yield* Effect.acquireRelease(
          Effect.sync(() => {
            const submitted = submit(
              roster,
              {
                tool,
                payload,
                trace,
                retry: signature.retry,
                item: (element) => {
                  const decoded = signature.decode(element)
                  if (Exit.isSuccess(decoded)) return void Queue.offerUnsafe(elements, decoded.value)
                  Queue.failCauseUnsafe(elements, decoded.cause)
                  trace?.end(decoded)
                  cancel(submitted)
                },
                want: feed === undefined ? ignored : feed.want,
                complete: () => {
                  guards?.end(Exit.void)
                  trace?.end(feed?.failure === undefined ? Exit.void : Exit.failCause(feed.failure))
                  if (feed?.failure === undefined) Queue.endUnsafe(elements as never)
                  else Queue.failCauseUnsafe(elements, feed.failure)
                },
                fail: (error) => {
                  guards?.end(Exit.fail(error))
                  trace?.end(feed?.failure === undefined ? Exit.fail(error) : Exit.failCause(feed.failure))
                  Queue.failCauseUnsafe(elements, feed?.failure ?? Cause.fail(errorOf(error)))
                }
              },
              guards === undefined ? options : after(guards.waitedMillis, options)
            )
            return submitted
          }),
          (submitted) => Effect.sync(() => cancel(submitted))
        )
        if (feed !== undefined) yield* Effect.forkScoped(run(feed, submitted), { startImmediately: true })
        const batch = Math.max(1, roster.config.credit >> 1) // half the window: Python goes on while the other half is on its way
        let owed = 0
        let given = 0
        return Stream.fromPull(Effect.succeed(Effect.suspend(() => {
          owed += given // asking for more means that what was given is consumed
          given = 0
          if (owed >= batch) {
            Roster.credit(roster, submitted.id, owed)
            owed = 0
          }
          return Effect.tap(Queue.takeAll(elements), (chunk) =>
            Effect.sync(() => {
              given = chunk.length
            }))
        })))
      })
    )

  const method = signature.streams ? stream : signature.input === undefined ? call : feedingCall
  places.set(method, entry)
  return method
}

const ignored = (): void => {}

const isCallError = Schema.is(CallError.CallError)
