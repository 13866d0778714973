/**
 * The circuit breakers and rate limits of one pool and its tools, by Effect's own modules. They stand before the pool: what they refuse was never offered
 * to it.
 *
 * ```text
 *  call ─▶ breaker of the pool ─▶ of the tool ─▶ limit of the tool ─▶ of the pool ─▶ the pool
 *              CircuitOpen                           RateLimited
 * ```
 *
 * **Details**
 *
 * Their state is in memory, and outlives the pool's Roster. Settings are read when a call is made, so that they may change while calls run: breakers are made for
 * each settings that there are, over one store.
 *
 * What a breaker takes for a failure: the worker crashed, the outcome is not known, the call took longer than it may, and those exceptions of Python that are
 * listed. Any other exception is an answer, and counts as success. What the caller did (arguments, deadline, interruption) and what the pool's load did
 * (`QueueFull`, `QueueTimeout`) counts as neither: refusing calls cures none of them.
 *
 * `RateLimiter` itself lets a call wait by taking its token in advance, and a call that gives up keeps it. Under lasting overload that debt grows
 * without bound, until no call is served within its time. So here it only refuses (`onExceeded: "fail"`). Who waits does so in a line, first come, first
 * served, and takes a token when there is one; who would have to wait longer than it can is refused at once, so that the line is never full of calls
 * that are out of time when their turn comes.
 */
import { Event, SupervisorError } from "@snakepit/core"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as CallError from "./CallError.ts"
import type * as PoolConfig from "./PoolConfig.ts"
import * as PoolEvent from "./PoolEvent.ts"

/** What guards one call, as it is set now. */
export interface Settings {
  readonly tool: string
  readonly pool: Pick<PoolConfig.PoolConfig, "breaker" | "rateLimit">
  readonly own: { readonly breaker: PoolConfig.Breaker | undefined; readonly rateLimit: PoolConfig.RateLimit | undefined }
  /** How long the call may wait for its rate limits, and how many may. */
  readonly patienceMillis: number
  readonly capacity: number
}

type Whose = "pool" | "tool"

interface Line {
  readonly turn: Semaphore.Semaphore
  waiting: number
}

const stores = Layer.build(Layer.mergeAll(CircuitBreaker.layerStoreMemory(), RateLimiter.layerStoreMemory))

export class Guard {
  private readonly pool: string
  private readonly store: CircuitBreaker.CircuitBreakerStore["Service"]
  private readonly limiter: RateLimiter.RateLimiter
  private readonly breakers = new WeakMap<PoolConfig.Breaker, CircuitBreaker.CircuitBreaker>()
  private readonly lines = new Map<string, Line>()
  private readonly openKeys = new Set<string>()
  private readonly emit: (event: Event.Event) => void

  constructor(pool: string, emit: (event: Event.Event) => void) {
    const context = Effect.runSync(Effect.scoped(stores)) // they hold maps, and nothing that a scope would release
    this.pool = pool
    this.emit = emit
    this.store = this.telling(Context.get(context, CircuitBreaker.CircuitBreakerStore))
    this.limiter = Effect.runSync(Effect.provide(RateLimiter.make, context))
  }

  /** Breakers that refuse calls, or have one find out. */
  get open(): number {
    return this.openKeys.size
  }

  /** The call within its guards; `call` is given the milliseconds that it has waited for them. */
  around<A, E, R>(
    settings: Settings,
    call: (waitedMillis: number) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | CallError.CallError, R> {
    const { own, pool, tool } = settings
    const limited = Effect.gen({ self: this }, function*() {
      const began = yield* Clock.currentTimeMillis
      yield* this.limit("tool", own.rateLimit, settings, settings.patienceMillis)
      const between = (yield* Clock.currentTimeMillis) - began
      yield* this.limit("pool", pool.rateLimit, settings, settings.patienceMillis - between)
      return yield* call((yield* Clock.currentTimeMillis) - began)
    })
    return this.break("pool", pool.breaker, tool, this.break("tool", own.breaker, tool, limited))
  }

  /** The same for what is no effect: succeeds when it may begin, with what is to hear how it ends before the scope closes. */
  readonly enter = (
    settings: Settings
  ): Effect.Effect<
    { readonly waitedMillis: number; readonly end: (exit: Exit.Exit<void, CallError.CallError>) => void },
    CallError.CallError,
    Scope.Scope
  > =>
    Effect.gen({ self: this }, function*() {
      const admitted = yield* Deferred.make<number, CallError.CallError>()
      const ended = yield* Deferred.make<void, CallError.CallError>()
      const call = (waitedMillis: number) => Effect.andThen(Deferred.succeed(admitted, waitedMillis), Deferred.await(ended))
      yield* this.around(settings, call).pipe(
        Effect.catch((error) => Deferred.fail(admitted, error)),
        Effect.forkScoped({ startImmediately: true })
      )
      return { waitedMillis: yield* Deferred.await(admitted), end: (exit) => Deferred.doneUnsafe(ended, exit) }
    })

  private break<A, E, R>(
    of: Whose,
    settings: PoolConfig.Breaker | undefined,
    tool: string,
    call: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | CallError.CallError, R> {
    if (settings === undefined) return call
    const { pool } = this
    return Effect.mapError(
      this.breaker(settings).execute(call, { key: keyOf(of, tool), classify: (exit) => outcomeOf(exit, settings.failures) }),
      (error) => {
        if (!(error instanceof CircuitBreaker.CircuitBreakerError)) return error
        const retryAfterMillis = error.reason._tag === "CircuitOpen" ? Duration.toMillis(error.reason.retryAfter) : 0
        return SupervisorError.withoutStack(new CallError.CircuitOpen({ pool, tool, executed: "no", of, retryAfterMillis }))
      }
    )
  }

  private breaker(settings: PoolConfig.Breaker): CircuitBreaker.CircuitBreaker {
    const present = this.breakers.get(settings)
    if (present !== undefined) return present
    const made = Effect.runSync(
      CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(settings.after),
        openDuration: Schedule.min([Schedule.exponential(settings.openFor), Schedule.spaced(settings.maxOpenFor)])
      }).pipe(
        Effect.provideService(CircuitBreaker.CircuitBreakerStore, this.store),
        Effect.provideService(Scope.Scope, Scope.makeUnsafe()) // it ends a stream of transitions that nobody has
      )
    )
    this.breakers.set(settings, made)
    return made
  }

