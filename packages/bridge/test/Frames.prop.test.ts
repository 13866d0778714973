/** The frames that are written and read by hand are those of protobuf-es, byte for byte and value for value. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Payload } from "@snakepit/pool"
import { Schema } from "effect"
import { ConnectRequestSchema, ConnectResponseSchema, type Done, type HostCall, type Item } from "../gen/snakepit/v1/worker_pb.ts"
import * as Frames from "../src/channel/Frames.ts"
import * as Damage from "./Damage.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
/** Where the length of a varint changes, too. */
const id = Schema.Union([
  int(1, 300),
  int(1, Number.MAX_SAFE_INTEGER),
  Schema.Literals([127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32, 2 ** 49])
])
const uint32 = Schema.Union([int(0, 300), int(0, 0xffff_ffff)])
/** Of lengths on both sides of where the length's own length changes. */
const payload = Schema.Union([int(0, 40), int(100, 140), int(16_370, 16_400)])
const text = Schema.String.check(Schema.isMaxLength(200))

const Said = Schema.Union([
  Schema.TaggedStruct("call", {
    id,
    tool: uint32,
    payload,
    deadlineMillis: uint32,
    credit: uint32,
    skip: Schema.Union([Schema.Literals([0]), id]),
    session: text,
    trace: Schema.Literals([0, 25]),
    traceState: Schema.Literals(["", "vendor=a,other=b"]),
    function: text
  }),
  Schema.TaggedStruct("cancel", { id }),
  Schema.TaggedStruct("credit", { id, elements: uint32 }),
  Schema.TaggedStruct("ping", { id }),
  Schema.TaggedStruct("drain", {}),
  Schema.TaggedStruct("input", { id, payload }),
  Schema.TaggedStruct("callShared", { id, segment: id, length: id }),
  Schema.TaggedStruct("inputShared", { id, segment: id, length: id }),
  Schema.TaggedStruct("free", { segment: id }),
  Schema.TaggedStruct("inputEnd", { id, failure: text }),
  Schema.TaggedStruct("rename", { name: text }),
  Schema.TaggedStruct("hostResult", { number: id, payload }),
  Schema.TaggedStruct("hostResultShared", { number: id, segment: id, length: id }),
  Schema.TaggedStruct("hostFailure", { number: id, message: text, tag: text, data: payload }),
  Schema.TaggedStruct("sessionStart", { session: text, data: payload }),
  Schema.TaggedStruct("sessionEnd", { number: id, session: text, limitMs: uint32 })
])

const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index * 7)

type HostFrame = NonNullable<NonNullable<MessageInitShape<typeof ConnectRequestSchema>["frames"]>[number]["frame"]>
type WorkerFrame = NonNullable<NonNullable<MessageInitShape<typeof ConnectResponseSchema>["frames"]>[number]["frame"]>

/** In pieces, as large ones come. */
const inPieces = (bytes: Uint8Array) => new Payload.Pieces([bytes.subarray(0, 3), bytes.subarray(3)])

