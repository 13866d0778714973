/**
 * Each field of `Semantics`, and each trap of OTP (`supervision.md` T-1 … T-9): what *otp* does, and what *production* does instead. Every
 * case is played by the real engine in a simulation; but for one field, its two semantics are the same.
 */
import { assert, describe, it } from "@effect/vitest"
import { Child, DynamicSupervisor, Lint, RestartPolicy, Semantics, Simulation, Supervisor, SupervisorEvent, Tree } from "@snakepit/core"
import { Effect, Schedule } from "effect"

const { Line } = Simulation
const { otp, production } = Semantics

type Field = keyof Semantics.Semantics

/** Another semantics with one field as in `otp`, or as in `production`. */
const withField = (base: Semantics.Semantics, field: Field, as: Semantics.Semantics): Semantics.Semantics => ({
  ...base,
  [field]: as[field]
})

const common = {
  plane: "control",
  because: "it is a test",
  limitBecause: "it is a test",
  events: SupervisorEvent.of("app_supervisor", "root"),
  restart: RestartPolicy.make({ intensity: { maxRestarts: 9, within: "5 seconds" }, delay: Schedule.spaced(100) })
} as const

const never = Effect.die(new Error("a simulation starts no real child"))

const child = (
  id: string,
  options: { readonly restart?: "permanent" | "transient" | "temporary"; readonly significant?: boolean; readonly shutdown?: "6 seconds" } =
    {}
): Child.Any => Child.make(id, { start: never, ...options })

const limit = (maxRestarts: number, within: "1 second" | "5 seconds" = "5 seconds") =>
  RestartPolicy.make({ intensity: { maxRestarts, within }, delay: Schedule.spaced(100) })

interface Options {
  readonly id?: "inner"
  readonly restart?: RestartPolicy.Any
  readonly autoShutdown?: "any" | "all"
}

/** A supervisor, `app` unless it says otherwise. The types of its children are of no interest here. */
const app = (
  semantics: Semantics.Semantics | undefined,
  strategy: "one_for_one" | "one_for_all" | "rest_for_one",
  children: ReadonlyArray<Child.Any>,
  { id, ...options }: Options = {}
): Supervisor.Any => Supervisor.make(id ?? "app", { ...common, semantics, strategy, children, ...options } as never)

const crash = (id: string) => Line.Exit({ path: `app/${id}`, how: "failed" })
const ends = (id: string) => Line.Exit({ path: `app/${id}`, how: "normal" })
const terminate = (id: string) => Line.TerminateChild({ path: `app/${id}` })
const wait = (millis: number) => Line.Wait({ millis })

/** `a running, b down` at the end, or how it ended. */
const standing = ({ outcome, tree }: Simulation.Timeline): string =>
  tree === undefined ? outcome._tag : Tree.flatten(tree).map(({ id, status }) => `${id} ${status}`).join(", ")

const because = (timeline: Simulation.Timeline, id: string): string | undefined =>
  timeline.tree?.children.find((child) => child.id === id)?.because

const play = (tree: Supervisor.Any, ...script: ReadonlyArray<Simulation.Line>) => Simulation.simulate(tree, script)

/** What happens with the field as in `otp` and as in `production`: in the midst of all of *otp*, and of all of *production*. */
const both = <A>(field: Field, what: (semantics: Semantics.Semantics) => A, expected: { readonly otp: A; readonly production: A }) => {
  for (const base of [otp, production]) {
    assert.deepStrictEqual(
      { otp: what(withField(base, field, otp)), production: what(withField(base, field, production)) },
      expected
    )
  }
}

describe("window", () => {
  /** Two crashes `gap` apart, the first at 300 ms past the second, where one a second is allowed. */
  const crashes = (gap: number) => (semantics: Semantics.Semantics) =>
    play(app(semantics, "one_for_one", [child("a")], { restart: limit(1, "1 second") }), wait(300), crash("a"), wait(gap), crash("a"))
      .outcome._tag

  it("gives up by whole seconds, so that it depends on the phase, or by the millisecond (trap T-7)", () => {
    both("window", crashes(999), { otp: "Failed", production: "Failed" })
    both("window", crashes(1000), { otp: "Failed", production: "Running" })
    both("window", crashes(1699), { otp: "Failed", production: "Running" })
    both("window", crashes(1700), { otp: "Running", production: "Running" })
  })
})

describe("delay", () => {
  it("spends a whole budget in no time on a child that will not start, or takes the policy's delays (trap T-8)", () => {
    const gaveUpAfter = (semantics: Semantics.Semantics) =>
      play(
        app(semantics, "one_for_one", [child("a")], { restart: limit(5) }),
        Line.FailStarts({ path: "app/a", times: 1000, how: "fail" }),
        crash("a"),
        wait(60_000)
      ).millis
    both("delay", gaveUpAfter, { otp: 0, production: 500 })
  })
})

