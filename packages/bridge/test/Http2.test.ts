/** The host's end of HTTP/2, against a peer that writes frames byte by byte: what follows the rules is heard, what breaks one ends the stream. */
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Connection from "../src/channel/Connection.ts"

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
const type = { data: 0, headers: 1, reset: 3, settings: 4, push: 5, ping: 6, goAway: 7, windowUpdate: 8, continuation: 9 } as const
const endHeaders = 0x4
const endStream = 0x1

const frame = (kind: number, flags: number, id: number, payload: Uint8Array = new Uint8Array()): Buffer => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = kind
  head[4] = flags
  head.writeUInt32BE(id, 5)
  return Buffer.concat([head, payload])
}
const uint32 = (value: number): Buffer => Buffer.from([value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff])
const literal = (fields: Readonly<Record<string, string>>): Buffer =>
  Buffer.concat(
    Object.entries(fields).map(([name, value]) =>
      Buffer.from(`\0${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`, "latin1")
    )
  )
const response = frame(type.headers, endHeaders, 1, literal({ ":status": "200", "content-type": "application/grpc" }))
const trailers = (fields: Readonly<Record<string, string>>): Buffer => frame(type.headers, endHeaders | endStream, 1, literal(fields))
const message = (bytes: Uint8Array): Buffer => Buffer.concat([Buffer.from([0]), uint32(bytes.length), bytes])
const text = (said: string): Buffer => frame(type.data, 0, 1, message(Buffer.from(said)))
const settings = (pairs: ReadonlyArray<readonly [number, number]>): Buffer =>
  frame(type.settings, 0, 0, Buffer.concat(pairs.flatMap(([id, value]) => [Buffer.from([0, id]), uint32(value)])))

interface Frame {
  readonly kind: number
  readonly flags: number
  readonly id: number
  readonly payload: Buffer
}

/** Everything that the host has said, as frames. */
class Peer {
  readonly frames: Array<Frame> = []
  readonly socket: Socket
  private rest: Buffer = Buffer.alloc(0)
  private isPrefaced = false
  isClosed = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on("error", () => {})
    socket.on("close", () => {
      this.isClosed = true
    })
    socket.on("data", (chunk: Buffer) => {
      this.rest = Buffer.concat([this.rest, chunk])
      if (!this.isPrefaced && this.rest.length >= preface.length) {
        assert.strictEqual(this.rest.toString("latin1", 0, preface.length), preface)
        this.rest = this.rest.subarray(preface.length)
        this.isPrefaced = true
      }
      while (this.isPrefaced && this.rest.length >= 9) {
        const size = this.rest.readUIntBE(0, 3)
        if (this.rest.length < 9 + size) return
        const [kind, flags] = [this.rest[3]!, this.rest[4]!]
        this.frames.push({ kind, flags, id: this.rest.readUInt32BE(5), payload: Buffer.from(this.rest.subarray(9, 9 + size)) })
        this.rest = this.rest.subarray(9 + size)
      }
    })
  }

  of(kind: number): ReadonlyArray<Frame> {
    return this.frames.filter((frame) => frame.kind === kind)
  }
}

/** Until it holds; a bound that only a broken test reaches. */
const until = async (holds: () => boolean): Promise<void> => {
  const limit = Date.now() + 5000
  while (!holds()) {
    if (Date.now() > limit) throw new Error("it did not come about within 5 s")
    await new Promise((resolve) => setImmediate(resolve))
  }
}

let folder: string
let server: Server
let peers: Array<Peer>

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "snakepit-http2-"))
  peers = []
  server = createServer((socket) => void peers.push(new Peer(socket)))
  await new Promise<void>((resolve) => server.listen(join(folder, "s"), resolve))
})

afterEach(async () => {
  for (const { socket } of peers) socket.destroy()
  await new Promise((resolve) => server.close(resolve))
  rmSync(folder, { recursive: true })
})

const maxPayload = 1024

const dial = async () => {
  const messages: Array<string> = []
  const ends: Array<Connection.End> = []
  const known = peers.length
  const connection = Connection.open(join(folder, "s"), maxPayload, {
    message: (message) => messages.push(message.toString()),
    end: (end) => ends.push(end)
  })
  await until(() => peers.length > known && peers[known]!.of(type.headers).length === 1)
  return { connection, messages, ends, peer: peers[known]! }
}

