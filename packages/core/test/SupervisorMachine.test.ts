import { assert, describe, it } from "@effect/vitest"
import { ExitReason } from "../src/ExitReason.ts"
import type { RestartType } from "../src/RestartType.ts"
import * as Semantics from "../src/Semantics.ts"
import { transition } from "../src/SupervisorMachine.ts"
import * as Machine from "../src/SupervisorState.ts"

const { Event } = Machine
const crash = ExitReason.Failed({ error: "crash" })

/** A machine that is told what happens in few words, and whose commands are read back in few words. */
const make = (
  strategy: Machine.Strategy,
  children: { readonly [id: string]: RestartType },
  options: {
    readonly maxRestarts?: number
    readonly maxChildren?: number
    readonly semantics?: Partial<Semantics.Semantics>
    readonly autoShutdown?: Machine.AutoShutdown
    readonly significant?: ReadonlyArray<string>
    readonly dynamic?: boolean
  } = {}
) => {
  const state = Machine.make({
    semantics: { ...Semantics.production, ...options.semantics },
    strategy,
    autoShutdown: options.autoShutdown ?? "never",
    dynamic: options.dynamic ?? false,
    maxChildren: options.maxChildren ?? Number.POSITIVE_INFINITY,
    limit: { maxRestarts: options.maxRestarts ?? 9, withinMillis: 1000 },
    children: Object.entries(children).map(([id, restart]) => ({ id, restart, significant: options.significant?.includes(id) ?? false }))
  })
  let now = 0
  let incidents = 0
  const send = (event: Machine.Event) => transition(state, event, now).map(inWords)
  /** What is gathered is decided at once. */
  const settle = (words: ReadonlyArray<string>) => words.flatMap((word) => word === "Settle" ? send({ _tag: "Settled" }) : [word])
  const about = (id: string) => ({ id, generation: state.children.get(id)!.generation, incident: `i${incidents++}` })
  return {
    boot: () => send(Event.Boot()),
    started: (id: string) => send(Event.ChildStarted(about(id))),
    refused: (id: string) => settle(send(Event.ChildStartFailed({ ...about(id), reason: crash }))),
    ignored: (id: string) => send(Event.ChildIgnored(about(id))),
    ended: (id: string) => settle(send(Event.ChildExited({ ...about(id), reason: ExitReason.Normal() }))),
    crashed: (id: string) => settle(send(Event.ChildExited({ ...about(id), reason: crash }))),
    crashing: (id: string) => send(Event.ChildExited({ ...about(id), reason: crash })),
    settled: () => send({ _tag: "Settled" }),
    stopped: (id: string) => send(Event.ChildStopped(about(id))),
    delay: (ask: number, delayMillis: number) => send(Event.DelayKnown({ ask, delayMillis })),
    due: (ask: number, at: number) => {
      now = at
      return send(Event.Due({ ask }))
    },
    fail: (id: string) => settle(send(Event.FailChild({ id, reason: crash, incident: `i${incidents++}` }))),
    tick: (millis: number) => void (now += millis),
    change: (change: Partial<Machine.Change>) =>
      send(Event.Change({
        change: {
          strategy,
          autoShutdown: options.autoShutdown ?? "never",
          maxChildren: Number.POSITIVE_INFINITY,
          limit: { maxRestarts: options.maxRestarts ?? 9, withinMillis: 1000 },
          children: [],
          template: undefined,
          ...change
        },
        token: 5
      })),
    add: (id: string, facts: Partial<Machine.ChildFacts> = {}) =>
      send(Event.StartChild({ child: { id, restart: "permanent", significant: false, ...facts }, token: 1 })),
    restart: (id: string) => send(Event.RestartChild({ id, token: 2 })),
    terminate: (id: string) => send(Event.TerminateChild({ id, token: 3 })),
    kill: () => send(Event.Kill()),
    delete: (id: string) => send(Event.DeleteChild({ id, token: 4 })),
    shutdown: () => send(Event.Shutdown({ why: "it is over" })),
    statuses: () => [...state.children.values()].map(({ id, status }) => `${id} ${status._tag}`),
    why: (id: string) => {
      const { status } = state.children.get(id)!
      return status._tag === "Down" ? status.why : status._tag
    }
  }
}

