/**
 * A child that does what the test says, when it says it, and writes down what happens to it.
 *
 * **When to use**
 *
 * To test a supervision tree without the real children: crash one, let it end, make its starts fail or take time, make it hang while it
 * stops; then read in the journal who started and stopped, in which order and when.
 *
 * **Details**
 *
 * A scripted child is a child: put it into `children` as it is. Its typed error is {@link ScriptedError}. What it is told concerns the
 * generation that runs, or the starts still to come. The journal is shared between the children of a test, and times are those of the
 * clock in the context, so `TestClock` rules them.
 *
 * **Gotchas**
 *
 * To make a child end that is not running is a mistake in the test: it dies with a message that says so.
 *
 * **Example** (A crash takes along what was started after it)
 *
 * ```ts
 * import { RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
 * import { ScriptedChild } from "@snakepit/core/testing"
 * import { Effect, Schedule } from "effect"
 *
 * const test = Effect.gen(function*() {
 *   const journal = ScriptedChild.journal()
 *   const db = ScriptedChild.make("db", { journal })
 *   const cache = ScriptedChild.make("cache", { journal })
 *   yield* Supervisor.start(Supervisor.make("app", {
 *     plane: "control",
 *     strategy: "rest_for_one",
 *     restart: RestartPolicy.make({ intensity: { maxRestarts: 1, within: "1 second" }, delay: Schedule.spaced(0) }),
 *     because: "the cache holds rows of the database",
 *     limitBecause: "one restart is enough to show what it takes along",
 *     events: SupervisorEvent.of("app_supervisor", "root"),
 *     children: [db, cache]
 *   }))
 *   yield* db.fail("disk full")
 *   yield* db.awaitUp(1)
 *   ScriptedChild.lines(journal, "up", "down") // => ["db up", "cache up", "db down", "cache down", "db up"]
 * })
 * ```
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Child from "../Child.ts"
import type { Plane } from "../Contract.ts"
import type { Defect, Ended, Origin } from "../SupervisorError.ts"

/** What a scripted child fails with. */
export class ScriptedError extends Data.TaggedError("ScriptedError")<{ readonly child: string; readonly reason: string }> {
  override get message(): string {
    return `${this.child}: ${this.reason}`
  }
}

/** A moment of a generation: its start begins, is acknowledged or fails; its release begins, is over. */
export type Moment = "starting" | "up" | "refused" | "stopping" | "down"

/** One line of a {@link Journal}. `at` is the clock's time in milliseconds. */
export interface Entry {
  readonly at: number
  readonly child: string
  readonly generation: number
  readonly moment: Moment
}

/** What happened to the children of one test, in order. */
export interface Journal {
  readonly entries: Array<Entry>
}

/** An empty journal. */
export const journal = (): Journal => ({ entries: [] })

/** The journal as lines `"<child> <moment>"`, only of the given moments when there are any. */
export const lines = (journal: Journal, ...moments: ReadonlyArray<Moment>): ReadonlyArray<string> =>
  journal.entries.filter(({ moment }) => moments.length === 0 || moments.includes(moment)).map(({ child, moment }) => `${child} ${moment}`)

/** {@link lines} written since the last call, which empties the journal. */
export const takeLines = (journal: Journal, ...moments: ReadonlyArray<Moment>): ReadonlyArray<string> => {
  const taken = lines(journal, ...moments)
  journal.entries.length = 0
  return taken
}

/** How long a stop takes: a duration, or `"forever"` for a finalizer that hangs. */
export type StopTime = Duration.Input | "forever"

/** What {@link make} takes, besides what `Child.make` takes. */
export interface Options extends Omit<Child.Options, "start"> {
  /** Where to write; a journal of its own by default. */
  readonly journal?: Journal | undefined
  /** How long each start takes; no time by default. */
  readonly startTakes?: Duration.Input | undefined
  /** How long each stop takes; no time by default. */
  readonly stopTakes?: StopTime | undefined
}

type PlaneOf<O> = O extends { readonly plane: infer P extends Plane } ? P : never
type EndedOf<O> = O extends { readonly restart: "transient" } ? never : Ended
type LifeOf<Id extends string, O> = O extends { readonly restart: "temporary" } ? never
  : Origin<Id, ScriptedError | Defect | EndedOf<O>>