  /** A breaker tells its transitions to a stream; here they are told as they are made. */
  private telling(store: CircuitBreaker.CircuitBreakerStore["Service"]): CircuitBreaker.CircuitBreakerStore["Service"] {
    const tell = (transition: CircuitBreaker.Transition | undefined) =>
      transition === undefined ? Effect.void : Effect.map(Clock.currentTimeMillis, (at) => {
        if (transition.to === "Closed") this.openKeys.delete(transition.key)
        else this.openKeys.add(transition.key)
        this.emit(this.event(transition, at))
      })
    return {
      admit: (key) => Effect.tap(store.admit(key), ({ transition }) => tell(transition)),
      record: (outcome) => Effect.tap(store.record(outcome), tell),
      state: store.state
    }
  }

  private event(transition: CircuitBreaker.Transition, at: number): Event.Event {
    const about = { pool: this.pool, tool: toolOf(transition.key) }
    switch (transition.to) {
      case "Open": {
        const { consecutiveOpenings: openings, retryAfter } = transition
        return Event.make(PoolEvent.circuit_open, at, { forMillis: Duration.toMillis(retryAfter), openings }, about)
      }
      case "HalfOpen":
        return Event.make(PoolEvent.circuit_probe, at, {}, about)
      case "Closed":
        return Event.make(PoolEvent.circuit_close, at, {}, about)
    }
  }

  /** Takes a token, or waits for one. */
  private limit(
    of: Whose,
    settings: PoolConfig.RateLimit | undefined,
    { capacity, tool }: Settings,
    patienceMillis: number
  ): Effect.Effect<void, CallError.RateLimited> {
    if (settings === undefined) return Effect.void
    const { pool } = this
    const { beyond, calls, per } = settings
    const key = keyOf(of, tool)
    const perMillis = Duration.toMillis(per)
    const limited = (retryAfterMillis: number) =>
      SupervisorError.withoutStack(
        new CallError.RateLimited({ pool, tool, executed: "no", of, limit: calls, perMillis, retryAfterMillis })
      )
    /** Milliseconds until there is a token; 0: it is taken. */
    const take = this.limiter.consume({ key, algorithm: "token-bucket", onExceeded: "fail", window: per, limit: calls }).pipe(
      Effect.match({
        onSuccess: () => 0,
        onFailure: ({ reason }) => reason._tag === "RateLimitExceeded" ? Duration.toMillis(reason.retryAfter) : 0 // memory does not fail
      })
    )
    const refusedUnlessTaken = Effect.flatMap(take, (millis) => millis === 0 ? Effect.void : Effect.fail(limited(millis)))
    if (beyond === "fail") return refusedUnlessTaken
    const line = this.line(key)
    const interval = perMillis / calls
    const taken: Effect.Effect<void> = Effect.flatMap(
      take,
      (millis) => millis === 0 ? Effect.void : Effect.andThen(Effect.sleep(millis), taken)
    )
    const wait = Effect.suspend(() => {
      const expected = (line.waiting + 1) * interval
      if (line.waiting >= capacity || expected >= patienceMillis) return Effect.fail(limited(expected))
      line.waiting++
      return Semaphore.withPermit(line.turn, taken).pipe(
        Effect.timeoutOrElse({ duration: patienceMillis, orElse: () => Effect.fail(limited(interval)) }),
        Effect.ensuring(Effect.sync(() => line.waiting--))
      )
    })
    return Effect.suspend(() => line.waiting > 0 ? wait : Effect.catch(refusedUnlessTaken, () => wait))
  }

  private line(key: string): Line {
    const present = this.lines.get(key)
    if (present !== undefined) return present
    const made: Line = { turn: Semaphore.makeUnsafe(1), waiting: 0 }
    this.lines.set(key, made)
    return made
  }
}

const keyOf = (of: Whose, tool: string): string => of === "pool" ? "pool" : `tool ${tool}`

const toolOf = (key: string): string | undefined => key === "pool" ? undefined : key.slice("tool ".length)

const isCallError = Schema.is(CallError.CallError)

/** What a call's end says of the pool's health; `listed` are the exceptions that are failures. */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>, listed: ReadonlyArray<string>): CircuitBreaker.Outcome => {
  if (Exit.isSuccess(exit)) return CircuitBreaker.success
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  if (!isCallError(error)) return CircuitBreaker.ignored
  switch (error._tag) {
    case "WorkerCrashed":
    case "OutcomeUnknown":
    case "CallTimeout":
      return CircuitBreaker.failure()
    case "CallPoisoned":
      return error.executed === "unknown" ? CircuitBreaker.failure() : CircuitBreaker.ignored
    case "PythonError":
      return [error.exception.type, ...error.exception.bases].some((name) => listed.includes(name))
        ? CircuitBreaker.failure()
        : CircuitBreaker.success
    default:
      return CircuitBreaker.ignored
  }
}
