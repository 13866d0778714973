/**
 * Carries out what the dispatch machine decides: a synchronous object over the Roster's state, without a queue hop or a fiber per call.
 *
 * **Details**
 *
 * A throw in it is caught at its edge and fails this child; the next generation checks the Roster's invariants, mends what is broken,
 * and takes in what arrived meanwhile. No call is lost by it.
 */
import { Child, Event, RegisteredName } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as PoolEvent from "../PoolEvent.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import * as Dispatch from "./Dispatch.ts"
import type { Roster } from "./Roster.ts"

/** The Dispatcher of the pool whose Roster is registered under `name`. */
export const child = (name: RegisteredName.RegisteredName<Roster>) =>
  Child.make("dispatcher", {
    plane: "control",
    start: Effect.gen(function*() {
      const roster = yield* Effect.orDie(RegisteredName.whereis(name))
      const clock = yield* Clock.Clock
      const sink = yield* Event.EventSink
      const deadlines = Latch.makeUnsafe(false)
      let crash: (defect: unknown) => void = () => {}

      const now = () => clock.currentTimeMillisUnsafe()
      const perform = (commands: ReadonlyArray<Dispatch.Command>) => {
        for (const command of commands) execute(roster, command, (event) => sink.emit(event), now())
        if (roster.state.wheel.places.size > 0) deadlines.openUnsafe()
      }
      const dispatch = (event: Dispatch.Event) => {
        try {
          perform(Dispatch.transition(roster.state, event, now()))
        } catch (defect) {
          roster.dispatcher = undefined
          crash(defect)
        }
      }
      const tick = Effect.gen(function*() {
        yield* deadlines.await
        yield* Effect.sleep(DeadlineWheel.tickMillis)
        dispatch(Dispatch.Event.Tick())
        if (roster.state.wheel.places.size === 0) yield* deadlines.close
      })

      perform(Dispatch.repair(roster.state, now()))
      roster.dispatcher = dispatch
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (roster.dispatcher === dispatch) roster.dispatcher = undefined
        })
      )
      for (const event of roster.inbox.splice(0)) dispatch(event)

      const crashed = Effect.callback<never>((resume) => {
        crash = (defect) => resume(Effect.die(defect))
      })
      return Effect.raceFirst(crashed, Effect.forever(tick))
    })
  })

const execute = (roster: Roster, command: Dispatch.Command, emit: (event: Event.Event) => void, now: number): void => {
  const { pool, tickets, wires } = roster
  switch (command._tag) {
    case "Send": {
      const call = roster.state.calls.get(command.id)
      const ticket = tickets.get(command.id)
      if (call === undefined || ticket === undefined) return
      const { deadlineMillis, id, skip, slot } = command
      return wires.get(slot)?.submit({
        id,
        tool: call.tool,
        payload: ticket.payload,
        deadlineMillis,
        credit: roster.config.credit,
        skip
      })
    }
    case "CancelOnWire":
      return wires.get(command.slot)?.cancel(command.id)
    case "CreditOnWire":
      return wires.get(command.slot)?.credit(command.id, command.elements)
    case "Deliver":
      return tickets.get(command.id)?.item(command.payload)
    case "Complete": {
      const ticket = tickets.get(command.id)
      tickets.delete(command.id)
      return ticket?.complete(command.payload)
    }
    case "Fail": {
      const ticket = tickets.get(command.id)
      tickets.delete(command.id)
      const { error } = command
      emit(Event.make(PoolEvent.call_fail, now, {}, {
        pool,
        tool: error.tool,
        reason: error._tag,
        executed: error.executed,
        cause: error.message
      }))
      return ticket?.fail(error)
    }
    case "FailWorker":
      return roster.overruns.get(command.slot)?.(command.tool)
    case "WorkerUp": {
      const { slot, tools } = command
      return emit(Event.make(PoolEvent.worker_attach, now, { tools }, { pool, slot, generation: roster.generations.get(slot) ?? 0 }))
    }
    case "WorkerDown": {
      const { calls, reason, slot } = command
      const about = { pool, slot, generation: roster.generations.get(slot) ?? 0 }
      return emit(Event.make(PoolEvent.worker_detach, now, { calls }, { ...about, cause: reason }))
    }
    case "Retried": {
      const { attempt, reason, slot, tool } = command
      return emit(Event.make(PoolEvent.call_retry, now, { attempt }, { pool, slot, tool, cause: reason }))
    }
  }
}
