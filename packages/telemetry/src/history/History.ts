/**
 * What an application keeps of its supervision, so that it can be asked months later, and after a `kill -9`.
 *
 * ```text
 *  EventBus ─▶ buffer (bounded) ─▶ batch ─▶ store: one transaction ─▶ acknowledged
 *  emitters never wait             kept until it is durable: written again by the next generation, stored once
 * ```
 *
 * **When to use**
 *
 * `reader` answers questions about this run and all before it. `acknowledged` and `recorded` say what is durable: an event counts as recorded
 * when the store has said so, not before.
 *
 * **Details**
 *
 * The history is a child of the Telemetry supervisor. When its store fails, the child is restarted with backoff and goes on where it was; meanwhile
 * events wait in the buffer. When that is full the oldest go, since budgets are resumed from the newest; how many were lost is told by
 * `snakepit.history.gap`, which is recorded where they are missing. Events of calls have half of the buffer, so that failing calls cannot
 * push out why they fail. What is emitted after the child has stopped is written when the scope of {@link History.layer} closes.
 *
 * **Example** (Why did pools restart in the last hour?)
 *
 * ```ts
 * import { History } from "@snakepit/telemetry"
 * import { Clock, Effect, Stream } from "effect"
 *
 * const restarts = Effect.gen(function*() {
 *   const history = yield* History.History
 *   const since = (yield* Clock.currentTimeMillis) - 3_600_000
 *   const reader = yield* history.reader
 *   yield* reader.events({ name: "snakepit.pool_supervisor.restart", since }).pipe(
 *     Stream.runForEach(({ event }) => Effect.log(event.attributes["cause"]))
 *   )
 * })
 * ```
 */
import { Child, Event } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { EventBus } from "../EventBus.ts"
import * as TelemetryEvent from "../TelemetryEvent.ts"
import type { HistoryConfig } from "./HistoryConfig.ts"
import * as HistoryPlace from "./HistoryPlace.ts"
import { HistoryFailed, type HistoryReader, type Recorded } from "./HistoryReader.ts"
import type { Entry, HistoryStore, Start } from "./HistoryStore.ts"
import { recordable } from "./Recordable.ts"

/** Events that wait for the store. 10,000: some megabytes, and more than a storm of restarts tells while a store is replaced. */
const capacity = 10_000

/** Events in one transaction: one wait for the disk, and small enough that a reader beside it waits milliseconds. */
const batchSize = 500

/** How often what is too old or too much is looked for. */
const pruneMillis = 60_000

/** How long the end of an application waits for the last events to be durable. */
const endMillis = 5000

/** What is recorded of which run, and where. */
export interface Recording {
  readonly config: HistoryConfig
  readonly place: HistoryPlace.Some
  readonly start: Start
}

/** What lives as long as the application, whatever happens to the child that empties it. */
interface Memory {
  recording: Recording | undefined
  waiting: Array<Entry>
  /** What is being written: not acknowledged yet. */
  batch: ReadonlyArray<Entry>
  position: number
  dropped: number
  droppedTold: number
  recorded: number | undefined
  /** The store was found to be damaged: it is checked when it is opened next. */
  isDamaged: boolean
  endedInOrder: boolean
  readonly arrived: Latch.Latch
  readonly acknowledged: PubSub.PubSub<Recorded>
}

/** The history of an application. */
export class History extends Context.Service<History, {
  /** Records from now on, as the configuration says. Once, before the tree starts. */
  readonly record: (recording: Recording) => Effect.Effect<void>
  /** The run has come to its end in order: nothing died, nothing gave up. */
  readonly endsInOrder: Effect.Effect<void>
  /** The last `seq` of this run that is durable; `undefined` before the first. */
  readonly recorded: Effect.Effect<number | undefined>
  /** Each event of this run once it is durable, from the moment that the stream runs. One that reads too slowly misses the oldest. */
  readonly acknowledged: Stream.Stream<Recorded>
  /** Events that were lost because the store could not be written for too long. */
  readonly dropped: Effect.Effect<number>
  /** Reads what is recorded, of this run and of those before. Fails where nothing is recorded. */
  readonly reader: Effect.Effect<HistoryReader, HistoryFailed>
  readonly memory: Memory
}>()("@snakepit/telemetry/History") {
  /** The history, which begins to record when it is told what; {@link child} writes it. */
  static readonly layer: Layer.Layer<History, never, EventBus> = Layer.effect(
    History,
    Effect.gen(function*() {
      const bus = yield* EventBus
      const scope = yield* Effect.scope
      const memory: Memory = {
        recording: undefined,
        waiting: [],
        batch: [],
        position: 0,
        dropped: 0,
        droppedTold: 0,
        recorded: undefined,
        isDamaged: false,
        endedInOrder: false,
        arrived: Latch.makeUnsafe(false),
        acknowledged: yield* PubSub.sliding<Recorded>(capacity)
      }
      return {
        record: Effect.fnUntraced(function*(recording) {
          memory.recording = recording
          const isKept = recordable(recording.config.events)
          yield* Scope.addFinalizer(scope, finish(memory, recording))
          const keep = (event: Event.Event) => isKept(event.name) ? take(memory, event) : undefined
          yield* Scope.provide(bus.tap("*", keep, { name: "history" }), scope)
        }),
        endsInOrder: Effect.sync(() => void (memory.endedInOrder = true)),
        recorded: Effect.sync(() => memory.recorded),
        acknowledged: Stream.fromPubSub(memory.acknowledged),
        dropped: Effect.sync(() => memory.dropped),
        reader: Effect.suspend(() =>
          memory.recording === undefined
            ? Effect.fail(new HistoryFailed({ store: "this application", doing: "read", detail: "nothing is recorded here" }))
            : Effect.succeed(HistoryPlace.reader(memory.recording.place))
        ),
        memory
      }
    })
  )
}

