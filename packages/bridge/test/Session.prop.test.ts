/** A session over streams that are cut at any message, and against a worker that says anything at all. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { PoolConfig, type WorkerError } from "@snakepit/pool"
import { Deferred, Effect, Schema } from "effect"
import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ConnectResponseSchema, type Welcome } from "../gen/snakepit/v1/worker_pb.ts"
import * as Session from "../src/channel/Session.ts"
import { Traffic } from "../src/channel/Traffic.ts"
import type { ProcessExit } from "../src/process/ReapedProcess.ts"
import * as Damage from "./Damage.ts"
import { ScriptedWorker } from "./ScriptedWorker.ts"

const config = Schema.decodeUnknownSync(PoolConfig.PoolConfig)({})

/** Both ends, and what the host hears. */
const pair = (folder?: string) => {
  const worker = new ScriptedWorker()
  worker.manual = true
  const heard: Array<number> = []
  let broken = 0
  const reaper = { catalogues: new Map<number, string>(), traffic: new Traffic() }
  const reaped = { worker: "default/0", exited: Deferred.makeUnsafe<ProcessExit>(), reaper }
  const session = new Session.Session(
    {
      process: {
        pid: process.pid,
        roll: 0,
        socket: "",
        token: "",
        segments: folder === undefined ? undefined : { folder, limit: 1 << 20 },
        reaped
      },
      config: () => config
    },
    worker.open
  )
  session.listen({
    frame: (frame) => {
      if ("id" in frame) heard.push(frame.id)
    },
    broken: () => {
      broken++
    },
    over: () => {}
  })
  const connect = () => session.connect(Deferred.makeUnsafe<Welcome, WorkerError.HandshakeFailed | WorkerError.ChannelLost>(), false)
  return { worker, session, heard, connect, broken: () => broken }
}

/** Time for what was said to leave: a turn of the loop, and one more for those whom a response wakes. */
const tick = Effect.promise(() => new Promise<void>((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve)))))

const Step = Schema.Literals([
  "host says",
  "host says",
  "worker says",
  "worker says",
  "to worker",
  "to host",
  "to worker",
  "to host",
  "cut",
  "dial"
])
const Schedule = Schema.Array(Step).check(Schema.isMinLength(10), Schema.isMaxLength(60))

