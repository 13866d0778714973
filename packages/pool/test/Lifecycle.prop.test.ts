import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import * as DispatchRepair from "../src/control/DispatchRepair.ts"
import { type CallError, PoolControl } from "../src/index.ts"
import { ScriptedRuntime, ScriptedTool } from "../src/testing/index.ts"
import { after, begin, openPools, scoped, tools } from "./OpenPools.ts"

const { ping: _, ...withoutPing } = tools
const code = {
  good: { tools },
  broken: { broken: "import" },
  bad: { tools: { ...tools, add: () => ScriptedTool.raise("ValueError", "no model", { bases: ["Exception"] }) } },
  lacking: { tools: withoutPing }
} as const

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const slot = int(0, 4)

const call = Schema.TaggedStruct("Call", { tool: Schema.Literals(["record", "again", "steps"]), session: Schema.Literals(["", "a", "b"]) })
const wait = Schema.TaggedStruct("Wait", { ms: Schema.Literals([10, 90, 300, 700, 1500]) })
const planned = [
  Schema.TaggedStruct("Recycle", { slot }),
  Schema.TaggedStruct("Scale", { size: int(1, 4) }),
  Schema.TaggedStruct("Reload", { code: Schema.Literals(["good", "good", "broken", "bad", "lacking"]) }),
  Schema.TaggedStruct("Cordon", { slot }),
  Schema.TaggedStruct("Uncordon", { slot }),
  Schema.TaggedStruct("Pause", { ms: Schema.Literals([100, 900]) }),
  Schema.TaggedStruct("Drain", { ms: Schema.Literals([100, 900]) }),
  Schema.TaggedStruct("RefuseBoots", { slot, times: int(1, 2) }),
  Schema.TaggedStruct("Kill", { path: Schema.Literals(["dispatcher", "lifecycle", "lifecycle", "launcher/worker_starter", "launcher"]) })
] as const
const Calm = Schema.Array(Schema.Union([call, call, call, wait, wait, ...planned])).check(Schema.isMaxLength(40))
const Harsh = Schema.Array(
  Schema.Union([call, call, call, wait, wait, ...planned.slice(0, 6), Schema.TaggedStruct("Crash", { slot }), ...planned.slice(8)])
).check(Schema.isMaxLength(40))

type Step = (typeof Calm.Type)[number] | (typeof Harsh.Type)[number]

const pool = {
  size: 2,
  prefetch: 1,
  recycle: { calls: 5, jitter: 0.5, every: "200 millis" },
  heartbeat: { interval: "10 seconds" },
  reload: { hold: "300 millis", probe: { tool: "add", arguments: { a: 1, b: 2 } } },
  launch: { spares: 1 },
  restart: { worker: { maxRestarts: 1000 }, fleet: { maxRestarts: 1000 }, pool: { maxRestarts: 1000 } }
} as const