const write = (batch: Frames.Batch, said: typeof Said.Type): HostFrame => {
  switch (said._tag) {
    case "call": {
      const call = { ...said, payload: bytesOf(said.payload), trace: bytesOf(said.trace) }
      batch.call(said.payload % 2 === 0 ? call : { ...call, payload: inPieces(call.payload) })
      const { deadlineMillis: deadlineMs, id, skip } = call
      return { case: "call", value: { ...call, id: BigInt(id), skip: BigInt(skip), deadlineMs } }
    }
    case "cancel":
      batch.cancel(said.id)
      return { case: "cancel", value: { id: BigInt(said.id) } }
    case "credit":
      batch.credit(said.id, said.elements)
      return { case: "credit", value: { id: BigInt(said.id), elements: said.elements } }
    case "ping":
      batch.ping(said.id)
      return { case: "ping", value: { id: BigInt(said.id) } }
    case "drain":
      batch.drain()
      return { case: "drain", value: {} }
    case "input":
      batch.input(said.id, bytesOf(said.payload))
      return { case: "input", value: { id: BigInt(said.id), payload: bytesOf(said.payload) } }
    case "callShared": {
      const { id, length, segment } = said
      const call = {
        id,
        tool: 1,
        deadlineMillis: 2,
        credit: 3,
        skip: 0,
        session: "",
        trace: new Uint8Array(),
        traceState: "",
        function: ""
      }
      batch.call({ ...call, payload: new Frames.Shared(segment, length) })
      const shared = { segment: BigInt(segment), length: BigInt(length) }
      return { case: "call", value: { ...call, id: BigInt(id), skip: 0n, deadlineMs: 2, shared } }
    }
    case "inputShared": {
      const { id, length, segment } = said
      batch.input(id, new Frames.Shared(segment, length))
      return { case: "input", value: { id: BigInt(id), shared: { segment: BigInt(segment), length: BigInt(length) } } }
    }
    case "free":
      batch.free(said.segment)
      return { case: "free", value: { segments: [BigInt(said.segment)] } }
    case "inputEnd":
      batch.inputEnd(said.id, said.failure)
      return { case: "inputEnd", value: { id: BigInt(said.id), failure: said.failure } }
    case "hostResult":
      batch.hostResult(said.number, bytesOf(said.payload))
      return { case: "hostResult", value: { number: BigInt(said.number), payload: bytesOf(said.payload) } }
    case "hostResultShared": {
      const { length, number, segment } = said
      batch.hostResult(number, new Frames.Shared(segment, length))
      return {
        case: "hostResult",
        value: { number: BigInt(number), shared: { segment: BigInt(segment), length: BigInt(length) } }
      }
    }
    case "hostFailure": {
      const { data, message, number, tag } = said
      const failure = { reason: "raised" as const, message, tag, data: bytesOf(data) }
      batch.hostFailure(number, failure)
      return { case: "hostResult", value: { number: BigInt(number), failure } }
    }
    case "rename":
      batch.rename(said.name)
      return { case: "rename", value: { name: said.name } }
    case "sessionStart": {
      const { data, session } = said
      batch.sessionStart(session, bytesOf(data))
      return { case: "sessionStart", value: { session, data: bytesOf(data) } }
    }
    case "sessionEnd": {
      const { limitMs, number, session } = said
      batch.sessionEnd(number, session, limitMs)
      return { case: "sessionEnd", value: { number: BigInt(number), session, limitMs } }
    }
  }
}

const number = Schema.Union([Schema.Literals([0]), id])

const spanId = Schema.Literals(["", "00", "0000000000000000", "00f067aa0ba902b7"])

const Heard = Schema.Union([
  Schema.TaggedStruct("started", { id }),
  Schema.TaggedStruct("pong", { id }),
  Schema.TaggedStruct("item", { id, payload }),
  Schema.TaggedStruct("done", { id, payload, micros: uint32 }),
  Schema.TaggedStruct("want", { id, elements: uint32 }),
  Schema.TaggedStruct("failed", { id, issue: text }),
  Schema.TaggedStruct("itemShared", { id, segment: id, length: id }),
  Schema.TaggedStruct("doneShared", { id, segment: id, length: id, micros: uint32 }),
  Schema.TaggedStruct("free", { segments: Schema.Array(id) }),
  Schema.TaggedStruct("drained", {}),
  Schema.TaggedStruct("hostCall", { call: number, number, name: text, payload, waits: Schema.Boolean, spanId }),
  Schema.TaggedStruct("hostCallShared", { call: id, number: id, segment: id, length: id }),
  Schema.TaggedStruct("hostCallCancel", { number }),
  Schema.TaggedStruct("sessionEnded", { number: id, failure: text, overran: Schema.Boolean })
])

