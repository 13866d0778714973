/** The series of supervisors: counted from the events on the bus, and read from the tree when somebody collects. */
import { Instrument, MonotonicClock, type Tree } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { EventBus } from "../EventBus.ts"
import * as SupervisorFold from "./SupervisorFold.ts"
import * as SupervisorMetrics from "./SupervisorMetrics.ts"
import * as TreeReading from "./TreeReading.ts"

/** 1 s: one look at the tree serves one collection. */
const keptMillis = 1000

/** What {@link make} gives. */
export interface SupervisorSeries {
  /** The tree is up: what it shows is to be read like this. */
  readonly show: (tree: () => Tree.SupervisorNode) => void
}

/** Listens from now on, until the scope closes. */
export const make: Effect.Effect<SupervisorSeries, never, EventBus | Scope.Scope> = Effect.gen(function*() {
  const bus = yield* EventBus
  const context = yield* Effect.context<never>()
  const clock = new MonotonicClock.MonotonicClock(yield* Clock.Clock)
  const state = SupervisorFold.make()
  const ofKinds = yield* Instrument.series
  const series = new Map<SupervisorFold.Decided, Instrument.Series>()
  let look: (() => Tree.SupervisorNode) | undefined
  let reading: TreeReading.Reading | undefined
  let readAt = 0

  const read = (): TreeReading.Reading | undefined => {
    const now = clock.now()
    if (look === undefined || (reading !== undefined && now - readAt < keptMillis)) return reading
    readAt = now
    return reading = TreeReading.of(look())
  }
  const begin = (decided: SupervisorFold.Decided) => {
    const { pool, restarts, supervisor } = decided
    const own = new Instrument.Series(context)
    series.set(decided, own)
    for (const reason of SupervisorMetrics.reasons) {
      own.add(SupervisorMetrics.restarts, { supervisor, pool, reason }, () => restarts[reason])
    }
    own.add(SupervisorMetrics.giveUps, { supervisor, pool }, () => decided.giveUps)
    const key = SupervisorMetrics.keyOf(supervisor, pool)
    own.add(
      SupervisorMetrics.budgetLeft,
      { supervisor, pool },
      () => Math.min(read()?.budgets.get(key) ?? 1, SupervisorFold.leastLeft(decided, clock.now()))
    )
  }
  const end = (decided: SupervisorFold.Decided) => {
    series.get(decided)?.end()
    series.delete(decided)
  }

  for (const supervisor of SupervisorMetrics.kinds) {
    for (const state of SupervisorMetrics.childStates) {
      ofKinds.add(SupervisorMetrics.children, { supervisor, state }, () => read()?.children.get(supervisor)?.[state] ?? 0)
    }
  }
  yield* Effect.addFinalizer(() => Effect.sync(() => [...series.keys()].forEach(end)))
  yield* bus.tap("snakepit.*_supervisor.*", (event) => {
    const { begun, over } = SupervisorFold.take(state, event, clock.now())
    begun.forEach(begin)
    over.forEach(end)
  }, { name: "metrics of supervisors" })
  return {
    show: (tree) => {
      look = tree
    }
  }
})
