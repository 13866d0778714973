/** Large payloads between a host and real workers: through shared memory where there is room, in frames where there is not, and nothing of it is left. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema, type Scope } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import type { Socket } from "node:net"
import { join } from "node:path"
import { type EventBus, NdArray, Pool, Snakepit } from "snakepit"
import { config, start, survivors, until } from "./fixtures/Program.ts"
import { pidOf, recorder } from "./fixtures/Recorder.ts"
import { Tools } from "./fixtures/Tools.ts"

const folderOf = (runId: string): string => join("/dev/shm", `snakepit-${runId}`)

/** Segments of a run by name, with their sizes. */
const segmentsOf = (runId: string): ReadonlyMap<string, number> =>
  new Map(
    readdirSync(folderOf(runId), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry): [string, number] => [entry.name, statSync(join(entry.parentPath, entry.name)).size])
  )

/** The run that a program is in. */
const here = Effect.map(Snakepit.Snakepit, ({ runId }) => runId)

/** Its Reapers, by their command lines. */
const reapersOf = async (runId: string): Promise<ReadonlyArray<number>> =>
  (await survivors(runId)).filter(({ pid }) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("snakepit_reaper")).map(({ pid }) =>
    pid
  )

const mib = 1024 * 1024
const one = { size: 1, maxPayload: 32 * mib }

const data = (bytes: number, seed = 0): Uint8Array => {
  const made = new Uint8Array(bytes)
  for (let at = 0; at < bytes; at += 4099) made[at] = at + seed
  return made
}

const same = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0

class Arrays extends RpcGroup.make(
  Rpc.make("twice", { payload: { array: NdArray.schema }, success: NdArray.schema }),
  Rpc.make("keep", { payload: { array: NdArray.schemaOf("float64") }, success: Schema.Int }),
  Rpc.make("kept", { success: Schema.Array(Schema.Finite) })
) {}

const scoped = <E>(
  test: Effect.Effect<void, E, Pool.Pools | Snakepit.Snakepit | EventBus.EventBus | Scope.Scope>,
  python: NonNullable<Parameters<typeof config>[0]> = {},
  pool: NonNullable<Parameters<typeof config>[1]> = one
) => test.pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(config(python, pool))))