/** A child, and what it can be told. */
export interface ScriptedChild<out Id extends string, out L, out P extends Plane, out Sig extends boolean>
  extends Child.Child<Id, Origin<Id, ScriptedError>, L, never, P, Sig>
{
  readonly journal: Journal
  /** How often it was started, refused starts included. */
  readonly starts: () => number
  /** The generation that is up, as its supervisor counts it; `undefined` when none is. */
  readonly generation: () => number | undefined
  /** Ends its life with a {@link ScriptedError}. */
  readonly fail: (reason?: string) => Effect.Effect<void>
  /** Ends its life normally. */
  readonly end: Effect.Effect<void>
  /** Ends its life with something that it does not declare. */
  readonly die: (defect: unknown) => Effect.Effect<void>
  /** Ends its life by interrupting itself, which is a clean shutdown. */
  readonly interrupt: Effect.Effect<void>
  /** Refuses the next `count` starts with a {@link ScriptedError}. */
  readonly failNextStarts: (count: number, reason?: string) => Effect.Effect<void>
  /** From now on a start takes this long. */
  readonly setStartTakes: (time: Duration.Input) => Effect.Effect<void>
  /** From now on a stop takes this long. */
  readonly setStopTakes: (time: StopTime) => Effect.Effect<void>
  /** Returns when a generation of at least this number is up. */
  readonly awaitUp: (generation: number) => Effect.Effect<void>
}

/** Any scripted child. */
export type Any = ScriptedChild<string, unknown, Plane, boolean>

interface Running {
  readonly generation: number
  readonly life: Deferred.Deferred<void, ScriptedError>
}

/** Makes a scripted child. */
export const make = <const Id extends string, const O extends Options = {}>(
  id: Id,
  options?: O
): ScriptedChild<Id, LifeOf<Id, O>, PlaneOf<O>, O extends { readonly significant: true } ? true : false> => {
  const { journal: given, startTakes, stopTakes, ...facts }: Options = options ?? {}
  const written = given ?? journal()
  const waiting = new Set<{ readonly generation: number; readonly up: Deferred.Deferred<void> }>()
  let running: Running | undefined
  let starts = 0
  let refusals = { left: 0, reason: "" }
  let startTime: Duration.Input = startTakes ?? 0
  let stopTime: StopTime = stopTakes ?? 0

  const write = (generation: number, moment: Moment) =>
    Effect.map(Clock.currentTimeMillis, (at) => void written.entries.push({ at, child: id, generation, moment }))

  const release = Effect.fnUntraced(function*(generation: number) {
    if (running?.generation === generation) running = undefined
    yield* write(generation, "stopping")
    if (stopTime === "forever") return yield* Effect.never
    if (!isNothing(stopTime)) yield* Effect.sleep(stopTime)
    yield* write(generation, "down")
  })

  const start: Effect.Effect<Effect.Effect<void, ScriptedError>, ScriptedError, Child.CurrentChild | Scope.Scope> = Effect.gen(
    function*() {
      const { generation } = yield* Child.CurrentChild
      let refused = false
      starts++
      yield* Effect.acquireRelease(write(generation, "starting"), () => refused ? Effect.void : release(generation))
      if (!isNothing(startTime)) yield* Effect.sleep(startTime)
      if (refusals.left > 0) {
        refusals.left--
        refused = true
        yield* write(generation, "refused")
        return yield* new ScriptedError({ child: id, reason: refusals.reason })
      }
      const life = yield* Deferred.make<void, ScriptedError>()
      running = { generation, life }
      yield* write(generation, "up")
      for (const waiter of waiting) {
        if (waiter.generation > generation) continue
        waiting.delete(waiter)
        yield* Deferred.succeed(waiter.up, undefined)
      }
      return Deferred.await(life)
    }
  )

  const ending = (what: string, end: (life: Running["life"]) => Effect.Effect<boolean>) =>
    Effect.suspend(() =>
      running === undefined
        ? Effect.die(new Error(`the scripted child "${id}" cannot ${what}: it is not running. Await its start before the line that fails`))
        : Effect.asVoid(end(running.life))
    )

  return {
    ...Child.makeUnchecked(id, { ...facts, start }, undefined) as Child.Child<Id, any, any, never, any, any>,
    journal: written,
    starts: () => starts,
    generation: () => running?.generation,
    fail: (reason = "failed") => ending("fail", (life) => Deferred.fail(life, new ScriptedError({ child: id, reason }))),
    end: ending("end", (life) => Deferred.succeed(life, undefined)),
    die: (defect) => ending("die", (life) => Deferred.die(life, defect)),
    interrupt: ending("interrupt itself", (life) => Deferred.interrupt(life)),
    failNextStarts: (left, reason = "would not start") =>
      Effect.sync(() => {
        refusals = { left, reason }
      }),
    setStartTakes: (time) =>
      Effect.sync(() => {
        startTime = time
      }),
    setStopTakes: (time) =>
      Effect.sync(() => {
        stopTime = time
      }),
    awaitUp: (generation) =>
      Effect.suspend(() => {
        if (running !== undefined && running.generation >= generation) return Effect.void
        return Effect.flatMap(Deferred.make<void>(), (up) => {
          waiting.add({ generation, up })
          return Deferred.await(up)
        })
      })
  }
}

const isNothing = (time: Duration.Input): boolean => Duration.isZero(Duration.fromInputUnsafe(time))
