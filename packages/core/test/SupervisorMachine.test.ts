import { assert, describe, it } from "@effect/vitest"
import { ExitReason } from "../src/ExitReason.ts"
import type { RestartType } from "../src/RestartType.ts"
import { transition } from "../src/SupervisorMachine.ts"
import * as Machine from "../src/SupervisorState.ts"

const { Event } = Machine
const crash = ExitReason.Failed({ error: "crash" })

/** A machine that is told what happens in few words, and whose commands are read back in few words. */
const make = (
  strategy: Machine.Strategy,
  children: { readonly [id: string]: RestartType },
  options: { readonly maxRestarts?: number; readonly maxChildren?: number } = {}
) => {
  const state = Machine.make({
    strategy,
    autoShutdown: "never",
    parallel: false,
    maxChildren: options.maxChildren ?? Number.POSITIVE_INFINITY,
    limit: { maxRestarts: options.maxRestarts ?? 9, withinMillis: 1000 },
    children: Object.entries(children).map(([id, restart]) => ({ id, restart, significant: false }))
  })
  let now = 0
  let incidents = 0
  const send = (event: Machine.Event) => transition(state, event, now).map(inWords)
  const about = (id: string) => ({ id, generation: state.children.get(id)!.generation, incident: `i${incidents++}` })
  return {
    boot: () => send(Event.Boot()),
    started: (id: string) => send(Event.ChildStarted(about(id))),
    refused: (id: string) => send(Event.ChildStartFailed({ ...about(id), reason: crash })),
    crashed: (id: string) => send(Event.ChildExited({ ...about(id), reason: crash })),
    stopped: (id: string) => send(Event.ChildStopped(about(id))),
    delay: (ask: number, delayMillis: number) => send(Event.DelayKnown({ ask, delayMillis })),
    due: (ask: number, at: number) => {
      now = at
      return send(Event.Due({ ask }))
    },
    fail: (id: string) => send(Event.FailChild({ id, reason: crash, incident: `i${incidents++}` })),
    add: (id: string) => send(Event.StartChild({ child: { id, restart: "permanent", significant: false }, token: 1 })),
    restart: (id: string) => send(Event.RestartChild({ id, token: 2 })),
    terminate: (id: string) => send(Event.TerminateChild({ id, token: 3 })),
    delete: (id: string) => send(Event.DeleteChild({ id, token: 4 })),
    shutdown: () => send(Event.Shutdown({ why: "it is over" })),
    statuses: () => [...state.children.values()].map(({ id, status }) => `${id} ${status._tag}`)
  }
}

const inWords = (command: Machine.Command): string => {
  switch (command._tag) {
    case "Start":
    case "Stop":
      return `${command._tag} ${command.id}#${command.generation}`
    case "AskDelay":
      return `AskDelay ${command.ask} ${command.id}`
    case "StartAt":
      return `StartAt ${command.ask} ${command.at}`
    case "Reply":
      return `Reply ${command.token} ${command.reply._tag}${command.reply._tag === "Present" ? ` ${command.reply.status}` : ""}`
    case "Forget":
      return `Forget ${command.id}`
    case "Tell":
      return `Tell ${command.decision._tag}${"child" in command.decision ? ` ${command.decision.child}` : ""}`
    case "Booted":
      return "Booted"
    case "End":
      return `End ${command.outcome._tag}`
  }
}

const permanent = { a: "permanent", b: "permanent", c: "permanent" } as const

/** All children up. */
const running = (...args: Parameters<typeof make>) => {
  const machine = make(...args)
  machine.boot()
  for (const id of Object.keys(args[1])) machine.started(id)
  return machine
}

