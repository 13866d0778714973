import { assert, describe, it } from "@effect/vitest"
import { Child, DynamicSupervisor, Preview, RestartPolicy, Semantics, Simulation, Supervisor } from "@snakepit/core"
import { Effect, Schedule } from "effect"
import { common } from "./AppContract.ts"

const { Line } = Simulation
const never = Effect.succeed(Effect.never)
const leaf = <const Id extends string>(id: Id) => Child.make(id, { start: never })
const limit = (delay?: Schedule.Schedule<unknown, RestartPolicy.ChildExit>) =>
  RestartPolicy.make({ intensity: { maxRestarts: 3, within: "5 seconds" }, delay })
const flags = { ...common, restart: limit() } as const
const app = { ...flags, strategy: "one_for_one" } as const

const loopOf = (tree: Supervisor.Any) => Preview.of(tree).children[0]!.crashLoop!

describe("a preview", () => {
  it("is drawn with one child a line", () => {
    const workers = DynamicSupervisor.make("workers", { ...flags, child: (key: string) => leaf(key) })
    const tree = Supervisor.make("app", {
      ...app,
      strategy: "rest_for_one",
      children: [leaf("db"), Child.make("seed", { start: never, restart: "temporary" }), workers]
    })
    assert.strictEqual(
      Preview.render(Preview.of(tree)),
      [
        "app  rest_for_one, 3 restarts in 5000 ms",
        "├─ db  permanent · 4 starts, then app gives up after 350 ms · takes along app/seed, app/workers, app/workers/<key>",
        "├─ seed  temporary · 1 start, then app/seed stays down after 0 ms",
        "└─ workers  permanent dynamic, 3 restarts in 5000 ms",
        "  └─ <key>  permanent · 16 starts, then app gives up after 1750 ms"
      ].join("\n")
    )
  })

  it("says where a loop never ends", () => {
    const restart = RestartPolicy.make({ intensity: "unlimited" })
    const inner = Supervisor.make("inner", { ...app, restart, children: [leaf("a")] })
    const preview = Preview.of(Supervisor.make("app", { ...app, children: [inner] }))
    assert.include(Preview.render(preview), "a  permanent · started for ever: app/inner never gives up")
    assert.strictEqual(preview.children[0]!.supervisor!.children[0]!.crashLoop!.starts, Infinity)
  })

  it("stops where a transient supervisor stays down, as in OTP", () => {
    const inner = Supervisor.make("inner", { ...app, restartType: "transient", children: [leaf("a")] })
    const tree = Supervisor.make("app", { ...app, semantics: Semantics.otp, children: [inner] })
    const { crashLoop } = Preview.of(tree).children[0]!.supervisor!.children[0]!
    assert.deepStrictEqual(crashLoop, { starts: 4, earliest: 0, latest: 0, ending: { _tag: "StaysDown", path: "app/inner" } })
  })

  it("bounds random delays, and holds", () => {
    const tree = Supervisor.make("app", { ...app, restart: limit(Schedule.jittered(Schedule.spaced("1 second"))), children: [leaf("a")] })
    const { earliest, latest, starts } = loopOf(tree)
    assert.strictEqual(starts, 4)
    assert.closeTo(earliest, 2400, 1e-6)
    assert.closeTo(latest, 3600, 1e-6)
    for (let run = 0; run < 20; run++) {
      const { millis, outcome } = Simulation.simulate(
        tree,
        [0, 1, 2, 3].flatMap(() => [Line.Exit({ path: "app/a", how: "failed" }), Line.Wait({ millis: 1200 })])
      )
      assert.strictEqual(outcome._tag, "Failed")
      assert.isAtMost(millis, 3600)
    }
  })

  it("says that random delays which may let the window drain end never, at the latest", () => {
    const tree = Supervisor.make("app", {
      ...app,
      restart: limit(Schedule.jittered(Schedule.spaced("1800 millis"))),
      children: [leaf("a")]
    })
    const { earliest, ending, latest, starts } = loopOf(tree)
    assert.closeTo(earliest, 4320, 1e-6)
    assert.deepStrictEqual({ ending, latest, starts }, { ending: { _tag: "Never", path: "app" }, latest: Infinity, starts: Infinity })
  })

  it("does not pretend to know random delays that begin anew, nor those that are not known at once", () => {
    const restart = RestartPolicy.make({
      intensity: { maxRestarts: 3, within: "5 seconds" },
      delay: Schedule.jittered(Schedule.spaced("1 second")),
      resetAfter: "1 second"
    })
    assert.strictEqual(loopOf(Supervisor.make("app", { ...app, restart, children: [leaf("a")] })).ending._tag, "Unknown")
    const asked = limit(Schedule.addDelay(Schedule.forever, () => Effect.as(Effect.sleep(1), 5)))
    const { crashLoop, path } = Preview.of(Supervisor.make("app", { ...app, restart: asked, children: [leaf("a")] })).children[0]!
    assert.deepStrictEqual(crashLoop, { starts: Infinity, earliest: 0, latest: Infinity, ending: { _tag: "Unknown", path: "app" } })
    assert.strictEqual(path, "app/a")
  })
})