describe("a connection to a worker", () => {
  it("asks for the one stream, with windows that are open wide", async () => {
    const { connection, peer } = await dial()
    const [asked] = peer.of(type.headers)
    assert.include(asked!.payload.toString("latin1"), "/snakepit.v1.WorkerService/Connect")
    assert.deepStrictEqual([asked!.id, asked!.flags], [1, endHeaders])
    assert.strictEqual(peer.of(type.windowUpdate)[0]!.payload.readUInt32BE() + 65_535, 2 ** 31 - 1)
    connection.close()
    await until(() => peer.isClosed)
    assert.strictEqual(peer.of(type.reset)[0]!.payload.readUInt32BE(), 8, "CANCEL")
  })

  it("hears messages however their bytes are cut", async () => {
    const { connection, messages, peer } = await dial()
    const said = ["one", "", "a longer one ".repeat(50), "x"]
    const bytes = Buffer.concat([
      response,
      text(said[0]!),
      frame(type.data, 0, 1, message(Buffer.alloc(0))),
      ...[message(Buffer.from(said[2]!))].flatMap((whole) => [whole.subarray(0, 3), whole.subarray(3, 7), whole.subarray(7)]).map((part) =>
        frame(type.data, 0, 1, part)
      ),
      text(said[3]!)
    ])
    for (const byte of bytes) {
      peer.socket.write(Buffer.from([byte]))
      if (Math.random() < 0.2) await new Promise((resolve) => setImmediate(resolve))
    }
    await until(() => messages.length === said.length)
    assert.deepStrictEqual(messages, said)
    connection.close()
  })

  it("says no more than the windows allow, in frames that the worker takes, and goes on when they are opened", async () => {
    const { connection, peer } = await dial()
    const large = Buffer.alloc(150_000, "abcdefg")
    connection.write(large)
    const heard = () => Buffer.concat(peer.of(type.data).map(({ payload }) => payload))
    await until(() => heard().length === 65_535)
    peer.socket.write(settings([[4, 100_000], [5, 20_000]]))
    peer.socket.write(frame(type.windowUpdate, 0, 0, uint32(1_000_000)))
    await until(() => heard().length === 100_000)
    assert.strictEqual(peer.of(type.settings).filter(({ flags }) => flags === 1).length, 1, "acknowledged")
    peer.socket.write(frame(type.windowUpdate, 0, 1, uint32(1_000_000)))
    await until(() => heard().length === large.length + 5)
    assert.isTrue(heard().subarray(5).equals(large))
    const sizes = peer.of(type.data).map(({ payload }) => payload.length)
    assert.isAtMost(Math.max(...sizes), 20_000)
    connection.write(Buffer.from("small"))
    await until(() => heard().length === large.length + 5 + 5 + 5)
    connection.close()
  })

  it("answers a ping, and ignores what it need not know", async () => {
    const { connection, ends, messages, peer } = await dial()
    peer.socket.write(Buffer.concat([
      frame(type.ping, 0, 0, Buffer.from("12345678")),
      frame(2, 0, 1, Buffer.alloc(5)), // a priority
      frame(0x42, 0, 7, Buffer.alloc(3)), // an extension
      response,
      text("after")
    ]))
    await until(() => messages.length === 1 && peer.of(type.ping).length === 1)
    assert.deepStrictEqual([peer.of(type.ping)[0]!.flags, peer.of(type.ping)[0]!.payload.toString()], [1, "12345678"])
    assert.deepStrictEqual(ends, [])
    connection.close()
  })

  for (
    const [how, said, end] of [
      ["with a status of its own", trailers({ "grpc-status": "10", "grpc-message": "draining%3a%20done" }), {
        detail: "ABORTED: draining: done",
        byWorker: true
      }],
      ["well", trailers({ "grpc-status": "0" }), { detail: "the worker ended the stream", byWorker: true }],
      ["by letting go", frame(type.reset, 0, 1, uint32(2)), {
        detail: "UNAVAILABLE: the worker let go of the stream (code 2)",
        byWorker: false
      }],
      ["as no gRPC server", frame(type.headers, endHeaders | endStream, 1, literal({ ":status": "415" })), {
        detail: "UNKNOWN: HTTP status 415",
        byWorker: false
      }]
    ] as const
  ) {
    it(`hears once that the worker ended it ${how}`, async () => {
      const { ends, peer } = await dial()
      peer.socket.write(said)
      await until(() => ends.length > 0 && peer.isClosed)
      assert.deepStrictEqual(ends, [end])
    })
  }

  it("hears that the socket was cut, and that nobody listens", async () => {
    const { ends, peer } = await dial()
    peer.socket.destroy()
    await until(() => ends.length > 0)
    assert.deepStrictEqual(ends, [{ detail: "UNAVAILABLE: the connection was closed", byWorker: false }])
    const refused: Array<Connection.End> = []
    Connection.open(join(folder, "nobody"), maxPayload, { message: () => {}, end: (end) => refused.push(end) })
    await until(() => refused.length > 0)
    assert.include(refused[0]!.detail, "ENOENT")
  })

  for (
    const [what, said] of [
      ["a frame that is too long", Buffer.from([0xff, 0xff, 0xff, type.settings, 0, 0, 0, 0, 0])],
      ["data on another stream", frame(type.data, 0, 3, message(Buffer.from("x")))],
      ["padded data", frame(type.data, 0x8, 1, Buffer.from([1, 0, 0]))],
      ["a push", frame(type.push, endHeaders, 1, Buffer.alloc(4))],
      ["a header that is Huffman-coded", frame(type.headers, endHeaders, 1, Buffer.from([0x00, 0x81, 0xff, 0x00]))],
      ["a header of the dynamic table", frame(type.headers, endHeaders, 1, Buffer.from([0x88]))],
      ["a header block that is cut off", frame(type.headers, endHeaders, 1, Buffer.from([0x00, 0x05, 0x61]))],
      ["a header block that another frame breaks", Buffer.concat([frame(type.headers, 0, 1, Buffer.alloc(0)), text("x")])],
      [
        "a header block of empty continuations that never ends",
        Buffer.concat([frame(type.headers, 0, 1), ...Array.from({ length: 8000 }, () => frame(type.continuation, 0, 1))])
      ],
      ["headers that end the stream without a status", frame(type.headers, endHeaders | endStream, 1, literal({ ":status": "200" }))],
      ["a continuation of nothing", frame(type.continuation, endHeaders, 1)],
      ["settings that are cut off", frame(type.settings, 0, 0, Buffer.alloc(5))],
      ["a window that is widened by nothing", frame(type.windowUpdate, 0, 0, uint32(0))],
      ["a window beyond its limit", frame(type.windowUpdate, 0, 0, uint32(2 ** 31 - 1))],
      ["a ping of the wrong size", frame(type.ping, 0, 0, Buffer.alloc(7))],
      ["a compressed message", frame(type.data, 0, 1, Buffer.from([1, 0, 0, 0, 1, 0]))],
      ["a message that is too large", frame(type.data, 0, 1, Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]))]
    ] as const
  ) {
    it(`ends with ${what}`, async () => {
      const { ends, messages, peer } = await dial()
      peer.socket.write(said)
      await until(() => ends.length > 0 && peer.isClosed)
      assert.strictEqual(ends.length, 1)
      assert.isFalse(ends[0]!.byWorker)
      assert.deepStrictEqual(messages, [])
    })
  }

  it("ends with a peer that asks and does not read the answers", async () => {
    const { ends, peer } = await dial()
    peer.socket.pause()
    const pings = Buffer.concat(Array.from({ length: 5000 }, () => frame(type.ping, 0, 0, Buffer.alloc(8))))
    for (let written = 0; ends.length === 0 && written < 100; written++) {
      peer.socket.write(pings)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await until(() => ends.length > 0)
    assert.include(ends[0]!.detail, "does not read the answers")
  })

  it("survives 10,000 frames of a peer that knows no rule: each ends the stream once, or is taken", async () => {
    let seed = 20_261_126
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      return (seed >>> 8) % below
    }
    let said = 0
    while (said < 10_000) {
      const { connection, ends, peer } = await dial()
      const frames = 1 + random(200)
      for (let nth = 0; nth < frames; nth++, said++) {
        const payload = Buffer.from(Array.from({ length: random(40) }, () => random(256)))
        const harmless = [text("x"), frame(type.ping, 0, 0, payload.subarray(0, 8)), frame(type.settings, 1, 0), frame(0x42, 0, 9, payload)]
        const whole = random(40) === 0 ? frame(random(11), random(256), random(3), payload) : harmless[random(4)]!
        peer.socket.write(random(400) === 0 ? whole.subarray(0, random(whole.length)) : whole)
      }
      peer.socket.end()
      await until(() => ends.length > 0)
      connection.close()
      assert.strictEqual(ends.length, 1)
    }
  })
})
