/**
 * When a running supervisor gives up if every restart from now on fails at once: to the millisecond, or never.
 *
 * **When to use**
 *
 * To tell an operator how long there is to mend something (`handle.giveUpAt(path)`), or an alert how urgent it is.
 *
 * **Details**
 *
 * It asks the supervisor's own machine: {@link of} copies its state and lets the copy run ahead. Every restart that is under way fails,
 * every delay is the policy's, with the memory that its schedule has of the restarts so far. When nothing is being restarted, a child is
 * taken to crash now; of all children the one that leads to the earliest end is told.
 *
 * Children are taken to stop at once, and nobody else to crash. A delay with chance in it (`Schedule.jittered`) gives an earliest and a
 * latest time. `Never` means: not within 300 restarts more than the limit.
 *
 * **Gotchas**
 *
 * A delay schedule is stepped, so effects in it run. Its future steps are given an assumed failure as the child's exit. One that does not
 * answer at once, or whose past is longer than what is kept of it, gives `Unknown`.
 *
 * **Example** (How long there is)
 *
 * ```ts
 * import { GiveUpAt, Supervisor } from "@snakepit/core"
 * import { Clock, Effect } from "effect"
 *
 * declare const running: Supervisor.Running<never>
 *
 * const howLong = Effect.zipWith(running.giveUpAt("app"), Clock.currentTimeMillis, (answer, now) => GiveUpAt.render(answer, now))
 * ```
 *
 * @see {@link ./Preview.ts} for the same before the tree runs.
 */
import * as Data from "effect/Data"
import * as Delays from "./internal/delays.ts"
import type * as RestartPolicy from "./RestartPolicy.ts"
import * as RestartType from "./RestartType.ts"
import { transition } from "./SupervisorMachine.ts"
import { type ChildState, type Command, Event, type Outcome, snapshot, type SupervisorState } from "./SupervisorState.ts"
import { describeOutcome } from "./Why.ts"

/** The answer. Times are milliseconds of the supervisor's clock. */
export type GiveUpAt = Data.TaggedEnum<{
  /** Without chance `earliest` and `latest` are the same; `latest` is `Infinity` when long delays would let the window drain. */
  GivesUp: {
    readonly earliest: number
    readonly latest: number
    /** The child that is taken to crash now; `undefined` when something is being restarted already. */
    readonly crash: string | undefined
    /** The child whose restart is refused. */
    readonly child: string
    /** How many restarts fail before that, at the earliest. */
    readonly restarts: number
  }
  Never: { readonly because: "unlimited" | "the window drains" | "nothing is restarted" | "it shuts down before" | "it is not running" }
  /** It has given up or is stopping already. */
  Over: { readonly outcome: Outcome }
  Unknown: { readonly because: "a delay is not known at once" | "its past is longer than its memory" | "random delays begin anew" }
}>
export const GiveUpAt = Data.taggedEnum<GiveUpAt>()

/** What is kept of the delays asked for, by the key that they were asked for (`AskDelay`). */
export type Memories = ReadonlyMap<string, RestartPolicy.DelayMemory>

/** When the supervisor in `state` gives up. Leaves the state as it is. */
export const of = (state: SupervisorState, policy: RestartPolicy.Any, memories: Memories, now: number): GiveUpAt => {
  if (state.phase._tag === "Stopping" || state.phase._tag === "Ended") return GiveUpAt.Over({ outcome: state.phase.outcome })
  if ([...memories.values()].some(({ incomplete }) => incomplete)) {
    return policy.limit === "unlimited"
      ? GiveUpAt.Never({ because: "unlimited" })
      : GiveUpAt.Unknown({ because: "its past is longer than its memory" })
  }
  const view = { state, policy, memories, now }
  const soonest = look({ ...view, side: "lowest" })
  if (!soonest.byChance || !("at" in soonest.end)) return answer(soonest.end, soonest.end)
  const last = look({ ...view, side: "highest" })
  return last.beganAnew ? GiveUpAt.Unknown({ because: "random delays begin anew" }) : answer(soonest.end, last.end)
}

