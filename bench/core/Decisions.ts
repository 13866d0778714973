/**
 * Events decided per second by the pure machine: no fibers, no clock. A world that answers each command at once stands in for the
 * interpreter, and its cost is part of the figure.
 */
import { ExitReason, Semantics, SupervisorMachine, SupervisorState } from "@snakepit/core"
import { measurement } from "../Bench.ts"
import * as Goal from "../Goal.ts"

const children = 10
const supervisors = 100
const turns = 300 // for each supervisor; a turn is 5 to 50 events

const strategies: ReadonlyArray<SupervisorState.Strategy> = ["one_for_one", "one_for_one", "one_for_one", "rest_for_one", "one_for_all"]
const failed = ExitReason.ExitReason.Failed({ error: "boom" })
const normal = ExitReason.ExitReason.Normal()

class World {
  private readonly state: SupervisorState.SupervisorState
  private readonly events: Array<SupervisorState.Event> = []
  private turn = 0
  now = 0

  constructor(strategy: SupervisorState.Strategy) {
    this.state = SupervisorState.make({
      semantics: Semantics.production,
      strategy,
      autoShutdown: "never",
      dynamic: false,
      maxChildren: Number.POSITIVE_INFINITY,
      limit: { maxRestarts: 1000, withinMillis: 5000 },
      children: Array.from({ length: children }, (_, n) => ({
        id: `c${n}`,
        restart: n === children - 1 ? "transient" : "permanent",
        significant: false
      }))
    })
    this.settle({ _tag: "Boot" })
  }

  /** Eight failures in ten turns, one of them by a monitor; a termination and an end that is left alone, each undone. Returns the events decided. */
  play(): number {
    const turn = this.turn++ % 10
    const id = `c${turn}`
    this.now += 50
    switch (turn) {
      case 3:
        return this.settle({ _tag: "FailChild", id, reason: failed, incident: "i" })
      case 6:
        return this.settle({ _tag: "TerminateChild", id, token: 1 }) + this.settle({ _tag: "RestartChild", id, token: 2 })
      case 9:
        return this.settle(this.exit(id, normal)) + this.settle({ _tag: "RestartChild", id, token: 3 })
      default:
        return this.settle(this.exit(id, failed))
    }
  }

  private exit(id: string, reason: ExitReason.ExitReason): SupervisorState.Event {
    return { _tag: "ChildExited", id, generation: this.state.children.get(id)!.generation, reason, incident: "i" }
  }

  /** Decides the event and all that follows from it. */
  private settle(event: SupervisorState.Event): number {
    let decided = 0
    this.events.push(event)
    for (; decided < this.events.length; decided++) {
      for (const command of SupervisorMachine.transition(this.state, this.events[decided]!, this.now)) this.answer(command)
    }
    this.events.length = 0
    return decided
  }

  private answer(command: SupervisorState.Command): void {
    switch (command._tag) {
      case "Start":
        return void this.events.push({ _tag: "ChildStarted", id: command.id, generation: command.generation })
      case "Stop":
        return void this.events.push({ _tag: "ChildStopped", id: command.id, generation: command.generation })
      case "Settle":
        return void this.events.push({ _tag: "Settled" })
      case "AskDelay":
        return void this.events.push({ _tag: "DelayKnown", ask: command.ask, delayMillis: this.turn % 2 === 0 ? 0 : 50 })
      case "StartAt":
        this.now = command.at
        return void this.events.push({ _tag: "Due", ask: command.ask })
      case "End":
        throw new Error(`the measured supervisor ended (${command.outcome._tag}): what follows would measure nothing`)
    }
  }
}

const perSecond = (): number => {
  const worlds = Array.from({ length: supervisors }, (_, n) => new World(strategies[n % strategies.length]!))
  let decided = 0
  const start = performance.now()
  for (let turn = 0; turn < turns; turn++) {
    for (const world of worlds) decided += world.play()
  }
  return decided / ((performance.now() - start) / 1000)
}

export const decisions = measurement({
  figures: {
    decisions: { unit: "per second", what: "events decided: crashes, failures by monitors, ends, terminations under three strategies" }
  },
  sides: [async () => ({ decisions: perSecond() })],
  ratios: { "core.decisions_per_s": { of: (round) => round.decisions, goal: Goal.atLeast({ must: 1_000_000, aim: 5_000_000 }) } }
})
