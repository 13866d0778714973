/** Children that crash when they are told to, and a supervisor of them. */
import { Child, Event, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import type { Semantics } from "@snakepit/core"
import { Effect, Schedule } from "effect"
import type { Scope } from "effect"

const events = SupervisorEvent.of("bench_supervisor", "control")

/** What telemetry would do at least: it receives every event and keeps the last thousand. */
const sink = (): Event.EventSink => {
  const kept: Array<Event.Event> = []
  let total = 0
  return { emit: (event) => void (kept[total++ & 1023] = event) }
}

/** Many children that crash. */
export interface Crashing {
  /** Makes the child crash; its restart is over when this returns, unless it takes time. */
  readonly crash: (child: number) => void
  /** How many lives have begun. */
  readonly ups: () => number
  /** Starts them, so many under each supervisor. */
  readonly start: Effect.Effect<void, unknown, Scope.Scope>
}

/** A budget that is never spent, no delay, as Erlang's: what is measured is the supervisor alone. */
const policy = RestartPolicy.make({ intensity: { maxRestarts: 1_000_000_000, within: "1 second" }, delay: Schedule.spaced(0) })

export const make = (supervisors: number, children: number, semantics: Semantics.Semantics): Crashing => {
  const boom = Effect.fail("boom")
  const crash: Array<() => void> = []
  let ups = 0
  const child = (index: number, id: string) => {
    const life = Effect.callback<never, string>((resume) => {
      crash[index] = () => resume(boom)
      ups++
    })
    return Child.make(id, { start: Effect.succeed(life) })
  }
  const supervisor = (index: number) =>
    Supervisor.make(`s${index}`, {
      plane: "control",
      strategy: "one_for_one",
      semantics,
      restart: policy,
      because: "it is measured",
      limitBecause: "it is measured",
      events,
      children: Array.from({ length: children }, (_, n) => child(index * children + n, `c${n}`))
    })
  return {
    crash: (index) => crash[index]!(),
    ups: () => ups,
    start: Effect.forEach(Array.from({ length: supervisors }, (_, index) => supervisor(index)), (made) => Supervisor.start(made), {
      discard: true
    }).pipe(Effect.provideService(Event.EventSink, sink()))
  }
}