/** Runs a script; gives what came of its calls, after looking at the pool all the while. */
const run = Effect.fnUntraced(function*(script: ReadonlyArray<Step>) {
  const scripted = ScriptedRuntime.make({ tools, bootTakes: "50 millis" })
  const start = yield* begin(openPools({ pools: { default: pool }, scripted }))
  yield* after("200 millis")
  const { kill, ledger, provided, recorded, roster, tools: client } = yield* Fiber.join(start)
  const control = yield* PoolControl.of("default").pipe(provided)
  const calls: Array<Fiber.Fiber<unknown, CallError.CallError>> = []
  const sizes = [pool.size as number]
  let crashes = 0

  let known = roster()
  let anew = false

  const look = () => {
    if (crashes > 0 && roster() !== known) { // a worker had to boot with code that does not import: all of its pool is tried again, as configured
      known = roster()
      anew = true
      sizes.splice(0, sizes.length, pool.size)
    }
    if (known === undefined) return
    const { lifecycle, state } = known
    const ready = state.slots.filter(({ tools }) => tools !== undefined).length
    const places = lifecycle.places.filter(({ doing }) => doing !== "free").length
    assert.isAtMost(places, Math.max(...sizes) + 1, "more places than the size and one")
    assert.isAtMost(scripted.alive().length, Math.max(...sizes) + 1, "more processes than the size and one")
    if (crashes === 0) assert.isAtLeast(ready, Math.min(...sizes), "fewer workers are ready than there should be")
  }
  const pass = Effect.fnUntraced(function*(millis: number) {
    for (let left = millis; left > 0; left -= 100) {
      yield* after(Math.min(left, 100))
      look()
    }
  })
  const act = (action: Effect.Effect<unknown, unknown>) => begin(Effect.ignoreCause(action))

  for (const step of script) {
    switch (step._tag) {
      case "Call": {
        const options = step.session === "" ? {} : { session: step.session }
        const made: Effect.Effect<unknown, CallError.CallError> = step.tool === "steps"
          ? Stream.runDrain(client.steps({ n: 4 }, options))
          : client[step.tool]({ n: calls.length }, options)
        calls.push(yield* begin(made))
        break
      }
      case "Wait":
        yield* pass(step.ms)
        break
      case "Recycle":
      case "Cordon":
      case "Uncordon":
        yield* act(control[step._tag === "Recycle" ? "recycle" : step._tag === "Cordon" ? "cordon" : "uncordon"](step.slot))
        break
      case "Scale":
        if (roster() !== undefined) sizes.push(step.size)
        yield* act(control.scale(step.size))
        break
      case "Reload":
        yield* scripted.deploy(code[step.code])
        yield* act(control.reload)
        break
      case "Pause":
      case "Drain":
        yield* act(step._tag === "Pause" ? control.pause : control.drain)
        yield* pass(step.ms)
        yield* act(step._tag === "Pause" ? control.resume : control.undrain)
        break
      case "RefuseBoots":
        yield* scripted.worker(`default/${step.slot}`).refuseBoots(step.times)
        break
      case "Kill":
        yield* act(kill(`default/control/${step.path}`))
        break
      case "Crash":
        crashes++
        yield* act(scripted.worker(`default/${step.slot}`).crash())
    }
    look()
  }
  yield* scripted.deploy(code.good)
  yield* pass(100)
  for (const { slot } of (yield* control.status).workers) yield* act(control.uncordon(slot))
  for (let slot = 0; slot < 6; slot++) yield* scripted.worker(`default/${slot}`).refuseBoots(0)
  yield* pass(2000)
  yield* after("1 minute") // the longest delay after a worker that did not come up
  yield* after("10 seconds")

  const outcomes = calls.map((fiber, index) => {
    const exit = fiber.pollUnsafe()
    assert.isDefined(exit, `call ${index} has no outcome`)
    return Exit.isSuccess(exit!) ? undefined : Option.getOrThrow(Cause.findErrorOption(exit.cause))
  })
  const status = yield* control.status
  const { accepted, cancelled, completed, failed, twice } = (yield* ledger())!
  assert.strictEqual(accepted, completed + failed + cancelled)
  assert.strictEqual(twice, 0)
  assert.deepStrictEqual(DispatchRepair.violations(roster().state), [])
  assert.strictEqual(status.size, sizes.at(-1))
  assert.strictEqual(status.ready, status.size)
  assert.strictEqual(scripted.alive().length, status.size)
  assert.strictEqual(scripted.spares("default").waiting().length, 1)
  assert.isTrue(status.workers.every(({ doing, version }) => doing === "serving" && version === status.version))
  assert.strictEqual(yield* client.length({ text: "abc" }), 3)
  const restarted = recorded.events.filter(({ name }) => /(worker|fleet)_supervisor\.(restart|give_up)$/.test(name))
  return { anew, outcomes, restarted }
})

describe("whatever is planned, in whatever order, and whoever carries it out crashes", () => {
  it.effect.prop(
    "no call fails, no restart is spent, N are ready all the while, and at rest there are exactly N",
    { script: Calm },
    ({ script }) =>
      scoped(Effect.gen(function*() {
        const { outcomes, restarted } = yield* run(script)
        assert.deepStrictEqual(outcomes.flatMap((error) => error === undefined || error._tag === "PoolDraining" ? [] : [error.message]), [])
        assert.deepStrictEqual(restarted, [])
      })),
    { arbitrary: { runs: 25, size: 40 }, timeout: 60_000 }
  )

  it.effect.prop(
    "with workers that crash among it: every call has one outcome, and at rest there are exactly N",
    { script: Harsh },
    ({ script }) =>
      scoped(Effect.gen(function*() {
        const { anew, outcomes } = yield* run(script)
        const tags = new Set(outcomes.flatMap((error) => error === undefined ? [] : [error._tag]))
        for (const tag of ["PoolDraining", "WorkerCrashed", "OutcomeUnknown"] as const) tags.delete(tag)
        if (anew) tags.delete("PoolDown")
        assert.deepStrictEqual([...tags], [])
      })),
    { arbitrary: { runs: 20, size: 40 }, timeout: 60_000 }
  )
})