const frameOf = (heard: typeof Heard.Type): WorkerFrame => {
  switch (heard._tag) {
    case "started":
      return { case: "started", value: { id: BigInt(heard.id) } }
    case "pong":
      return { case: "pong", value: { id: BigInt(heard.id) } }
    case "item":
      return { case: "item", value: { id: BigInt(heard.id), payload: bytesOf(heard.payload) } }
    case "done":
      return { case: "done", value: { id: BigInt(heard.id), payload: bytesOf(heard.payload), micros: heard.micros } }
    case "want":
      return { case: "want", value: { id: BigInt(heard.id), elements: heard.elements } }
    case "failed":
      return { case: "failed", value: { id: BigInt(heard.id), reason: { case: "invalid", value: heard.issue } } }
    case "itemShared":
    case "doneShared": {
      const { id, length, segment } = heard
      const shared = { segment: BigInt(segment), length: BigInt(length) }
      return heard._tag === "itemShared"
        ? { case: "item", value: { id: BigInt(id), shared } }
        : { case: "done", value: { id: BigInt(id), shared, micros: heard.micros } }
    }
    case "free":
      return { case: "free", value: { segments: heard.segments.map(BigInt) } }
    case "drained":
      return { case: "drained", value: {} }
    case "hostCall": {
      const { call, name, number, payload, waits } = heard
      return { case: "hostCall", value: { call: BigInt(call), number: BigInt(number), name, payload: bytesOf(payload), waits } }
    }
    case "hostCallShared": {
      const { call, length, number, segment } = heard
      const shared = { segment: BigInt(segment), length: BigInt(length) }
      return { case: "hostCall", value: { call: BigInt(call), number: BigInt(number), shared } }
    }
    case "hostCallCancel":
      return { case: "hostCallCancel", value: { number: BigInt(heard.number) } }
    case "sessionEnded":
      return { case: "sessionEnded", value: { number: BigInt(heard.number), failure: heard.failure, overran: heard.overran } }
  }
}

/** What stands for the payload that is in a segment. */
const fetch: Frames.Fetch = (segment, length) => Buffer.from(`${segment}:${length}`)

const payloadOf = ({ payload, shared }: Item | Done | HostCall): Uint8Array =>
  shared === undefined ? payload : fetch(Number(shared.segment), Number(shared.length))

/** A frame that the tests do not make. */
class NotGenerated extends Error {}

/** What protobuf-es reads, in our words. */
const reference = (message: Uint8Array): Frames.Response => {
  const { batch, frames, read } = fromBinary(ConnectResponseSchema, message)
  return {
    batch: Number(batch),
    read: Number(read),
    frames: frames.map(({ frame }): Frames.Heard => {
      switch (frame.case) {
        case "started":
        case "pong":
          return { kind: frame.case, id: Number(frame.value.id) }
        case "item":
          return { kind: "item", id: Number(frame.value.id), payload: payloadOf(frame.value) }
        case "done":
          return { kind: "done", id: Number(frame.value.id), payload: payloadOf(frame.value), micros: frame.value.micros }
        case "want":
          return { kind: "want", id: Number(frame.value.id), elements: frame.value.elements }
        case "failed":
          return { kind: "failed", id: Number(frame.value.id), reason: frame.value.reason }
        case "free":
          return { kind: "free", segments: frame.value.segments.map(Number) }
        case "drained":
          return { kind: "drained" }
        case "hostCall": {
          const { call, name, number, spanId, waits } = frame.value
          const within = spanId.length === 8 && spanId.some((byte) => byte !== 0) ? Buffer.from(spanId).toString("hex") : undefined
          const payload = payloadOf(frame.value)
          return { kind: "hostCall", asked: { id: Number(call), number: Number(number), name, payload, waits, spanId: within } }
        }
        case "hostCallCancel":
          return { kind: "hostCallCancel", number: Number(frame.value.number) }
        case "sessionEnded": {
          const { failure, number, overran } = frame.value
          return { kind: "sessionEnded", number: Number(number), failure, overran }
        }
        case "telemetry":
          throw new NotGenerated() // only protobuf-es reads it
        case "welcome":
          return { kind: "welcome", welcome: frame.value }
        case "refused":
          return { kind: "refused", field: frame.value.field, expected: frame.value.expected, received: frame.value.received }
        case undefined:
          return { kind: "unknown" }
      }
    })
  }
}