const inWords = (command: Machine.Command): string => {
  switch (command._tag) {
    case "Start":
    case "Stop":
    case "Kill":
      return `${command._tag} ${command.id}#${command.generation}`
    case "AskDelay":
      return `AskDelay ${command.ask} ${command.id}`
    case "StartAt":
      return `StartAt ${command.ask} ${command.at}`
    case "Reply":
      return `Reply ${command.token} ${command.reply._tag}${command.reply._tag === "Present" ? ` ${command.reply.status}` : ""}`
    case "CancelStart":
      return `CancelStart ${command.key}`
    case "Forget":
      return `Forget ${command.id}`
    case "Tell":
      return `Tell ${command.decision._tag}${"child" in command.decision ? ` ${command.decision.child}` : ""}`
    case "Booted":
    case "Settle":
      return command._tag
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
    it("lets no new child hear what was about an old one of the same id", () => {
      const machine = make("one_for_one", { a: "temporary", b: "permanent" })
      machine.boot()
      machine.started("a")
      machine.crashing("a") // waits for the boot to be over
      machine.terminate("a")
      machine.add("a", { restart: "temporary" })
      machine.started("a")
      machine.started("b")
      assert.deepStrictEqual(machine.statuses(), ["b Running", "a Running"])
    })

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

    it("fails no later generation than the one that ran when it was asked to", () => {
      const machine = make("one_for_one", { a: "permanent", b: "permanent" })
      machine.boot()
      machine.started("a")
      assert.deepStrictEqual(machine.fail("a"), [])
      machine.terminate("a")
      machine.stopped("a")
      machine.restart("a")
      machine.started("a")
      assert.deepStrictEqual(machine.started("b"), ["Tell Start", "Booted"])
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
      assert.deepStrictEqual(machine.fail("b"), ["Stop b#0", "AskDelay 1 b"])
      assert.deepStrictEqual(machine.crashed("a"), [])
      assert.deepStrictEqual(machine.stopped("b"), ["Stop c#0"])
    })

    it("brings its siblings back when the failure becomes a termination", () => {
      const machine = running("rest_for_one", permanent)
      machine.fail("a")
      machine.crashed("b")
      assert.deepStrictEqual(machine.terminate("a"), ["Tell TerminateChild a"])
      assert.deepStrictEqual(machine.stopped("a"), ["Reply 3 Done", "Stop c#0"])
      machine.stopped("c")
      assert.deepStrictEqual(machine.delay(1, 0), ["Tell Restart a", "Start b#1"])
    })

    it("spends nothing more on a sibling whose start fails meanwhile", () => {
      const machine = running("rest_for_one", permanent)
      machine.crashed("b")
      machine.stopped("c")
      assert.deepStrictEqual(machine.delay(1, 0), ["Tell Restart b", "Start b#1"])
      assert.deepStrictEqual(machine.fail("a"), ["Stop a#0", "AskDelay 2 a"])
      assert.deepStrictEqual(machine.refused("b"), [])
      assert.deepStrictEqual(machine.stopped("a"), [])
      assert.deepStrictEqual(machine.delay(2, 0), ["Tell Restart a", "Start a#1"])
    })

    it("starts nobody behind it until it has stopped", () => {
      const machine = running("rest_for_one", permanent)
      machine.crashed("c")
      assert.deepStrictEqual(machine.fail("a"), ["Stop a#0", "AskDelay 2 a"])
      assert.deepStrictEqual(machine.delay(1, 0), ["Tell Restart c"])
      assert.deepStrictEqual(machine.stopped("a"), ["Stop b#0"])
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

    it("starts what the operator asks for once the group is whole again", () => {
      const machine = running("one_for_all", permanent)
      machine.terminate("b")
      machine.stopped("b")
      machine.crashed("a")
      machine.stopped("c")
      assert.deepStrictEqual(machine.restart("b"), [])
      assert.deepStrictEqual(machine.add("d"), [])
      machine.delay(1, 0)
      machine.started("a")
      assert.deepStrictEqual(machine.started("c"), ["Tell Recover a", "Start b#1", "Start d#0"])
    })

    it("starts nobody while exits that are pending together are gathered", () => {
      const machine = running("rest_for_one", permanent)
      machine.crashed("c")
      machine.delay(1, 70)
      assert.deepStrictEqual(machine.crashing("a"), ["Settle"])
      assert.deepStrictEqual(machine.due(1, 70), [])
      assert.deepStrictEqual(machine.settled(), ["AskDelay 2 a", "Stop b#0"])
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
    it("lets go of everything at once when it is killed, and answers whoever waits for a start or a stop", () => {
      const machine = running("one_for_one", permanent)
      machine.terminate("b")
      machine.add("d")
      assert.deepStrictEqual(
        machine.kill().toSorted(),
        [
          "Reply 1 Stopping",
          "Kill d#0",
          "Kill c#0",
          "Reply 3 Stopping",
          "Kill b#0",
          "Kill a#0",
          "End Shutdown"
        ].toSorted()
      )
    })

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

    it("takes a start that is ignored, and crosses the request to stop, for that stop", () => {
      const machine = make("one_for_one", { k1: "permanent", k2: "permanent" }, { dynamic: true })
      assert.deepStrictEqual(machine.boot(), ["Start k1#0", "Start k2#0"])
      assert.deepStrictEqual(machine.refused("k1"), ["Stop k2#0"])
      assert.deepStrictEqual(machine.ignored("k2"), ["Forget k2", "End StartFailed"])
    })

    it("tells no restart any more", () => {
      const machine = running("one_for_one", permanent)
      machine.crashed("a")
      machine.shutdown()
      assert.deepStrictEqual(machine.delay(1, 0), [])
    })
  })

  describe("of either semantics", () => {
    const otp = { semantics: Semantics.otp }

    it("counts exits that are pending together once under a group strategy, or each for itself (coalesce)", () => {
      const production = running("rest_for_one", permanent)
      assert.deepStrictEqual(production.crashing("c"), ["Settle"])
      assert.deepStrictEqual([...production.crashing("b"), ...production.crashing("a")], [])
      assert.deepStrictEqual(production.settled(), ["AskDelay 1 a"])

      const each = running("rest_for_one", permanent, { semantics: { coalesce: false } })
      assert.deepStrictEqual(["c", "b", "a"].flatMap(each.crashing), ["AskDelay 1 c", "AskDelay 2 b", "AskDelay 3 a"])
    })

    it("lets exits and calls wait while a child starts or stops, or serves them at once (serve)", () => {
      const machine = running("one_for_one", permanent, otp)
      assert.deepStrictEqual(machine.crashed("a"), ["Tell Restart a", "Start a#1"])
      assert.deepStrictEqual([...machine.crashed("b"), ...machine.terminate("c")], [])
      assert.deepStrictEqual(machine.started("a"), ["Tell Recover a", "Tell Restart b", "Start b#1"])
      assert.deepStrictEqual(machine.started("b"), ["Tell Recover b", "Tell TerminateChild c", "Stop c#0"])

      const always = running("one_for_one", permanent, { semantics: { ...Semantics.otp, serve: "always" } })
      always.crashed("a")
      assert.deepStrictEqual(always.crashed("b"), ["Tell Restart b", "Start b#1"])
    })

    it("does not stop a victim that has ended already", () => {
      const machine = running("one_for_all", permanent, otp)
      assert.deepStrictEqual(machine.fail("a"), ["Stop a#0", "Tell Restart a"])
      machine.crashed("c")
      assert.deepStrictEqual(machine.stopped("a"), ["Stop b#0"])
    })

    it("tries a failed restart again behind what is waiting, and counts it then (delay)", () => {
      const machine = running("one_for_one", permanent, { ...otp, maxRestarts: 2 })
      machine.crashed("a")
      machine.crashed("b")
      assert.deepStrictEqual(machine.refused("a"), ["Tell Restart b", "Start b#1"])
      assert.deepStrictEqual(machine.started("b"), ["Tell Recover b", "Tell GiveUp a", "Stop c#0"])
    })

    it("drops the retry of a child that was terminated meanwhile", () => {
      const machine = running("one_for_one", permanent, otp)
      machine.crashed("a")
      machine.terminate("a")
      assert.deepStrictEqual(machine.refused("a"), ["Tell TerminateChild a", "Reply 3 Done"])
      assert.strictEqual(machine.why("a"), "terminated")
    })

    it("leaves fellow victims stranded when the failing child is terminated, or brings them up (heal, trap T-1)", () => {
      const stranded = running("rest_for_one", permanent, otp)
      stranded.crashed("b")
      stranded.stopped("c")
      stranded.terminate("b")
      stranded.refused("b")
      stranded.restart("b")
      assert.deepStrictEqual(stranded.started("b"), ["Reply 2 Done"])
      assert.strictEqual(stranded.why("c"), "stranded")

      const healed = running("rest_for_one", permanent)
      healed.crashed("b")
      healed.stopped("c")
      healed.delay(1, 0)
      healed.refused("b")
      healed.terminate("b")
      assert.deepStrictEqual(healed.delay(2, 0), ["Tell Restart b", "Start c#1"])

      const healedAtOnce = running("rest_for_one", permanent, { semantics: { delay: "none", serve: "between operations" } })
      healedAtOnce.crashed("b")
      healedAtOnce.stopped("c")
      healedAtOnce.terminate("b")
      assert.deepStrictEqual(healedAtOnce.refused("b").at(-1), "Start c#1")
    })

    it("brings back with its group whom the operator stopped, or leaves it down (revive, trap T-9)", () => {
      for (const revive of [true, false]) {
        const machine = running("one_for_all", { a: "permanent", b: "permanent", t: "transient" }, {
          semantics: { ...Semantics.otp, revive }
        })
        machine.terminate("b")
        machine.stopped("b")
        machine.ended("t")
        machine.crashed("a")
        const started = machine.started("a")
        assert.deepStrictEqual(started, revive ? ["Start b#1"] : ["Tell Recover a"])
      }
    })

    it("looks at the condition for auto-shutdown after every change, or at own endings only (autoShutdown, traps T-2 and T-4)", () => {
      const significant = { a: "transient", b: "transient" } as const
      for (const autoShutdown of ["every change", "own endings"] as const) {
        const end = autoShutdown === "every change" ? ["Tell Terminate", "End AutoShutdown"] : []
        const options = { autoShutdown: "all", significant: ["a", "b"], semantics: { ...Semantics.otp, autoShutdown } } as const
        const terminated = running("one_for_one", significant, options)
        terminated.ended("b")
        terminated.terminate("a")
        assert.deepStrictEqual(terminated.stopped("a"), ["Reply 3 Done", ...end])

        const ignored = running("one_for_one", significant, options)
        ignored.ended("b")
        ignored.crashed("a")
        assert.deepStrictEqual(ignored.ignored("a"), end)
      }
    })

    it("keeps a dynamic child that ignores its restart, or forgets it (ignoredInstance)", () => {
      for (const ignoredInstance of ["keep", "drop"] as const) {
        const semantics = { ...Semantics.otp, ignoredInstance }
        const machine = running("one_for_one", { k: "permanent" }, { dynamic: true, semantics })
        machine.crashed("k")
        assert.deepStrictEqual(machine.ignored("k"), ignoredInstance === "keep" ? [] : ["Forget k"])
      }
    })

    it("forgets such a child once when it is terminated, or when any that is gone is", () => {
      for (const id of ["k", "gone"]) {
        const machine = running("one_for_one", { k: "permanent" }, { dynamic: true, semantics: Semantics.otp })
        machine.crashed("k")
        machine.ignored("k")
        assert.deepStrictEqual(machine.terminate(id), ["Forget k", id === "k" ? "Reply 3 Done" : "Reply 3 NotFound"])
      }
    })

    it("counts whole seconds with an inclusive bound, or milliseconds (window, trap T-7)", () => {
      const crashes = (semantics: Partial<Semantics.Semantics>, gap: number) => {
        const machine = running("one_for_one", { a: "permanent" }, { semantics: { ...Semantics.otp, ...semantics }, maxRestarts: 1 })
        machine.tick(300)
        machine.crashed("a")
        machine.started("a")
        machine.tick(gap)
        return machine.crashed("a")[0]
      }
      assert.strictEqual(crashes({}, 1_699), "Tell GiveUp a")
      assert.strictEqual(crashes({}, 1_700), "Tell Restart a")
      assert.strictEqual(crashes({ window: "milliseconds" }, 999), "Tell GiveUp a")
      assert.strictEqual(crashes({ window: "milliseconds" }, 1_000), "Tell Restart a")
    })
  })

  describe("whose flags and specs change", () => {
    const spec = (id: string, restart: RestartType = "permanent") => ({ id, restart, significant: false })

    it("keeps what runs, adds what is new without starting it, and puts what is listed no more last", () => {
      const machine = running("one_for_one", permanent)
      assert.deepStrictEqual(machine.change({ children: [spec("n"), spec("c"), spec("a", "temporary")] }), ["Reply 5 Done"])
      assert.deepStrictEqual(machine.statuses(), ["n Down", "c Running", "a Running", "b Running"])
      assert.deepStrictEqual(machine.crashed("a"), ["Tell Leave a", "Forget a"])
      assert.deepStrictEqual(machine.restart("n"), ["Start n#0"])
    })

    it("keeps the restarts counted so far", () => {
      const machine = running("one_for_one", permanent)
      machine.crashed("a")
      machine.delay(1, 0)
      machine.started("a")
      machine.change({ limit: { maxRestarts: 1, withinMillis: 1000 }, children: ["a", "b", "c"].map((id) => spec(id)) })
      assert.deepStrictEqual(machine.crashed("b"), ["Tell GiveUp b", "Stop c#0"])
    })

    it("changes the strategy once nothing is being recovered", () => {
      const machine = running("one_for_one", permanent)
      machine.crashed("a")
      assert.deepStrictEqual(machine.change({ strategy: "one_for_all", children: ["a", "b", "c"].map((id) => spec(id)) }), [])
      machine.delay(1, 0)
      assert.deepStrictEqual(machine.started("a"), ["Tell Recover a", "Reply 5 Done"])
      assert.deepStrictEqual(machine.crashed("b"), ["AskDelay 2 b", "Stop c#0"])
    })

    it("changes the strategy once the exits that are pending together are decided on", () => {
      const machine = running("one_for_all", permanent)
      assert.deepStrictEqual(machine.crashing("a"), ["Settle"])
      assert.deepStrictEqual(machine.crashing("b"), [])
      assert.deepStrictEqual(machine.change({ strategy: "one_for_one", children: ["a", "b", "c"].map((id) => spec(id)) }), [])
      assert.deepStrictEqual(machine.settled(), ["AskDelay 1 a", "Stop c#0"])
      machine.stopped("c")
      machine.delay(1, 0)
      for (const id of ["a", "b"]) machine.started(id)
      assert.deepStrictEqual(machine.started("c"), ["Tell Recover a", "Reply 5 Done"])
      assert.deepStrictEqual(machine.statuses(), ["a Running", "b Running", "c Running"])
    })
  })

  it("adds no significant child that could never end it (V-9)", () => {
    const significant = { restart: "transient", significant: true } as const
    assert.deepStrictEqual(running("one_for_one", permanent).add("s", significant), ["Reply 1 Invalid"])
    for (const autoShutdown of ["any", "all"] as const) {
      const machine = running("one_for_one", permanent, { autoShutdown })
      assert.deepStrictEqual(machine.add("p", { ...significant, restart: "permanent" }), ["Reply 1 Invalid"])
      assert.deepStrictEqual(machine.add("s", significant), ["Start s#0"])
    }
  })

  it("gives up on the restart beyond its limit, and stops the others in reverse order", () => {
    const machine = running("one_for_one", permanent, { maxRestarts: 1 })
    machine.crashed("b")
    assert.deepStrictEqual(machine.crashed("a"), ["Tell GiveUp a", "Stop c#0"])
    assert.deepStrictEqual(machine.stopped("c"), ["End GaveUp"])
  })
})
