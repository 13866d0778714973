import { assert, describe, it } from "@effect/vitest"
import { Child, DynamicSupervisor, Lint, RestartPolicy, Semantics, Simulation, Supervisor } from "@snakepit/core"
import { Effect, Schedule, Schema } from "effect"
import { common } from "./AppContract.ts"

const { Line } = Simulation
const never = Effect.succeed(Effect.never)
const leaf = <const Id extends string>(id: Id) => Child.make(id, { start: never })
const limit = (maxRestarts: number, within: string, delay?: Schedule.Schedule<unknown>) =>
  RestartPolicy.make({ intensity: { maxRestarts, within: within as "1 second" }, delay })
const app = { ...common, strategy: "one_for_one", restart: limit(3, "5 seconds") } as const

const rules = (tree: Supervisor.Any, options?: Lint.Options) => Lint.of(tree, options).map(({ path, rule }) => `${rule} at ${path}`)

/** Lets a child die at once `lives` times, with everything as slow to stop as it may be. */
const outlives = (tree: Supervisor.Any, path: string, lives: number, slow: ReadonlyArray<readonly [string, number]> = []) => {
  const simulated = Simulation.make(tree)
  simulated.boot()
  for (const [path, millis] of slow) simulated.play(Line.StopTakes({ path, millis }))
  for (let life = 0; life < lives && simulated.outcome._tag === "Running"; life++) {
    simulated.play(Line.Exit({ path, how: "failed" }))
    simulated.play(Line.Wait({ millis: (simulated.nextTimer ?? simulated.now) - simulated.now }))
  }
  const { outcome } = simulated
  simulated.discard()
  return outcome._tag === "Running"
}

describe("lint", () => {
  it("says nothing of a plain tree", () => {
    assert.deepStrictEqual(Lint.of(Supervisor.make("app", { ...app, children: [leaf("a"), leaf("b")] })), [])
  })

  it("finds delays that never let the window fill", () => {
    const tree = Supervisor.make("app", { ...app, restart: limit(5, "10 seconds", Schedule.spaced("3 seconds")), children: [leaf("a")] })
    const [finding, ...others] = Lint.of(tree)
    assert.deepStrictEqual(others, [])
    assert.deepStrictEqual(finding, {
      rule: "budget_never_spent",
      path: "app",
      message:
        "app/a waits too long before its restarts: no 10000 ms ever hold more than 5 restarts, so it restarts for ever and app never " +
        `gives up. Lengthen the window, shorten the delays, or say "unlimited" if that is meant`
    })
    assert.isTrue(outlives(tree, "app/a", 100))
  })

  it("finds a window that is too short for what a supervisor below takes to give up", () => {
    const inner = Supervisor.make("inner", { ...app, restart: limit(5, "10 seconds"), children: [leaf("a")] })
    const tree = Supervisor.make("app", { ...app, children: [inner] })
    assert.deepStrictEqual(rules(tree), ["budget_never_spent at app"])
    assert.include(Lint.of(tree)[0]!.message, "when app/inner/a dies at once, app/inner gives up only after 1550 ms")
    assert.isTrue(outlives(tree, "app/inner/a", 200))
  })

  it("takes unlimited at its word", () => {
    const restart = RestartPolicy.make({ intensity: "unlimited" })
    assert.deepStrictEqual(rules(Supervisor.make("app", { ...app, restart, children: [leaf("a")] })), [])
  })

  it("finds siblings whose stop takes longer than the window can hold (T-5)", () => {
    const slow = Child.make("slow", { start: never, shutdown: "10 seconds" })
    const tree = Supervisor.make("app", { ...app, strategy: "one_for_all", children: [leaf("a"), slow] })
    assert.deepStrictEqual(rules(tree), ["slow_stop_drains_window at app"])
    assert.isTrue(outlives(tree, "app/a", 100, [["app/slow", 10_000]]))
    assert.isFalse(outlives(tree, "app/a", 100))
    assert.deepStrictEqual(rules(Supervisor.make("app", { ...app, children: [leaf("a"), slow] })), [], "nobody waits for it")
  })

  it("finds a backoff that starts over in the middle of a crash loop", () => {
    const restart = RestartPolicy.make({
      intensity: "unlimited",
      delay: Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("2 minutes")])
    })
    const [finding] = Lint.of(Supervisor.make("app", { ...app, restart, children: [leaf("a")] }))
    assert.strictEqual(finding!.rule, "backoff_restarts_itself")
    assert.include(finding!.message, "the delay before restart 7 of a crash loop is 64000 ms, and resetAfter is 60000 ms")
    assert.include(finding!.message, "the next delay is 1000 ms again")
  })

  it("finds limits that multiply beyond a bound", () => {
    const restart = limit(9, "1 hour", Schedule.spaced(0))
    const low = Supervisor.make("low", { ...app, restart, children: [leaf("a"), leaf("b")] })
    const tree = Supervisor.make("app", { ...app, restart, children: [Supervisor.make("middle", { ...app, restart, children: [low] })] })
    assert.deepStrictEqual(rules(tree), [])
    assert.deepStrictEqual(rules(tree, { maxStarts: 999 }), ["escalation_multiplies at app/middle/low"])
    assert.include(Lint.of(tree, { maxStarts: 999 })[0]!.message, "is started 1000 times before app ends")
  })

  it("finds a transient supervisor that would stay down unseen", () => {
    const inner = Supervisor.make("inner", { ...app, restartType: "transient", children: [leaf("a")] })
    assert.deepStrictEqual(rules(Supervisor.make("app", { ...app, children: [inner] })), [])
    const tree = Supervisor.make("app", { ...app, semantics: Semantics.otp, children: [inner] })
    assert.deepStrictEqual(rules(tree), ["stays_down_silently at app/inner"])
    assert.isTrue(outlives(tree, "app/inner/a", 100))
  })

  it("finds supervisors whose stop is limited, and trees that may take too long", () => {
    const inner = Supervisor.make("inner", { ...app, children: [leaf("a"), leaf("b")] })
    const tree = Supervisor.make("app", { ...app, children: [{ ...inner, shutdown: 8000 }, leaf("c")] })
    assert.deepStrictEqual(rules(tree), ["supervisor_stop_is_limited at app/inner"])
    assert.include(Lint.of(tree)[0]!.message, "is given 8000 ms; its children may need 10000 ms")
    assert.deepStrictEqual(rules(tree, { stopWithin: "13 seconds" }), ["supervisor_stop_is_limited at app/inner"])
    assert.include(rules(tree, { stopWithin: "12 seconds" }), "stop_takes_too_long at app")
  })

  it("finds auto-shutdown that can never fire", () => {
    const brief = Child.make("brief", { start: never, restart: "temporary", significant: true })
    const lasting = Child.make("lasting", { start: never, restart: "transient", significant: true })
    const make = (strategy: "one_for_one" | "one_for_all" | "rest_for_one", children: ReadonlyArray<Child.Any>) =>
      Supervisor.make<string, any>("app", { ...app, strategy, autoShutdown: "any", children })
    const found = ["auto_shutdown_never_fires at app"]
    assert.deepStrictEqual(rules(make("one_for_one", [leaf("a")])), found)
    assert.deepStrictEqual(rules(make("one_for_all", [brief, leaf("a")])), found)
    assert.deepStrictEqual(rules(make("rest_for_one", [leaf("a"), brief])), found)
    assert.deepStrictEqual(rules(make("rest_for_one", [brief, leaf("a")])), [])
    assert.deepStrictEqual(rules(make("one_for_one", [brief, leaf("a")])), [])
    assert.deepStrictEqual(rules(make("one_for_all", [brief, lasting, leaf("a")])), [])
  })
})

