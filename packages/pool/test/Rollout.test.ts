import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { type PoolConfig, PoolControl } from "../src/index.ts"
import { ScriptedRuntime, ScriptedTool } from "../src/testing/index.ts"
import { after, begin, errorOf, openPools, scoped, tools } from "./OpenPools.ts"

const { ping: _, ...withoutPing } = tools

/** Versions of the adapter, told apart by what they add. */
const code = {
  good: { tools: { ...tools, add: () => 200 } },
  better: { tools: { ...tools, add: () => 300, more: () => 1 } },
  broken: { broken: "import" },
  bad: { tools: { ...tools, add: () => ScriptedTool.raise("ValueError", "no model", { bases: ["Exception"] }) } },
  lacking: { tools: { ...withoutPing, add: () => 400 } },
  changed: { tools: { ...tools, ping: tools.steps } }
} as const

const reload = { hold: "2 seconds", probe: { tool: "add", arguments: { a: 1, b: 2 } } } as const

const open = Effect.fnUntraced(function*(pool: PoolConfig.PoolConfigInput = {}) {
  const scripted = ScriptedRuntime.make({ tools, bootTakes: "200 millis" })
  const start = yield* begin(openPools({ pools: { default: { size: 2, reload, ...pool } }, scripted }))
  yield* after("1 second")
  const opened = yield* Fiber.join(start)
  const control = yield* PoolControl.of("default").pipe(opened.provided)
  const said = (name: string) => opened.recorded.events.filter((event) => event.name === `snakepit.${name}`)
  const restarts = () => opened.recorded.events.filter(({ name }) => name.endsWith("_supervisor.restart"))
  /** What each worker that serves adds, as it says itself. */
  const sums = Effect.gen(function*() {
    const { workers } = yield* control.status
    const calls = yield* Effect.forEach(workers, () => begin(opened.tools.add({ a: 1, b: 2 })))
    return yield* Effect.forEach(calls, Fiber.join)
  })
  return { ...opened, control, said, restarts, sums }
})

