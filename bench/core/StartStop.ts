/** Starting and stopping 10,000 children, against bare fibers in scopes that acquire and run the same. */
import { Child, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { Effect, Exit, Fiber, Scope } from "effect"
import { divide, measurement } from "../Bench.ts"
import * as Goal from "../Goal.ts"

const many = 10_000
const times = 5 // a round: once takes too little time to tell
const life = Effect.never
const release = Effect.void
const start = Effect.as(Effect.addFinalizer(() => release), life)

const tree = Supervisor.make("many", {
  plane: "control",
  strategy: "one_for_one",
  restart: RestartPolicy.make({ intensity: { maxRestarts: 1, within: "1 second" } }),
  because: "it is measured",
  limitBecause: "it is measured",
  events: SupervisorEvent.of("bench_supervisor", "control"),
  children: Array.from({ length: many }, (_, index) => Child.make(`c${index}`, { start }))
})

/** What stops what was started. */
type Stop = Effect.Effect<void>

const startChildren: Effect.Effect<Stop> = Effect.gen(function*() {
  const scope = yield* Scope.make()
  yield* Scope.provide(Supervisor.start(tree), scope)
  return Scope.close(scope, Exit.void)
}) as Effect.Effect<Stop>

/** Not `forkIn`: interrupting the fiber and closing the scope by hand is the cheapest way there is, and four times as fast at the stop. */
const startFibers: Effect.Effect<Stop> = Effect.gen(function*() {
  const started: Array<readonly [Scope.Closeable, Fiber.Fiber<never>]> = []
  for (let n = 0; n < many; n++) {
    const scope = yield* Scope.make()
    yield* Scope.addFinalizer(scope, release)
    started.push([scope, yield* Effect.forkDetach(life, { startImmediately: true })])
  }
  return Effect.forEach(started, ([scope, fiber]) => Effect.andThen(Fiber.interrupt(fiber), Scope.close(scope, Exit.void)), {
    discard: true
  })
})

const time = (start: Effect.Effect<Stop>): Promise<{ readonly start: number; readonly stop: number }> =>
  Effect.runPromise(Effect.gen(function*() {
    const took = { start: 0, stop: 0 }
    for (let n = 0; n < times; n++) {
      const begun = performance.now()
      const stop = yield* start
      const started = performance.now()
      yield* stop
      took.start += (started - begun) / times
      took.stop += (performance.now() - started) / times
    }
    return took
  }))

export const startStop = measurement({
  figures: {
    "start.children": { unit: "ms", what: `start ${many} children` },
    "start.fibers": { unit: "ms", what: `start ${many} bare fibers in scopes` },
    "stop.children": { unit: "ms", what: `stop ${many} children` },
    "stop.fibers": { unit: "ms", what: `stop ${many} bare fibers in scopes` }
  },
  sides: [
    async () => {
      const { start, stop } = await time(startChildren)
      return { "start.children": start, "stop.children": stop }
    },
    async () => {
      const { start, stop } = await time(startFibers)
      return { "start.fibers": start, "stop.fibers": stop }
    }
  ],
  ratios: {
    "core.start.vs_fibers": {
      of: (round) => divide(round["start.children"], round["start.fibers"]),
      goal: Goal.atMost({ must: 6, aim: 3 })
    },
    "core.stop.vs_fibers": { of: (round) => divide(round["stop.children"], round["stop.fibers"]), goal: Goal.atMost({ must: 6, aim: 3 }) }
  }
})