describe("a session", () => {
  it.effect.prop(
    "brings every frame once and in order, both ways, whenever its streams are cut",
    { schedules: Schema.Array(Schedule).check(Schema.isMinLength(10), Schema.isMaxLength(10)) },
    ({ schedules }) =>
      Effect.forEach(schedules, (schedule) =>
        Effect.gen(function*() {
          const { connect, heard, session, worker } = pair()
          let host = 0
          let python = 0
          connect()
          worker.deliver(worker.streams[0]!)
          for (const step of schedule) {
            const stream = worker.streams.at(-1)!
            switch (step) {
              case "host says":
                session.outbox.say().cancel(++host)
                yield* tick
                break
              case "worker says":
                worker.say({ case: "done", value: { id: BigInt(++python) } })
                break
              case "to worker":
                worker.toWorker(stream)
                break
              case "to host":
                worker.toHost(stream)
                break
              case "cut":
                worker.cut(stream)
                break
              case "dial":
                if (stream.closed) connect()
            }
          }
          worker.cut()
          connect()
          for (let turn = 0; turn < schedule.length; turn++) {
            worker.deliver(worker.streams.at(-1)!)
            yield* tick
          }
          const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)
          assert.deepStrictEqual(worker.heard.map((frame) => frame.case === "cancel" && Number(frame.value.id)), upTo(host))
          assert.deepStrictEqual(heard, upTo(python))
          session.end("the test is over", false)
        }), { discard: true }),
    { arbitrary: { runs: 250 } } // 2,500 schedules
  )

  it.effect("has at most two batches unread, and acknowledges with what it says", () =>
    Effect.gen(function*() {
      const { connect, session, worker } = pair()
      connect()
      const stream = worker.streams[0]!
      worker.deliver(stream)
      for (let id = 1; id <= 5; id++) {
        session.outbox.say().cancel(id)
        yield* tick
      }
      assert.lengthOf(stream.toWorker, 2)
      worker.say({ case: "done", value: { id: 1n } })
      worker.toHost(stream)
      worker.toWorker(stream)
      worker.toHost(stream) // it has read the first batch
      yield* tick
      assert.lengthOf(stream.toWorker, 2)
      worker.deliver(stream)
      yield* tick
      worker.deliver(stream)
      assert.deepStrictEqual(worker.heard.map((frame) => frame.case === "cancel" && Number(frame.value.id)), [1, 2, 3, 4, 5])
      assert.lengthOf(worker.session!.responses, 0)
      session.end("the test is over", false)
    }))

  it.effect("acknowledges alone when it has nothing to say: after 64 responses, or 1 MiB", () =>
    Effect.sync(() => {
      const { connect, session, worker } = pair()
      connect()
      const stream = worker.streams[0]!
      worker.deliver(stream)
      const done = (bytes: number) => {
        worker.say({ case: "done", value: { id: 1n, payload: new Uint8Array(bytes) } })
        worker.toHost(stream)
      }
      for (let count = 0; count < 63; count++) done(1)
      assert.lengthOf(stream.toWorker, 0)
      done(1)
      worker.deliver(stream)
      assert.lengthOf(worker.session!.responses, 0)
      done(1024 * 1024)
      worker.deliver(stream)
      assert.lengthOf(worker.session!.responses, 0)
      session.end("the test is over", false)
    }))

  type Hostile = MessageInitShape<typeof ConnectResponseSchema>
  const hostile: ReadonlyArray<Hostile> = [
    { batch: 2n, frames: [{ frame: { case: "done", value: { id: 1n } } }] }, // a gap
    { batch: 0n, frames: [{ frame: { case: "done", value: { id: 1n } } }] },
    { batch: 0xffff_ffff_ffff_ffffn, frames: [{ frame: { case: "done", value: { id: 1n } } }] },
    { batch: 1n, read: 99n, frames: [{ frame: { case: "done", value: { id: 1n } } }] },
    { read: 0xffff_ffff_ffff_ffffn },
    { batch: 1n, frames: [{ frame: { case: "done", value: { id: 0xffff_ffff_ffff_ffffn } } }] },
    { batch: 1n, frames: [{ frame: { case: "done", value: { id: 1n, shared: { segment: 1n, length: 1n } } } }] },
    { batch: 1n, frames: [{ frame: { case: "item", value: { id: 1n, shared: { segment: 1n, length: 1n << 53n } } } }] },
    { batch: 1n, frames: [{ frame: { case: "free", value: { segments: [1n] } } }] },
    { batch: 1n, frames: [{ frame: { case: "hostCall", value: { call: 1n, number: 0n, name: "a" } } }] },
    { batch: 1n, frames: [{ frame: { case: "hostCall", value: { call: 1n, number: 2n, name: "a" } } }] },
    { batch: 1n, frames: [1n, 1n].map((number) => ({ frame: { case: "hostCall", value: { call: 1n, number, name: "a" } } })) },
    { batch: 1n, frames: [{ frame: { case: "hostCallCancel", value: { number: 1n } } }] },
    { batch: 1n, frames: [{ frame: { case: "hostCallCancel", value: { number: 0n } } }] }
  ]

  it.prop(
    "reads a payload in a segment of the worker or ends its stream, whatever the worker says of it",
    { seed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff_ffff })) },
    ({ seed }) => {
      const folder = mkdtempSync(join(tmpdir(), "snakepit-session-"))
      try {
        const random = Damage.chance(seed)
        const among = <A>(values: ReadonlyArray<A>): A => values[Math.floor(random() * values.length)]!
        const numbers = [0n, 1n, 2n, 3n, 4n, 70_000n, 1n << 32n, (1n << 53n) - 1n, 1n << 53n, (1n << 64n) - 1n]
        for (let round = 0; round < 100; round++) {
          const { broken, connect, heard, session, worker } = pair(folder)
          connect()
          worker.deliver(worker.streams[0]!)
          writeFileSync(join(session.segments.folder, "w1"), Buffer.alloc(70_000, 1))
          symlinkSync("/etc/hostname", join(session.segments.folder, "w2"))
          const shared = { segment: among(numbers), length: among(numbers) }
          const frame = among<NonNullable<NonNullable<Hostile["frames"]>[number]["frame"]>>([
            { case: "done", value: { id: 7n, shared } },
            { case: "item", value: { id: 7n, shared, payload: Uint8Array.of(1) } },
            { case: "free", value: { segments: [shared.segment] } }
          ])
          const good = frame.case !== "free" && shared.segment === 1n && shared.length > 0n && shared.length <= 70_000n
          const encoded = toBinary(ConnectResponseSchema, create(ConnectResponseSchema, { batch: 1n, frames: [{ frame }] }))
          worker.streams[0]!.listener.message(Buffer.from(encoded))
          assert.deepStrictEqual([broken(), heard], good ? [0, [7]] : [1, []])
          for (const damaged of Damage.variants(encoded, seed + round, 5)) worker.streams[0]!.listener.message(damaged)
          assert.isAtMost(broken(), 1)
          session.end("the test is over", false)
          assert.deepStrictEqual(readdirSync(folder), [])
        }
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
    { arbitrary: { runs: 20 } } // 12,000 messages
  )

  it.prop(
    "ends its stream, typed and once, when the worker says what is no message or breaks a rule; it does not throw",
    { seed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff_ffff })) },
    ({ seed }) => {
      const valid = create(ConnectResponseSchema, {
        batch: 1n,
        read: 0n,
        frames: [
          { frame: { case: "started", value: { id: 300n } } },
          { frame: { case: "done", value: { id: 300n, payload: Uint8Array.of(1, 2, 3) } } },
          { frame: { case: "failed", value: { id: 301n, reason: { case: "exception", value: { type: "ValueError", message: "no" } } } } },
          { frame: { case: "hostCall", value: { call: 300n, number: 1n, name: "find", payload: Uint8Array.of(0x80), waits: true } } },
          { frame: { case: "hostCallCancel", value: { number: 1n } } },
          { frame: { case: "welcome", value: {} } }
        ]
      })
      for (const damaged of Damage.variants(toBinary(ConnectResponseSchema, valid), seed, 100)) {
        const { broken, connect, session, worker } = pair()
        const opened = connect()
        const stream = worker.streams[0]!
        if (damaged.length % 2 === 0) worker.deliver(stream) // else it is the first that the host hears
        stream.listener.message(damaged)
        const ended = Deferred.isDoneUnsafe(opened.broken)
        if (ended) assert.isTrue(stream.closed)
        stream.listener.message(damaged)
        assert.isAtMost(broken(), 1)
        session.end("the test is over", false)
      }
    },
    { arbitrary: { runs: 100 } } // 10,000 messages
  )

  it.effect("says which rule a worker has broken", () =>
    Effect.gen(function*() {
      for (const message of hostile) {
        const { connect, session, worker } = pair()
        const { broken } = connect()
        worker.deliver(worker.streams[0]!)
        worker.streams[0]!.listener.message(Buffer.from(toBinary(ConnectResponseSchema, create(ConnectResponseSchema, message))))
        const { byWorker, detail } = yield* Deferred.await(broken)
        assert.match(detail, /^the worker broke a rule of the protocol: /)
        assert.isFalse(byWorker)
        assert.isTrue(session.isOver, "what it said beside it is lost: what was in flight is settled, and no stream goes on with that")
      }
    }))
})