describe("large payloads", () => {
  it.live("travel in segments that are used again, and leave nothing", () => {
    let runId = ""
    return scoped(Effect.gen(function*() {
      runId = yield* here
      const { echo } = yield* Pool.client(Tools)
      for (const bytes of [65_536, 100_000, 3 * mib, 20 * mib, 70_000, 3 * mib]) {
        assert.isTrue(same(yield* echo({ data: data(bytes, bytes) }), data(bytes, bytes)))
      }
      const sizes = segmentsOf(runId)
      assert.isAtMost([...sizes.keys()].filter((name) => name.startsWith("h")).length, 4)
      assert.isAbove(sizes.size, 2)
    })).pipe(Effect.tap(() => Effect.sync(() => assert.isFalse(existsSync(folderOf(runId))))))
  })

  it.live("stay what they are for as long as their caller holds them", () =>
    scoped(Effect.gen(function*() {
      const { echo } = yield* Pool.client(Tools)
      const held = yield* Effect.forEach(Array.from({ length: 24 }, (_, n) => n), (n) => echo({ data: data(2 * mib, n) }))
      const part = held[3]!.subarray(4099)
      for (const n of held.keys()) yield* echo({ data: data(2 * mib, 100 + n) })
      for (const [n, bytes] of held.entries()) assert.isTrue(same(bytes, data(2 * mib, n)), `result ${n}`)
      process.kill(yield* pidOf(0), "SIGKILL")
      yield* echo({ data: data(2 * mib) }).pipe(Effect.retry({ times: 3 }))
      assert.isTrue(same(part, data(2 * mib, 3).subarray(4099)))
    })))

  it.live("travel in frames when the segments are full, or there are none", () =>
    Effect.gen(function*() {
      for (const sharedMemory of [0, 2 * mib]) {
        yield* scoped(
          Effect.gen(function*() {
            const { echo } = yield* Pool.client(Tools)
            const results = yield* Effect.forEach(
              Array.from({ length: 8 }, (_, n) => n),
              (n) => Effect.map(echo({ data: data(700_000 + n * mib / 4, n) }), (back) => same(back, data(700_000 + n * mib / 4, n))),
              { concurrency: 8 }
            )
            assert.notInclude(results, false)
            const total = [...segmentsOf(yield* here).values()].reduce((sum, size) => sum + size, 0)
            assert.isAtMost(total, sharedMemory)
            assert.strictEqual(total > 0, sharedMemory > 0)
          }),
          { sharedMemory },
          { ...one, prefetch: 8 }
        )
      }
    }))

  it.live("lose nothing when their stream is cut", () => {
    const dialled: Array<Socket> = []
    const note = (message: unknown) => void dialled.push((message as { readonly socket: Socket }).socket)
    subscribe("net.client.socket", note)
    return scoped(
      Effect.gen(function*() {
        const { echo } = yield* Pool.client(Tools)
        const ledger = Pool.ledger()
        for (let round = 0; round < 4; round++) {
          const calls = yield* Effect.forEach(
            [1, 2, 3, 4],
            (n) => Effect.forkChild(echo({ data: data(mib + n, n) }), { startImmediately: true })
          )
          if (round % 3 === 0) yield* Effect.sleep(round)
          dialled.at(-1)!.destroy()
          for (const [index, call] of calls.entries()) assert.isTrue(same(yield* Fiber.join(call), data(mib + index + 1, index + 1)))
        }
        assert.include(yield* ledger, { completed: 16, failed: 0, retried: 0, twice: 0 })
      }),
      {},
      { ...one, prefetch: 4, restart: { worker: { maxRestarts: 100 } } }
    ).pipe(
      Effect.ensuring(Effect.sync(() => unsubscribe("net.client.socket", note)))
    )
  })

  it.live("of a worker that is killed while they are out are gone with it", () =>
    scoped(
      Effect.gen(function*() {
        const runId = yield* here
        const { awaitEvent } = yield* recorder(0)
        const { echo, nap } = yield* Pool.client(Tools)
        yield* echo({ data: data(4 * mib) })
        const running = yield* Effect.forkChild(nap({ seconds: 600 }), { startImmediately: true })
        const waiting = yield* Effect.forkChild(Effect.exit(echo({ data: data(8 * mib) })), { startImmediately: true })
        yield* Effect.promise(() => until(() => segmentsOf(runId).size, (count) => count >= 3))
        process.kill(yield* pidOf(0), "SIGKILL")
        yield* awaitEvent("snakepit.worker_supervisor.recover")
        yield* Fiber.interrupt(running)
        yield* Fiber.await(waiting)
        yield* Effect.promise(() => until(() => readdirSync(folderOf(runId)).length, (left) => left === 1))
      }),
      {},
      { ...one, prefetch: 2 }
    ))

  it("of a host that is killed are gone with its workers, and with the Reaper killed too, after the next start", async () => {
    const settings = JSON.stringify(config())
    const first = start([settings, "large"])
    const killed = await first.said("run")
    await first.said("ready")
    assert.strictEqual(segmentsOf(killed).size, 2)
    first.child.kill("SIGKILL")
    await first.ended
    assert.isFalse(await until(() => existsSync(folderOf(killed)), (is) => !is))

    const second = start([settings, "large"])
    const runId = await second.said("run")
    await second.said("ready")
    for (const pid of await reapersOf(runId)) process.kill(pid, "SIGSTOP")
    second.child.kill("SIGKILL")
    for (const pid of await reapersOf(runId)) process.kill(pid, "SIGKILL")
    await second.ended
    assert.strictEqual(segmentsOf(runId).size, 2)

    const third = start([settings, "wait"])
    await third.said("run")
    assert.isFalse(existsSync(folderOf(runId)))
    third.child.kill("SIGTERM")
    await third.ended
  })
})

describe("numpy arrays", () => {
  it.live("arrive as arrays, both ways, without a copy, and one that a tool keeps stays what it is", () =>
    scoped(
      Effect.gen(function*() {
        const { keep, kept, twice } = yield* Pool.client(Arrays)
        const small = yield* twice({ array: NdArray.make("int64", [2, 1], BigInt64Array.of(1n, -2n)) })
        assert.deepStrictEqual(small, NdArray.make("int64", [2, 1], BigInt64Array.of(2n, -4n)))
        const large = Float64Array.from({ length: 300_000 }, (_, index) => index)
        const { data, dtype, shape } = yield* twice({ array: NdArray.make("float64", [3, 100_000], large) })
        assert.deepStrictEqual([dtype, shape], ["float64", [3, 100_000]])
        assert.isTrue((data as Float64Array).every((value, index) => value === 2 * index))
        for (let n = 1; n <= 6; n++) {
          const count = yield* keep({ array: NdArray.make("float64", [200_000], new Float64Array(200_000).fill(n)) })
          assert.strictEqual(count, n)
        }
        assert.deepStrictEqual(yield* kept(), [1, 2, 3, 4, 5, 6])
      }),
      { adapter: "arrays" }
    ))
})