describe("serve", () => {
  it("lets a call wait while another child starts, or answers it at once", () => {
    const answeredAt = (semantics: Semantics.Semantics) =>
      play(
        app(semantics, "one_for_one", [child("a"), child("b")]),
        Line.StartTakes({ path: "app/a", millis: 3000 }),
        crash("a"),
        wait(1000),
        terminate("b"),
        wait(5000)
      ).entries.find(({ _tag }) => _tag === "Reply")?.at
    assert.deepStrictEqual(answeredAt(otp), 3000)
    assert.deepStrictEqual(answeredAt({ ...otp, serve: "always" }), 1000)
    assert.deepStrictEqual(answeredAt({ ...production, serve: "between operations" }), 3100)
    assert.deepStrictEqual(answeredAt(production), 1000)
  })
})

describe("coalesce", () => {
  const together = (...ids: ReadonlyArray<string>) => (semantics: Semantics.Semantics) =>
    play(
      app(semantics, "rest_for_one", [child("a"), child("b"), child("c")], { restart: limit(2) }),
      Line.Together({ exits: ids.map((id) => ({ path: `app/${id}`, how: "failed" })) }),
      wait(1000)
    ).outcome._tag

  it("counts exits that are pending together by their order, or as one (trap T-6)", () => {
    both("coalesce", together("a", "b", "c"), { otp: "Running", production: "Running" })
    both("coalesce", together("c", "b", "a"), { otp: "Failed", production: "Running" })
  })
})

describe("revive", () => {
  it("resurrects with its group whom the operator stopped and who had ended, or leaves them down (trap T-9)", () => {
    for (const strategy of ["one_for_all", "rest_for_one"] as const) {
      const after = (semantics: Semantics.Semantics) =>
        standing(play(
          app(semantics, strategy, [child("a"), child("b"), child("c", { restart: "transient" })]),
          terminate("b"),
          ends("c"),
          crash("a"),
          wait(1000)
        ))
      both("revive", after, { otp: "a running, b running, c running", production: "a running, b down, c down" })
    }
  })
})

describe("heal", () => {
  /** `b` takes `c` along, does not come up again, and is terminated before the next attempt; then its operator restarts it. */
  const after = (strategy: "one_for_all" | "rest_for_one") => (semantics: Semantics.Semantics) => {
    const timeline = play(
      app(semantics, strategy, ["a", "b", "c", "d"].map((id) => child(id))),
      Line.StopTakes({ path: "app/d", millis: 1000 }),
      terminate("d"), // in OTP what follows waits for it, and is handled in one go
      Line.FailStarts({ path: "app/b", times: 1, how: "fail" }),
      crash("b"),
      terminate("b"),
      wait(2000),
      Line.FailStarts({ path: "app/b", times: 0, how: "fail" }),
      Line.RestartChild({ path: "app/b" }),
      wait(1000)
    )
    return [standing(timeline), because(timeline, "c")]
  }

  it("strands the siblings of a child that is terminated before the next attempt, or brings them up (traps T-1 and T-1b)", () => {
    for (const strategy of ["rest_for_one", "one_for_all"] as const) {
      const whole = ["a running, b running, c running, d down", undefined]
      assert.deepStrictEqual(after(strategy)(otp), ["a running, b running, c down, d down", "stranded"])
      assert.deepStrictEqual(after(strategy)({ ...otp, heal: true, revive: false }), whole)
      assert.deepStrictEqual(after(strategy)(production), whole)
    }
  })

  it("brings up who is stranded with the next restart of the group, whoever else is left down", () => {
    const timeline = (revive: boolean) =>
      play(
        app({ ...otp, revive }, "one_for_all", ["a", "b", "c", "d"].map((id) => child(id))),
        Line.StopTakes({ path: "app/d", millis: 1000 }),
        terminate("d"),
        Line.FailStarts({ path: "app/b", times: 1, how: "fail" }),
        crash("b"),
        terminate("b"),
        wait(2000),
        crash("a"),
        wait(1000)
      )
    assert.strictEqual(standing(timeline(true)), "a running, b running, c running, d running")
    assert.strictEqual(standing(timeline(false)), "a running, b down, c running, d down")
  })
})

