/**
 * A clock and a scheduler of a simulation's own: time passes when told to, and what runs runs to its end, in one fixed order.
 *
 * Unlike `TestClock`, which needs a fiber to drive it, it is driven from outside of Effect, one call a step, without a turn of the event
 * loop: a generated case costs microseconds.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"

interface Timer {
  readonly at: number
  readonly resume: () => void
}

/** Tasks at one instant before a simulation is taken to be a loop in which no time passes. */
const TASKS_AT_ONE_INSTANT = 5_000_000

export class VirtualTime {
  now = 0
  /** The clock and the scheduler, for the context of what is simulated. */
  readonly context: Context.Context<never>
  private tasks: Array<() => void> = []
  private next = 0
  /** Latest first, so that `pop` takes the earliest; equal ones in the order of their registration. */
  private readonly timers: Array<Timer> = []

  constructor() {
    this.context = Context.empty().pipe(
      Context.add(Clock.Clock, this.clock()),
      Context.add(Scheduler.Scheduler, this.scheduler()),
      Context.add(Scheduler.PreventSchedulerYield, true)
    ) as Context.Context<never>
  }

  /** When the next timer is due. */
  get nextTimer(): number | undefined {
    return this.timers.at(-1)?.at
  }

  /** Runs what can run now. */
  flush(): void {
    let ran = 0
    while (this.next < this.tasks.length) {
      const task = this.tasks[this.next++]!
      if (this.next === this.tasks.length) {
        this.tasks = []
        this.next = 0
      }
      if (++ran > TASKS_AT_ONE_INSTANT) {
        throw new Error(
          `the simulation does not get past ${this.now} ms: something restarts for ever without a delay. ` +
            "Give its restart policy an intensity or a delay above 0"
        )
      }
      task()
    }
  }

  /** Lets time pass to `at`, firing each timer at its own time. */
  advanceTo(at: number): void {
    this.flush()
    for (let timer = this.timers.at(-1); timer !== undefined && timer.at <= at; timer = this.timers.at(-1)) {
      this.timers.pop()
      this.now = timer.at
      timer.resume()
      this.flush()
    }
    this.now = Math.max(this.now, at)
  }

  private scheduler(): Scheduler.Scheduler {
    const dispatcher: Scheduler.SchedulerDispatcher = {
      scheduleTask: (task) => void this.tasks.push(task),
      flush: () => this.flush()
    }
    return { executionMode: "async", shouldYield: () => false, makeDispatcher: () => dispatcher }
  }

  private clock(): Clock.Clock {
    const millis = () => this.now
    const nanos = () => BigInt(Math.round(this.now * 1e6))
    return {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: (duration) => this.sleep(Duration.toMillis(duration))
    }
  }

  private sleep(millis: number): Effect.Effect<void> {
    if (millis <= 0) return Effect.void
    return Effect.callback((resume) => {
      const timer: Timer = { at: this.now + millis, resume: () => resume(Effect.void) }
      let index = this.timers.length
      while (index > 0 && this.timers[index - 1]!.at <= timer.at) index--
      this.timers.splice(index, 0, timer)
      return Effect.sync(() => {
        const at = this.timers.indexOf(timer)
        if (at !== -1) this.timers.splice(at, 1)
      })
    })
  }
}