describe("the machine of a supervisor", () => {
  describe("that boots", () => {
    it("goes on with the next child when the one that starts is terminated", () => {
      const machine = make("one_for_one", permanent)
      assert.deepStrictEqual(machine.boot(), ["Start a#0"])
      assert.deepStrictEqual(machine.terminate("a"), ["Tell TerminateChild a", "Stop a#0"])
      assert.deepStrictEqual(machine.stopped("a"), ["Reply 3 Done", "Start b#0"])
    })

    it("passes by a child that is terminated before its turn", () => {
      const machine = make("one_for_one", permanent)
      machine.boot()
      assert.deepStrictEqual(machine.terminate("b"), ["Reply 3 Done"])
      assert.deepStrictEqual(machine.started("a"), ["Start c#0"])
    })

    it("starts no child before its turn, whoever asks", () => {
      const machine = make("one_for_one", permanent)
      machine.boot()
      assert.deepStrictEqual(machine.restart("c"), ["Reply 2 Present Starting"])
      assert.deepStrictEqual(machine.started("a"), ["Start b#0"])
    })

    it("keeps a child whose restart fails that was asked for", () => {
      const machine = make("one_for_one", permanent)
      machine.boot()
      machine.terminate("b")
      machine.restart("b")
      assert.deepStrictEqual(machine.refused("b"), ["Reply 2 StartFailed"])
      assert.deepStrictEqual(machine.started("a"), ["Start c#0"])
      assert.include(machine.statuses(), "b Down")
    })

    it("decides once on a child that ended, was brought back and ended again meanwhile", () => {
      const machine = make("one_for_one", { a: "permanent", b: "permanent" })
      machine.boot()
      machine.started("a")
      machine.crashed("a")
      machine.terminate("a")
      machine.restart("a")
      machine.started("a")
      machine.crashed("a")
      assert.deepStrictEqual(machine.started("b"), ["Tell Start", "Booted", "AskDelay 1 a"])
    })
  })

  describe("in which one child is being failed", () => {
    it("restarts no temporary sibling that ends meanwhile", () => {
      const machine = running("one_for_all", { a: "permanent", t: "temporary" })
      machine.fail("a")
      assert.deepStrictEqual(machine.crashed("t"), ["Tell Leave t", "Forget t"])
    })

    it("leaves no sibling behind that ends meanwhile when the failed one is not restarted", () => {
      const machine = running("one_for_all", { a: "permanent", t: "temporary" })
      machine.fail("t")
      assert.deepStrictEqual(machine.crashed("a"), ["AskDelay 1 a"])
    })

    it("spends one restart on it and the siblings that end meanwhile", () => {
      const machine = running("one_for_all", permanent)
      machine.fail("b")
      assert.deepStrictEqual(machine.crashed("a"), [])
      assert.deepStrictEqual(machine.stopped("b"), ["AskDelay 1 b", "Stop c#0"])
    })

    it("decides on such siblings as soon as the failure becomes a termination", () => {
      const machine = running("rest_for_one", permanent)
      machine.fail("a")
      machine.crashed("b")
      assert.deepStrictEqual(machine.terminate("a"), ["Tell TerminateChild a", "AskDelay 1 b", "Stop c#0"])
    })

    it("starts nobody behind it until it has stopped", () => {
      const machine = running("rest_for_one", permanent)
      machine.crashed("c")
      machine.fail("a")
      assert.deepStrictEqual(machine.delay(1, 0), ["Tell Restart c"])
      assert.deepStrictEqual(machine.stopped("a"), ["AskDelay 2 a", "Stop b#0"])
    })
  })

  describe("in the midst of a recovery", () => {
    it("touches no child in front of a victim that is deleted", () => {
      const machine = running("rest_for_one", permanent)
      assert.deepStrictEqual(machine.crashed("b"), ["AskDelay 1 b", "Stop c#0"])
      machine.terminate("b")
      machine.delete("b")
      machine.stopped("c")
      assert.deepStrictEqual(machine.delay(1, 0), ["Tell Restart b", "Start c#1"])
      assert.deepStrictEqual(machine.statuses(), ["a Running", "c Starting"])
    })

    it("brings the group back although the child that took it down is deleted", () => {
      const machine = running("one_for_all", { a: "permanent", b: "permanent" })
      machine.crashed("b")
      machine.terminate("b")
      machine.delete("b")
      machine.stopped("a")
      assert.deepStrictEqual(machine.delay(1, 0), ["Tell Restart b", "Start a#1"])
    })

    it("goes on when a child that the operator restarted does not start", () => {
      const machine = running("one_for_all", permanent)
      machine.terminate("b")
      machine.stopped("b")
      machine.crashed("a")
      machine.stopped("c")
      machine.restart("b")
      machine.delay(1, 0)
      machine.started("a")
      assert.deepStrictEqual(machine.refused("b"), ["Reply 2 StartFailed", "Start c#1"])
    })

    it("keeps its first victim when the start of a later one fails while others stop", () => {
      const machine = running("rest_for_one", { ...permanent, d: "permanent" })
      machine.terminate("d")
      machine.stopped("d")
      machine.crashed("c")
      machine.delay(1, 0)
      machine.restart("d")
      assert.deepStrictEqual(machine.crashed("b"), ["AskDelay 2 b", "Reply 2 StartFailed", "Stop d#1"])
      machine.refused("c")
      machine.stopped("d")
      assert.deepStrictEqual(machine.delay(3, 0), ["Tell Restart c", "Start b#1"])
    })

    it("restarts no victim again that is up when a later one ends", () => {
      const machine = running("rest_for_one", permanent)
      machine.crashed("a")
      machine.stopped("c")
      machine.stopped("b")
      machine.delay(1, 0)
      machine.started("a")
      assert.deepStrictEqual(machine.started("b"), ["Start c#1"])
      assert.deepStrictEqual(machine.crashed("b"), ["AskDelay 2 b", "Stop c#1"])
      assert.deepStrictEqual(machine.stopped("c"), [])
      assert.deepStrictEqual(machine.delay(2, 0), ["Tell Restart b", "Start b#2"])
      assert.deepStrictEqual(machine.statuses(), ["a Running", "b Starting", "c Waiting"])
    })

    it("tries a failed start again from there on under rest_for_one, and all again under one_for_all", () => {
      const attempts = { rest_for_one: ["AskDelay 2 b"], one_for_all: ["AskDelay 2 b", "Stop a#1"] }
      for (const strategy of ["rest_for_one", "one_for_all"] as const) {
        const machine = running(strategy, permanent)
        machine.crashed("a")
        machine.stopped("c")
        machine.stopped("b")
        machine.delay(1, 0)
        machine.started("a")
        assert.deepStrictEqual(machine.refused("b"), attempts[strategy])
      }
    })

    it("counts the delay from the exit, and starts when the timer says so", () => {
      const machine = running("one_for_one", { a: "permanent" })
      machine.crashed("a")
      assert.deepStrictEqual(machine.delay(1, 70), ["Tell Restart a", "StartAt 1 70"])
      assert.deepStrictEqual(machine.due(1, 69), ["Start a#1"]) // Node's timers may fire while the clock still reads one less
      assert.deepStrictEqual(machine.started("a"), ["Tell Recover a"])
    })
  })

  describe("that stops", () => {
    it("lets every child have its turn, whoever fails or terminates it", () => {
      const machine = running("one_for_one", permanent)
      assert.deepStrictEqual(machine.shutdown(), ["Tell Terminate", "Stop c#0"])
      assert.deepStrictEqual(machine.fail("a"), [])
      assert.deepStrictEqual(machine.terminate("a"), [])
      assert.deepStrictEqual(machine.stopped("c"), ["Stop b#0"])
      assert.deepStrictEqual(machine.stopped("b"), ["Stop a#0"])
      assert.deepStrictEqual(machine.stopped("a"), ["Reply 3 Done", "End Shutdown"])
    })

    it("answers the termination of a child that ends before its turn", () => {
      const machine = running("one_for_one", permanent)
      machine.shutdown()
      machine.terminate("a")
      assert.deepStrictEqual(machine.crashed("a"), ["Reply 3 Done"])
    })

    it("takes an end that crosses the request to stop for that stop", () => {
      const machine = running("one_for_one", permanent)
      machine.shutdown()
      assert.deepStrictEqual(machine.crashed("c"), ["Stop b#0"])
      assert.deepStrictEqual(machine.refused("b"), ["Stop a#0"])
      assert.deepStrictEqual(machine.crashed("a"), ["End Shutdown"])
    })

    it("tells no restart any more", () => {
      const machine = running("one_for_one", permanent)
      machine.crashed("a")
      machine.shutdown()
      assert.deepStrictEqual(machine.delay(1, 0), [])
    })
  })

  it("gives up on the restart beyond its limit, and stops the others in reverse order", () => {
    const machine = running("one_for_one", permanent, { maxRestarts: 1 })
    machine.crashed("b")
    assert.deepStrictEqual(machine.crashed("a"), ["Tell GiveUp a", "Stop c#0"])
    assert.deepStrictEqual(machine.stopped("c"), ["End GaveUp"])
  })
})