describe("autoShutdown", () => {
  const pair = (semantics: Semantics.Semantics, autoShutdown: "any" | "all") =>
    app(semantics, "one_for_one", [
      child("a", { restart: "transient", significant: true }),
      child("b", { restart: "transient", significant: true })
    ], { autoShutdown })

  it("lives on without anybody who could end it when the last significant child is terminated, or ends (trap T-2)", () => {
    const after = (semantics: Semantics.Semantics) => standing(play(pair(semantics, "all"), ends("b"), terminate("a")))
    both("autoShutdown", after, { otp: "a down, b down", production: "Stopped" })
  })

  it("passes over a significant child that ignores its restart, or ends (trap T-4)", () => {
    const after = (semantics: Semantics.Semantics) =>
      standing(play(pair(semantics, "any"), Line.FailStarts({ path: "app/a", times: 1, how: "ignore" }), crash("a"), wait(1000)))
    both("autoShutdown", after, { otp: "a down, b running", production: "Stopped" })
  })

  it("is never looked at by the termination of a child while no significant one has ended by itself", () => {
    for (const semantics of [otp, production]) {
      assert.strictEqual(standing(play(pair(semantics, "all"), terminate("a"), terminate("b"))), "a down, b down")
    }
  })
})

describe("giveUp", () => {
  it("looks like a shutdown to the supervisor above, so that a transient one stays down in silence, or is a failure", () => {
    const after = (semantics: Semantics.Semantics) => {
      const inner = app(semantics, "one_for_one", [child("a")], { id: "inner", restart: limit(0) })
      return standing(play(app(semantics, "one_for_one", [{ ...inner, restart: "transient" }]), crash("inner/a"), wait(1000)))
    }
    both("giveUp", after, { otp: "inner down", production: "inner running, a running" })
  })
})

describe("ignoredInstance", () => {
  const fleet = (semantics: Semantics.Semantics) =>
    DynamicSupervisor.make("app", {
      ...common,
      semantics,
      initial: Effect.succeed(["k"]),
      child: (key) => Child.make(key, { start: never })
    })
  const ignored = [Line.FailStarts({ path: "app/k", times: 1, how: "ignore" }), crash("k"), wait(1000)]

  it("keeps a dynamic child that ignores its restart without ever running it, or drops it", () => {
    both("ignoredInstance", (semantics) => standing(play(fleet(semantics), ...ignored)), { otp: "k down", production: "" })
  })

  it("crashes of it when it stops, or stops", () => {
    const outcome = (semantics: Semantics.Semantics) => play(fleet(semantics), ...ignored, Line.Shutdown()).outcome._tag
    assert.deepStrictEqual([outcome(otp), outcome({ ...otp, ignoredInstance: "drop" })], ["Failed", "Stopped"])
  })
})

describe("what is the same in both, and found before it runs", () => {
  it("a sibling's restart removes the only significant child, which is temporary, and auto-shutdown can never fire (trap T-3)", () => {
    for (const semantics of [otp, production]) {
      for (const strategy of ["one_for_all", "rest_for_one"] as const) {
        const tree = app(semantics, strategy, [child("a"), child("t", { restart: "temporary", significant: true })], {
          autoShutdown: "any"
        })
        assert.strictEqual(standing(play(tree, crash("a"), wait(1000))), "a running")
        assert.include(Lint.of(tree).map(({ rule }) => rule), "auto_shutdown_never_fires")
      }
    }
  })

  it("siblings that are slow to stop never let the window fill, and the loop is immortal (trap T-5)", () => {
    for (const semantics of [otp, production]) {
      const tree = app(semantics, "one_for_all", [child("a"), child("slow", { shutdown: "6 seconds" })], { restart: limit(2) })
      const loop = Array.from({ length: 50 }, () => [crash("a"), wait(6200)]).flat()
      assert.strictEqual(standing(play(tree, Line.StopTakes({ path: "app/slow", millis: 6000 }), ...loop)), "a running, slow running")
      assert.include(Lint.of(tree).map(({ rule }) => rule), "slow_stop_drains_window")
    }
  })
})

describe("a supervisor without semantics of its own", () => {
  it("has those of the supervisor above", () => {
    const restartsOf = (above: Semantics.Semantics, own: Semantics.Semantics | undefined) => {
      const inner = app(own, "one_for_one", [child("a")], { id: "inner", restart: limit(1, "1 second") })
      return play(app(above, "one_for_one", [inner]), wait(300), crash("inner/a"), wait(1000), crash("inner/a"), wait(1000))
        .tree?.children[0]?.restarts
    }
    assert.deepStrictEqual([restartsOf(otp, undefined), restartsOf(production, undefined)], [1, 0])
    assert.deepStrictEqual([restartsOf(otp, production), restartsOf(production, otp)], [0, 1])
  })
})

it("otp and production are two records that differ in every field", () => {
  for (const field of Object.keys(otp) as ReadonlyArray<Field>) assert.notStrictEqual(otp[field], production[field])
})