type End =
  | { readonly at: number; readonly crash: string | undefined; readonly child: string; readonly restarts: number }
  | Exclude<GiveUpAt, { _tag: "GivesUp" }>

const answer = (soonest: End, last: End): GiveUpAt => {
  if (!("at" in soonest)) return soonest
  const { at, ...end } = soonest
  return GiveUpAt.GivesUp({ ...end, earliest: at, latest: "at" in last ? last.at : Number.POSITIVE_INFINITY })
}

interface View {
  readonly state: SupervisorState
  readonly policy: RestartPolicy.Any
  readonly memories: Memories
  readonly now: number
  readonly side: Delays.Chance["side"]
}

const look = (view: View): { readonly end: End; readonly byChance: boolean; readonly beganAnew: boolean } => {
  const present = new Future(view)
  const futures = present.isEventful ? [present] : suspects(view, present.state).map((id) => new Future(view).crash(id))
  const ends = futures.map((future) => future.run())
  return {
    end: ends.length === 0 ? GiveUpAt.Never({ because: "nothing is restarted" }) : ends.reduce(sooner),
    byChance: futures.some(({ chance }) => chance.used),
    beganAnew: futures.some(({ chance }) => chance.beganAnew)
  }
}

const sooner = (a: End, b: End): End => {
  if ("at" in a && "at" in b) return a.at <= b.at ? a : b
  const open = [a, b].find((end) => !("at" in end) && end._tag === "Unknown")
  return open ?? ("at" in a ? a : b)
}

/** One child for each future that a crash can lead to: children that share their delays, or have none behind them, share it. */
const suspects = ({ memories, now, policy }: View, state: SupervisorState): ReadonlyArray<string> => {
  const byFuture = new Map<string, string>()
  for (const child of state.children.values()) {
    if (child.status._tag !== "Running" || RestartType.decide(child.facts.restart, Delays.assumed) === "leave") continue
    const key = state.strategy === "one_for_one" ? child.id : ""
    const last = memories.get(key)?.asked.at(-1)
    const future = last !== undefined && now - last.now < policy.resetAfterMillis ? key : ""
    if (!byFuture.has(future)) byFuture.set(future, child.id)
  }
  return [...byFuture.values()]
}

/** A copy of the machine in a world where everything ends at once, and every restart badly. */
class Future {
  readonly state: SupervisorState
  readonly chance: Delays.Chance
  private readonly view: View
  private readonly horizon: number
  private now: number
  private restarts = 0
  private unknown = false
  private crashed: string | undefined
  private readonly events: Array<Event> = []
  private readonly timers = new Map<string, { readonly ask: number; readonly at: number }>()
  private readonly readers = new Map<string, Delays.Reader>()

  constructor(view: View) {
    this.view = view
    this.now = view.now
    this.state = snapshot(view.state)
    this.chance = Delays.chance(view.side)
    this.horizon = Delays.horizonOf(view.policy) + this.state.recoveries
    this.takeUp()
    this.drain()
  }

  /** Something is being restarted, or is about to be. */
  get isEventful(): boolean {
    return this.timers.size > 0 || this.restarts > 0 || this.unknown || this.state.phase._tag !== "Running"
  }

  crash(id: string): this {
    this.crashed = id
    const { generation } = this.state.children.get(id)!
    this.events.push(Event.ChildExited({ id, generation, reason: Delays.assumed, incident: "" }))
    return this
  }

  run(): End {
    for (this.drain(); this.goesOn && this.timers.size > 0; this.drain()) {
      const [key, { ask, at }] = [...this.timers].reduce((first, next) => next[1].at < first[1].at ? next : first)
      this.timers.delete(key)
      this.now = Math.max(this.now, at)
      this.events.push(Event.Due({ ask }))
    }
    const { phase } = this.state
    if (this.unknown) return GiveUpAt.Unknown({ because: "a delay is not known at once" })
    if (phase._tag === "Stopping" || phase._tag === "Ended") {
      const { outcome } = phase
      if (outcome._tag !== "GaveUp") return GiveUpAt.Never({ because: "it shuts down before" })
      return { at: this.now, crash: this.crashed, child: outcome.child, restarts: this.restarts }
    }
    if (this.timers.size === 0 && this.goesOn) return GiveUpAt.Never({ because: "nothing is restarted" })
    return GiveUpAt.Never({ because: this.view.policy.limit === "unlimited" ? "unlimited" : "the window drains" })
  }