const limits = [[1, 5000], [3, 5000], [5, 10_000], [5, 30_000], [10, 60_000]] as const

/** What people write: one limit for the tree, a longer window the higher the supervisor, the default delay, short stops. */
const Sane = Schema.Struct({
  limit: Schema.Literals([0, 1, 2, 3, 4]),
  levels: Schema.NonEmptyArray(Schema.Struct({
    strategy: Schema.Literals(["one_for_one", "one_for_all", "rest_for_one", "dynamic"]),
    autoShutdown: Schema.Literals(["never", "any", "all"]),
    leaves: Schema.Array(Schema.Struct({
      restart: Schema.Literals(["permanent", "transient", "temporary"]),
      shutdown: Schema.Literals([5000, 1000, "brutal"])
    })).check(Schema.isMaxLength(3))
  })).check(Schema.isMaxLength(3))
})

const saneTree = ({ levels, limit }: typeof Sane.Type): Supervisor.Any => {
  const [maxRestarts, within] = limits[limit]
  const make = (depth: number, id: string): Child.Any => {
    const level = levels[depth]
    if (level === undefined) return Child.makeUnchecked(id, { start: never }, undefined)
    const restart = RestartPolicy.make({ intensity: { maxRestarts, within: within * 10 ** (levels.length - 1 - depth) } })
    const { strategy: _, ...flags } = app
    const options = { ...flags, restart }
    if (level.strategy === "dynamic") {
      return DynamicSupervisor.make<string, any>(id, {
        ...options,
        child: (key: string) => make(depth + 1, key)
      })
    }
    const last = Child.makeUnchecked("last", { start: never, restart: "transient", significant: level.autoShutdown !== "never" }, undefined)
    const leaves = level.leaves.map((facts, index) => Child.makeUnchecked(`leaf${index}`, { start: never, ...facts }, undefined))
    return Supervisor.make<string, any>(id, {
      ...options,
      strategy: level.strategy,
      autoShutdown: level.autoShutdown,
      children: [...leaves, make(depth + 1, "next"), last]
    })
  }
  return make(0, "app") as Supervisor.Any
}

describe("lint of sane trees", () => {
  it.prop("finds nothing", { sane: Sane }, ({ sane }) => {
    assert.deepStrictEqual(Lint.of(saneTree(sane), { stopWithin: "2 minutes" }), [])
  }, { arbitrary: { runs: Number(process.env["FORESIGHT"] ?? 1) * 100, size: 20 } })
})