/** Bytes compare by their value, whatever they are views of. */
const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex")
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]))
}

describe("frames", () => {
  it.prop(
    "of the host are what protobuf-es writes, also when the batch is sealed again",
    { said: Schema.Array(Said).check(Schema.isMaxLength(12)), batch: number, read: number, later: number },
    ({ batch, later, read, said }) => {
      const written = new Frames.Batch()
      const frames = said.map((frame) => ({ frame: write(written, frame) }))
      for (const acknowledged of [read, later]) {
        const message = create(ConnectRequestSchema, { batch: BigInt(batch), read: BigInt(acknowledged), frames })
        assert.deepEqual(
          fromBinary(ConnectRequestSchema, written.sealed(batch, acknowledged)),
          fromBinary(ConnectRequestSchema, toBinary(ConnectRequestSchema, message))
        )
        assert.strictEqual(written.sealed(batch, acknowledged).length, toBinary(ConnectRequestSchema, message).length)
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "of the worker are read as protobuf-es reads them",
    { heard: Schema.Array(Heard).check(Schema.isMaxLength(12)), batch: number, read: number },
    ({ batch, heard, read }) => {
      const message = create(ConnectResponseSchema, {
        batch: BigInt(batch),
        read: BigInt(read),
        frames: heard.map((frame) => ({ frame: frameOf(frame) }))
      })
      const encoded = Buffer.from(toBinary(ConnectResponseSchema, message))
      assert.deepStrictEqual(plain(Frames.decode(encoded, fetch)), plain(reference(encoded)))
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "that were damaged are refused, or read as protobuf-es reads them",
    { heard: Schema.Array(Heard).check(Schema.isMinLength(1), Schema.isMaxLength(4)), seed: int(0, 0xffff_ffff) },
    ({ heard, seed }) => {
      const message = create(ConnectResponseSchema, { batch: 1n, read: 1n, frames: heard.map((frame) => ({ frame: frameOf(frame) })) })
      const encoded = toBinary(ConnectResponseSchema, message)
      for (const damaged of Damage.variants(encoded, seed, 25)) {
        let expected: Frames.Response | undefined
        try {
          expected = reference(damaged)
        } catch (error) {
          if (error instanceof NotGenerated) continue // damage made one frame another
        }
        try {
          const read = Frames.decode(damaged, fetch)
          assert.isDefined(expected, "read what protobuf-es refuses")
          assert.deepStrictEqual(plain(read), plain(expected!))
        } catch (error) {
          if (!(error instanceof Frames.Malformed)) throw error
        }
      }
    },
    { arbitrary: { runs: 200 } } // 5,000 messages; the session is given 10,000 more
  )

  it("of a newer worker, which say more than is known here, have each payload fetched once", () => {
    const frames = [1, 2].map((id) => ({ frame: frameOf({ _tag: "doneShared", id, segment: id, length: 70_000, micros: 3 }) }))
    const [first, second] = frames.map((frame) => toBinary(ConnectResponseSchema, create(ConnectResponseSchema, { frames: [frame] })))
    const more = Buffer.from([15 << 3, 1]) // field 15
    const fetched: Array<number> = []
    const read = Frames.decode(Buffer.concat([first!, more, second!]), (segment, length) => {
      fetched.push(segment)
      return fetch(segment, length)
    })
    assert.deepStrictEqual(fetched, [1, 2])
    assert.deepStrictEqual(plain(read), plain(reference(Buffer.concat([first!, second!]))))
  })
})