  private get goesOn(): boolean {
    const { _tag } = this.state.phase
    return (_tag === "Running" || _tag === "Booting") && this.restarts <= this.horizon && !this.unknown
  }

  /** Ends what the supervisor waits for at this moment. */
  private takeUp(): void {
    for (const child of this.state.children.values()) {
      const about = { id: child.id, generation: child.generation }
      if (child.status._tag === "Starting") this.start(child)
      else if (child.status._tag === "Stopping") this.events.push(Event.ChildStopped(about))
    }
    for (const [key, { asked }] of this.view.memories) {
      const open = [...this.state.asks].filter(([, ask]) => !ask.told && ask.recovery.key === key)
      const read = this.readerOf(key)
      const answers = asked.map(({ exit, now }) => read(now, exit)).slice(asked.length - open.length)
      for (const [index, [ask]] of open.entries()) this.answer(ask, answers[index]!)
      if (open.length === 0) this.chance.used = false // how long the past took is known, whatever was drawn
    }
    for (const [ask, { recovery, told }] of this.state.asks) {
      if (told) this.timers.set(recovery.key, { ask, at: recovery.due! })
    }
    if (this.state.gathering.size > 0) this.events.push(Event.Settled())
  }

  private drain(): void {
    for (let event = this.events.shift(); event !== undefined && this.goesOn; event = this.events.shift()) {
      for (const command of transition(this.state, event, this.now)) this.carryOut(command)
    }
  }

  private carryOut(command: Command): void {
    switch (command._tag) {
      case "Start":
        return this.start(this.state.children.get(command.id)!)
      case "Stop":
        return void this.events.push(Event.ChildStopped({ id: command.id, generation: command.generation }))
      case "Settle":
        return void this.events.push(Event.Settled())
      case "AskDelay":
        return this.answer(command.ask, this.readerOf(command.key)(this.now, { id: command.id, reason: command.reason }))
      case "StartAt":
        return void this.timers.set(command.key, { ask: command.ask, at: command.at })
    }
  }

  private start({ generation, id, status }: ChildState): void {
    const isRestart = this.state.phase._tag !== "Booting" && status._tag === "Starting" && status.askedBy === undefined
    if (isRestart) this.restarts++
    this.events.push(
      isRestart
        ? Event.ChildStartFailed({ id, generation, reason: Delays.assumed, incident: "" })
        : Event.ChildStarted({ id, generation })
    )
  }

  private answer(ask: number, reading: Delays.Reading): void {
    if (reading === "not known at once") this.unknown = true
    else if (reading === "refused") this.events.push(Event.DelayRefused({ ask, error: undefined }))
    else this.events.push(Event.DelayKnown({ ask, delayMillis: reading }))
  }

  private readerOf(key: string): Delays.Reader {
    const known = this.readers.get(key)
    if (known !== undefined) return known
    const made = Delays.reader(this.view.policy, this.chance)
    this.readers.set(key, made)
    return made
  }
}

/** One line for people: `"gives up in 350 ms, over db, when 3 more restarts have failed at once (supposing that db crashes now)"`. */
export const render = (answer: GiveUpAt, now: number): string => {
  switch (answer._tag) {
    case "GivesUp": {
      const { child, crash, earliest, latest, restarts } = answer
      const supposing = crash === undefined ? "" : ` (supposing that ${crash} crashes now)`
      const until = earliest === latest ? "" : Number.isFinite(latest) ? `, or up to ${latest - now} ms` : ", or never"
      return `gives up in ${earliest - now} ms${until}, over ${child}, when ${restarts} more restarts have failed at once${supposing}`
    }
    case "Never":
      return `does not give up: ${answer.because}`
    case "Over":
      return `is over: ${describeOutcome(answer.outcome)}`
    case "Unknown":
      return `cannot be foretold: ${answer.because}`
  }
}