const isOfCall = ({ name }: Event.Event): boolean => name.startsWith("snakepit.call.")

const take = (memory: Memory, event: Event.Event): void => {
  if (isOfCall(event) && memory.waiting.length >= capacity / 2) return void memory.dropped++
  memory.waiting.push({ position: memory.position++, event })
  if (memory.waiting.length > capacity) {
    memory.waiting.shift()
    memory.dropped++
  }
  memory.arrived.openUnsafe()
}

/** Writes one batch, if there is one. */
const writeBatch = Effect.fnUntraced(function*(memory: Memory, store: HistoryStore, run: string) {
  if (memory.batch.length === 0) memory.batch = memory.waiting.splice(0, batchSize)
  const { batch } = memory
  if (batch.length === 0) return
  const seqs = yield* store.append(run, batch)
  memory.batch = []
  memory.recorded = seqs.at(-1)
  batch.forEach(({ event }, index) => PubSub.publishUnsafe(memory.acknowledged, { seq: seqs[index]!, run, event }))
})

const tellGap = (memory: Memory) =>
  Effect.suspend(() => {
    const dropped = memory.dropped - memory.droppedTold
    memory.droppedTold = memory.dropped
    return dropped === 0 ? Effect.void : Event.emit(TelemetryEvent.history_gap, { dropped }, {})
  })

const opened = Effect.fnUntraced(function*(memory: Memory, { place, start }: Recording) {
  const began = yield* Clock.currentTimeMillis
  const store = yield* HistoryPlace.open(place, memory.isDamaged)
  memory.isDamaged = false
  yield* store.begin(start)
  const name = HistoryPlace.describe(place)
  if (store.setAside !== undefined) yield* Event.emit(TelemetryEvent.history_set_aside, {}, { store: name, aside: store.setAside })
  yield* Event.emit(TelemetryEvent.history_open, { tookMillis: (yield* Clock.currentTimeMillis) - began }, { store: name })
  return store
})

const life = (memory: Memory, recording: Recording) =>
  Effect.gen(function*() {
    const { config: { maxAge, maxBytes }, start: { id } } = recording
    const store = yield* opened(memory, recording)
    let prunedAt = 0
    for (;;) {
      yield* memory.arrived.await
      yield* memory.arrived.close
      while (memory.batch.length + memory.waiting.length > 0) {
        yield* writeBatch(memory, store, id)
        yield* tellGap(memory)
      }
      const now = yield* Clock.currentTimeMillis
      if (now - prunedAt < pruneMillis) continue
      // a step at a time: what arrives meanwhile is written first
      const dropped = yield* store.prune(id, { oldest: now - Duration.toMillis(maxAge), maxBytes })
      if (dropped === 0) prunedAt = now
      else memory.arrived.openUnsafe()
    }
  }).pipe(
    Effect.scoped,
    Effect.tapError((failed) =>
      Effect.sync(() => {
        memory.isDamaged = failed.damaged === true
      })
    )
  )

/** What is left when the tree has ended: its own last events, and that it ended. */
const finish = (memory: Memory, recording: Recording): Effect.Effect<void> =>
  Effect.gen(function*() {
    const store = yield* opened(memory, recording)
    while (memory.batch.length + memory.waiting.length > 0) yield* writeBatch(memory, store, recording.start.id)
    if (memory.endedInOrder) yield* store.end(recording.start.id, yield* Clock.currentTimeMillis)
  }).pipe(
    Effect.scoped,
    Effect.timeout(endMillis),
    Effect.catch((error) =>
      Effect.logWarning(
        `the end of this run is not in the history, nor are its last ${
          memory.batch.length + memory.waiting.length
        } events: ${error.message}`
      )
    )
  )

/** The child that writes what waits. Where nothing is recorded it has nothing to do. */
export const child = Child.make("history", {
  start: Effect.map(History, ({ memory }) => memory.recording === undefined ? Child.ignore : life(memory, memory.recording))
})