describe("a reload", () => {
  it.effect("gives one worker the new code, and the others when that has proved itself; N are ready all the while", () =>
    scoped(Effect.gen(function*() {
      const { control, ledger, restarts, said, scripted, sums } = yield* open({ launch: { spares: 1 } })
      const least: Array<number> = []
      const most: Array<number> = []
      yield* scripted.deploy(code.good)
      const reloaded = yield* begin(control.reload)
      const watch = Effect.fnUntraced(function*(steps: number) {
        for (let step = 0; step < steps; step++) {
          yield* after("100 millis")
          least.push((yield* control.status).ready)
          most.push(scripted.alive().length)
        }
      })
      yield* watch(10)
      assert.deepStrictEqual((yield* control.status).rollout, { version: "1+1", stage: "hold" })
      assert.sameMembers(yield* sums, [200, 3, 3])
      yield* scripted.worker("default/0").crash() // it comes back as it was
      yield* after("500 millis")
      assert.sameMembers(yield* sums, [200, 3, 3])
      yield* watch(50)
      assert.deepStrictEqual(yield* Fiber.join(reloaded), { version: "1+1" })
      assert.deepStrictEqual(yield* sums, [200, 200])
      assert.deepStrictEqual(scripted.alive().length, 2)
      assert.strictEqual(Math.min(...least), 2)
      assert.isAtMost(Math.max(...most), 3)
      assert.strictEqual(scripted.spares("default").waiting().length, 1)
      assert.deepStrictEqual(
        ["begin", "try", "promote", "finish", "fail"].map((verb) => said(`rollout.${verb}`).length),
        [1, 1, 1, 1, 0]
      )
      assert.strictEqual(restarts().length, 1) // the crash's
      yield* scripted.worker("default/2").crash() // and from now on as it is now
      yield* after("1 second")
      assert.deepStrictEqual(yield* sums, [200, 200])
      assert.strictEqual((yield* ledger())?.failed, 0)
    })))

  it.effect("rolls back what does not come up, lacks a tool, has another one, fails its probe or crashes while it is held: nothing else has changed", () =>
    scoped(Effect.gen(function*() {
      const { control, ledger, restarts, scripted, sums } = yield* open()
      const pids = () => [0, 1].map((slot) => scripted.worker(`default/${slot}`).pid())
      const before = pids()
      for (const [deployed, stage] of [["broken", "boot"], ["lacking", "catalogue"], ["changed", "catalogue"], ["bad", "probe"]] as const) {
        yield* scripted.deploy(code[deployed])
        const reloaded = yield* begin(control.reload)
        yield* after("2 seconds")
        const failed = yield* errorOf(reloaded)
        assert.deepInclude(failed, { _tag: "RolloutFailed", stage })
        const status = yield* control.status
        assert.deepStrictEqual(status.failed, failed)
        assert.deepInclude(status, { ready: 2, rollout: undefined, version: "1" })
        assert.deepStrictEqual(yield* sums, [3, 3])
      }
      assert.deepStrictEqual(restarts(), [])
      assert.strictEqual((yield* ledger())?.failed, 1) // the probe's call

      yield* scripted.deploy(code.good)
      const reloaded = yield* begin(control.reload)
      yield* after("1 second")
      yield* scripted.worker("default/2").crash()
      yield* after("1 second")
      assert.deepInclude(yield* errorOf(reloaded), { _tag: "RolloutFailed", stage: "hold" })
      assert.deepStrictEqual(scripted.alive(), ["default/0", "default/1"])
      assert.deepStrictEqual(pids(), before)
    })))

  it.effect("keeps the canary from calls until its probe has succeeded, and the tools of the pool as they were until it is promoted", () =>
    scoped(Effect.gen(function*() {
      const { control, roster, scripted, tools: client } = yield* open({
        size: 1,
        reload: { hold: "1 second", probe: { tool: "record", arguments: { n: 7 } } }
      })
      yield* scripted.deploy(code.better)
      yield* begin(control.reload)
      yield* after("500 millis")
      assert.strictEqual((yield* control.status).rollout?.stage, "probe")
      const busy = yield* begin(client.record({ n: 1 }))
      yield* begin(client.record({ n: 2 }))
      yield* after("100 millis")
      assert.deepStrictEqual(scripted.journal.map(({ args, worker }) => [worker, (args as { readonly n: number }).n]), [
        ["default/1", 7],
        ["default/0", 1]
      ])
      assert.isFalse(roster().state.tools?.has("more"))
      yield* after("5 seconds")
      assert.strictEqual(yield* Fiber.join(busy), 1)
      assert.isTrue(roster().state.tools?.has("more"))
    })))

  it.effect("takes tools away where it may", () =>
    scoped(Effect.gen(function*() {
      const { control, scripted, tools: client } = yield* open({ reload: { hold: "0 millis", tools: "any" } })
      yield* scripted.deploy(code.lacking)
      const reloaded = yield* begin(control.reload)
      yield* after("3 seconds")
      yield* Fiber.join(reloaded)
      assert.strictEqual((yield* Effect.flip(client.ping()))._tag, "ToolNotFound")
    })))

  it.effect("sends no call to a worker on trial that only the version before can do: it waits for another", () =>
    scoped(Effect.gen(function*() {
      const { control, scripted, tools: client } = yield* open({ size: 1, reload: { hold: "10 seconds", tools: "any" } })
      yield* scripted.deploy(code.lacking)
      yield* begin(control.reload)
      yield* after("1 second")
      assert.deepInclude((yield* control.status).rollout, { stage: "hold" })
      yield* begin(client.record({ n: 1 })) // now the one on trial is the freest
      yield* after("100 millis")
      assert.strictEqual(scripted.journal.at(-1)?.worker, "default/0")
      const pings = [yield* begin(client.ping()), yield* begin(client.ping(undefined, { session: "s" }))]
      yield* after("2500 millis")
      yield* Effect.forEach(pings, Fiber.join)
      yield* Effect.forEach([1, 2, 3], () => client.ping())
      assert.deepStrictEqual(
        new Set(scripted.journal.flatMap(({ tool, worker }) => tool === "ping" ? [worker] : [])),
        new Set(["default/0"])
      )
      const adds = yield* Effect.forEach([1, 2], () => begin(client.add({ a: 1, b: 2 })))
      assert.sameMembers(yield* Effect.forEach(adds, Fiber.join), [3, 400])
    })))

  it.effect("gives way to a newer one, whose canary begins at once; one that waits takes the newest code", () =>
    scoped(Effect.gen(function*() {
      const { control, said, scripted, sums } = yield* open()
      yield* scripted.deploy(code.good)
      const first = yield* begin(control.reload)
      yield* after("1 second")
      yield* scripted.deploy(code.better)
      const second = yield* begin(control.reload)
      const same = yield* begin(control.reload)
      yield* after("10 seconds")
      assert.deepInclude(yield* errorOf(first), { _tag: "RolloutSuperseded", version: "1+1", by: "1+2" })
      assert.deepStrictEqual([yield* Fiber.join(second), yield* Fiber.join(same)], [{ version: "1+2" }, { version: "1+2" }])
      assert.deepStrictEqual(yield* sums, [300, 300])
      assert.strictEqual(said("rollout.begin").length, 2)
      assert.deepStrictEqual(said("rollout.fail"), [])
    })))

  it.effect("that has proved itself is given to the rest although a newer one, which took its place, is rolled back", () =>
    scoped(Effect.gen(function*() {
      const { control, said, scripted, sums } = yield* open({ size: 4, reload: { hold: "0 millis" } })
      yield* scripted.deploy(code.good)
      const first = yield* begin(control.reload)
      for (let step = 0; said("rollout.promote").length === 0 && step < 50; step++) yield* after("50 millis")
      yield* scripted.deploy(code.broken)
      const second = yield* begin(control.reload)
      yield* after("100 millis")
      assert.deepInclude(yield* errorOf(first), { _tag: "RolloutSuperseded" })
      yield* after("500 millis")
      yield* scripted.deploy(code.good)
      yield* after("20 seconds")
      assert.deepInclude(yield* errorOf(second), { _tag: "RolloutFailed", stage: "boot" })
      assert.deepStrictEqual(yield* sums, [200, 200, 200, 200])
      assert.deepInclude(yield* control.status, { ready: 4, version: "1+1", rollout: undefined })
    })))

  it.effect("goes on without a forkserver when that does not come up with the new code, and asks for it again", () =>
    scoped(Effect.gen(function*() {
      const { control, said, scripted, sums } = yield* open()
      yield* scripted.deploy(code.good)
      yield* scripted.refuseForkserver("default", 1, "timeout")
      const reloaded = yield* begin(control.reload)
      yield* after("10 seconds")
      yield* Fiber.join(reloaded)
      assert.deepStrictEqual(yield* sums, [200, 200])
      assert.strictEqual(said("lifecycle.renew_fail").length, 1)
    })))

  it.effect("and every recycle go on while a forkserver never comes up again", () =>
    scoped(Effect.gen(function*() {
      const { control, said, scripted, sums } = yield* open()
      yield* scripted.deploy(code.good)
      yield* scripted.refuseForkserver("default", Number.POSITIVE_INFINITY, "timeout")
      const reloaded = yield* begin(control.reload)
      yield* after("10 seconds")
      assert.deepStrictEqual(yield* Fiber.join(reloaded), { version: "1+1" })
      const [slot] = (yield* control.status).workers.map(({ slot }) => slot)
      const recycled = yield* begin(control.recycle(slot!))
      yield* after("2 minutes")
      yield* Fiber.join(recycled)
      assert.deepStrictEqual(yield* sums, [200, 200])
      assert.isAtLeast(said("lifecycle.renew_fail").length, 5)
      yield* scripted.refuseForkserver("default", 0, "timeout")
    })))

  it.effect("is gone on with after a crash of the lifecycle, at each of its stages", () =>
    scoped(Effect.gen(function*() {
      const { control, kill, scripted, sums } = yield* open({ restart: { pool: { maxRestarts: 100 } } })
      yield* scripted.deploy(code.good)
      const reloaded = yield* begin(control.reload)
      for (let crash = 0; crash < 40; crash++) {
        yield* kill("default/control/lifecycle")
        yield* after("230 millis")
      }
      yield* after("20 seconds")
      assert.deepStrictEqual(yield* Fiber.join(reloaded), { version: "1+1" })
      assert.deepStrictEqual(yield* sums, [200, 200])
      assert.strictEqual(scripted.alive().length, 2)
    })))
})
