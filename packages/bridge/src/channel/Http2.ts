/**
 * The client's end of an HTTP/2 connection (RFC 9113) that carries one stream, as much of it as gRPC to a worker needs.
 *
 * ```text
 *  send ─▶ fits the windows? ─▶ one write            onread ─▶ frames ─▶ data ──▶ Listener.data, as it comes
 *            └ no: waits for WINDOW_UPDATE                        └─▶ headers ─▶ Listener.headers
 *                                                                 └─▶ settings, ping, window, the end
 * ```
 *
 * **Details**
 *
 * The socket is read into one buffer that all connections share, without a stream of Node's between: of what a message costs a host with two cores,
 * those layers were the greater part (ADR 14). Its windows are the largest there are: what bounds a worker is the credit of its calls.
 *
 * **Gotchas**
 *
 * It speaks to our own workers and to nobody else: headers that are Huffman-coded or name the dynamic table, padding, and pushes are refused.
 */
import { connect, type Socket } from "node:net"

/** Who hears the server. Nothing is heard after `over`, which is said once. */
export interface Listener {
  /** A part of what the server says; gone when this returns. */
  readonly data: (part: Buffer) => void
  readonly headers: (headers: Headers) => void
  /** The connection is over, or the stream was reset: why. */
  readonly over: (why: string) => void
}

export type Headers = ReadonlyMap<string, string>

/** The server broke a rule of HTTP/2. */
export class Broken extends Error {}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
const type = { data: 0, headers: 1, reset: 3, settings: 4, push: 5, ping: 6, goAway: 7, windowUpdate: 8, continuation: 9 } as const
const flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const
const setting = { enablePush: 2, initialWindowSize: 4, maxFrameSize: 5 } as const
const code = { noError: 0, protocolError: 1, cancel: 8 } as const
const headBytes = 9
const stream = 1 // the first that a client may open, and the only one
const window = 2 ** 31 - 1
const windowAtFirst = 65_535 // RFC 9113, 6.9.2
const halfWindow = 2 ** 30 // so much was taken before the window is opened again: rarely, and never too late
const frameBytesAtFirst = 16_384 // RFC 9113, 4.2: what every peer takes
const frameBytes = 1_048_576 // what we take: large results come in few frames, which are passed on as they arrive
const controlBytes = 65_536 // of headers and all other frames that are no data

const mostUnreadAnswers = 1000 // to pings and settings, behind a full socket

/** 256 KiB: what one system call may bring. */
const shared = Buffer.allocUnsafeSlow(262_144)

export class Http2 {
  private readonly socket: Socket
  private readonly listener: Listener
  private isOver = false
  // what may be said
  private connectionWindow = windowAtFirst
  private streamWindow = windowAtFirst
  private initialWindow = windowAtFirst
  private peerFrameBytes = frameBytesAtFirst
  private readonly pending: Array<Buffer> = []
  // what is heard
  private readonly head = Buffer.alloc(headBytes)
  private headFilled = 0
  private kind = 0
  private flags = 0
  private id = 0
  private left = 0
  private readonly control: Array<Buffer> = []
  private block: Array<Buffer> | undefined
  private blockBytes = 0
  private endsStream = false
  private unreadAnswers = 0
  private taken = 0

  constructor(path: string, headers: Headers, listener: Listener) {
    this.listener = listener
    this.socket = connect({
      path,
      onread: {
        buffer: () => shared,
        callback: (bytes) => {
          this.take(shared.subarray(0, bytes))
          return true
        }
      }
    })
    this.socket.on("error", (error) => this.end(error.message))
    this.socket.on("close", () => this.end("the connection was closed"))
    this.socket.write(Buffer.concat([
      Buffer.from(preface, "latin1"),
      frame(
        type.settings,
        0,
        0,
        settings([[setting.enablePush, 0], [setting.initialWindowSize, window], [setting.maxFrameSize, frameBytes]])
      ),
      frame(type.windowUpdate, 0, 0, uint32(window - windowAtFirst)),
      frame(type.headers, flag.endHeaders, stream, literally(headers))
    ]))
  }

  /** Says a head and what follows it, which must stay as they are until they have left. */
  send(head: Buffer, body: Buffer): void {
    if (this.isOver) return
    const size = head.length + body.length
    if (this.pending.length > 0 || size > this.peerFrameBytes || size > this.connectionWindow || size > this.streamWindow) {
      this.pending.push(head)
      if (body.length > 0) this.pending.push(body)
      return this.pump()
    }
    this.connectionWindow -= size
    this.streamWindow -= size
    const whole = Buffer.allocUnsafe(headBytes + size)
    writeHead(whole, size, type.data, 0, stream)
    head.copy(whole, headBytes)
    body.copy(whole, headBytes + head.length)
    this.socket.write(whole)
  }

  /** Lets go of the stream; nothing is heard any more. */
  close(): void {
    if (this.isOver) return
    this.isOver = true
    this.socket.end(frame(type.reset, 0, stream, uint32(code.cancel)))
    this.socket.destroySoon()
  }

  private end(why: string): void {
    if (this.isOver) return
    this.isOver = true
    this.pending.length = 0
    this.socket.destroy()
    this.listener.over(why)
  }

  private pump(): void {
    const { pending, socket } = this
    socket.cork()
    while (pending.length > 0) {
      const next = pending[0]!
      const room = Math.min(next.length, this.connectionWindow, this.streamWindow, this.peerFrameBytes)
      if (room <= 0) break
      this.connectionWindow -= room
      this.streamWindow -= room
      const head = Buffer.allocUnsafe(headBytes)
      writeHead(head, room, type.data, 0, stream)
      socket.write(head)
      socket.write(room === next.length ? next : next.subarray(0, room))
      if (room === next.length) pending.shift()
      else pending[0] = next.subarray(room)
    }
    socket.uncork()
  }

  private take(chunk: Buffer): void {
    try {
      this.frames(chunk)
    } catch (error) {
      if (!(error instanceof Broken)) throw error
      if (this.isOver) return
      this.socket.write(frame(type.goAway, 0, 0, Buffer.concat([uint32(0), uint32(code.protocolError)])))
      this.end(`the worker broke a rule of HTTP/2: ${error.message}`)
    }
  }

  private frames(chunk: Buffer): void {
    let at = 0
    while (!this.isOver) {
      if (this.headFilled < headBytes) {
        const taken = chunk.copy(this.head, this.headFilled, at)
        this.headFilled += taken
        at += taken
        if (this.headFilled < headBytes) return
        this.begin(this.head)
      }
      const size = Math.min(this.left, chunk.length - at)
      const part = chunk.subarray(at, at + size)
      at += size
      this.left -= size
      if (this.kind === type.data) this.data(part)
      else if (size > 0) this.control.push(Buffer.from(part))
      if (this.left > 0) return
      this.headFilled = 0
      if (this.kind === type.data) {
        if (this.flags & flag.endStream) this.end("the stream ended without a status")
      } else this.whole(this.control.length === 1 ? this.control.pop()! : Buffer.concat(this.control.splice(0)))
    }
  }

  private begin(head: Buffer): void {
    this.left = head.readUIntBE(0, 3)
    this.kind = head[3]!
    this.flags = head[4]!
    this.id = head.readUInt32BE(5) & 0x7fff_ffff
    const limit = this.kind === type.data ? frameBytes : controlBytes
    if (this.left > limit) throw new Broken(`a frame of ${this.left} bytes, at most ${limit} fit`)
    if (this.block !== undefined && this.kind !== type.continuation) throw new Broken("expected the rest of a header block")
    if (this.kind !== type.data) return
    if (this.id !== stream) throw new Broken(`data on stream ${this.id}, which nobody opened`)
    if (this.flags & flag.padded) throw new Broken("padded data")
    this.taken += this.left
    if (this.taken < halfWindow) return
    this.socket.write(Buffer.concat([
      frame(type.windowUpdate, 0, 0, uint32(this.taken)),
      frame(type.windowUpdate, 0, stream, uint32(this.taken))
    ]))
    this.taken = 0
  }

  private data(part: Buffer): void {
    if (part.length > 0) this.listener.data(part)
  }

  /** A frame that is no data. */
  private whole(payload: Buffer): void {
    switch (this.kind) {
      case type.headers:
        if (this.id !== stream) throw new Broken(`headers on stream ${this.id}, which nobody opened`)
        if (this.flags & (flag.padded | flag.priority)) throw new Broken("padded headers")
        this.block = []
        this.blockBytes = 0
        this.endsStream = (this.flags & flag.endStream) !== 0
        return this.headers(this.block, payload)
      case type.continuation:
        if (this.block === undefined || this.id !== stream) throw new Broken("a continuation of no header block")
        return this.headers(this.block, payload)
      case type.settings:
        return this.settings(payload)
      case type.windowUpdate:
        return this.windowUpdate(sized(payload, 4).readUInt32BE(0) & 0x7fff_ffff)
      case type.ping:
        sized(payload, 8)
        return this.flags & flag.ack ? undefined : this.answer(frame(type.ping, flag.ack, 0, payload))
      case type.reset:
        if (this.id === stream) this.end(`the worker let go of the stream (code ${sized(payload, 4).readUInt32BE(0)})`)
        return
      case type.goAway: {
        if (payload.length < 8) throw new Broken("a farewell that is cut off")
        const said = payload.readUInt32BE(4)
        if (said !== code.noError) this.end(`the worker ended the connection (code ${said}: ${payload.toString("utf8", 8)})`)
        return // what is under way may end
      }
      case type.push:
        throw new Broken("a push, which was not asked for")
    } // others are to be ignored
  }

  private headers(block: Array<Buffer>, payload: Buffer): void {
    block.push(payload)
    this.blockBytes += headBytes + payload.length
    if (this.blockBytes > controlBytes) throw new Broken(`headers of more than ${controlBytes} bytes`)
    if ((this.flags & flag.endHeaders) === 0) return
    this.block = undefined
    this.listener.headers(literals(Buffer.concat(block)))
    if (this.endsStream) this.end("the stream ended without a status")
  }

  /** What the worker asks for; one that only asks wants our memory. */
  private answer(frame: Buffer): void {
    if (this.socket.write(frame)) this.unreadAnswers = 0
    else if (++this.unreadAnswers > mostUnreadAnswers) throw new Broken("it asks, and does not read the answers")
  }

  private settings(payload: Buffer): void {
    if (this.flags & flag.ack) return
    if (payload.length % 6 !== 0) throw new Broken("settings that are cut off")
    for (let at = 0; at < payload.length; at += 6) {
      const value = payload.readUInt32BE(at + 2)
      switch (payload.readUInt16BE(at)) {
        case setting.initialWindowSize:
          if (value > window) throw new Broken(`a window of ${value} bytes`)
          this.streamWindow += value - this.initialWindow
          this.initialWindow = value
          break
        case setting.maxFrameSize:
          if (value < frameBytesAtFirst || value >= 2 ** 24) throw new Broken(`frames of ${value} bytes`)
          this.peerFrameBytes = value
      }
    }
    this.answer(frame(type.settings, flag.ack, 0, Buffer.alloc(0)))
    this.pump()
  }

  private windowUpdate(more: number): void {
    if (more === 0) throw new Broken("a window that is widened by nothing")
    if (this.id === 0) this.connectionWindow += more
    else if (this.id === stream) this.streamWindow += more
    if (this.connectionWindow > window || this.streamWindow > window) throw new Broken("a window that is widened beyond its limit")
    this.pump()
  }
}

const sized = (payload: Buffer, bytes: number): Buffer => {
  if (payload.length !== bytes) throw new Broken(`a frame of ${payload.length} bytes, which has ${bytes}`)
  return payload
}

const writeHead = (out: Buffer, size: number, kind: number, flags: number, id: number): void => {
  out.writeUIntBE(size, 0, 3)
  out[3] = kind
  out[4] = flags
  out.writeUInt32BE(id, 5)
}

const frame = (kind: number, flags: number, id: number, payload: Buffer): Buffer => {
  const out = Buffer.allocUnsafe(headBytes + payload.length)
  writeHead(out, payload.length, kind, flags, id)
  payload.copy(out, headBytes)
  return out
}

const uint32 = (value: number): Buffer => {
  const out = Buffer.allocUnsafe(4)
  out.writeUInt32BE(value)
  return out
}

const settings = (pairs: ReadonlyArray<readonly [setting: number, value: number]>): Buffer => {
  const out = Buffer.allocUnsafe(6 * pairs.length)
  pairs.forEach(([setting, value], nth) => out.writeUInt32BE(value, out.writeUInt16BE(setting, 6 * nth)))
  return out
}

/** 0x7f: the largest prefix of seven bits (RFC 7541, 5.1), beyond which a length goes on. */
const shortest = 0x7f

const length = (size: number): Buffer => {
  if (size < shortest) return Buffer.from([size])
  const out = [shortest]
  let rest = size - shortest
  for (; rest >= 0x80; rest >>>= 7) out.push(rest & 0x7f | 0x80)
  return Buffer.from([...out, rest])
}

/** Literal fields without indexing (RFC 7541, 6.2.2): no state on either side. */
const literally = (headers: Headers): Buffer =>
  Buffer.concat([...headers].flatMap(([name, value]) => [
    Buffer.from([0]),
    ...[name, value].flatMap((text) => [length(Buffer.byteLength(text)), Buffer.from(text)])
  ]))

/** Reads what a worker writes, which are such fields too. */
const literals = (block: Buffer): Headers => {
  const headers = new Map<string, string>()
  let at = 0
  const byte = (): number => {
    if (at >= block.length) throw new Broken("a header block that is cut off")
    return block[at++]!
  }
  const text = (): string => {
    let size = byte()
    if (size & 0x80) throw new Broken("a header that is Huffman-coded")
    if (size === shortest) {
      let next: number
      let shift = 0
      do {
        next = byte()
        size += (next & 0x7f) * 2 ** shift
        shift += 7
      } while (next & 0x80)
    }
    if (size > block.length - at) throw new Broken("a header block that is cut off")
    at += size
    return block.toString("latin1", at - size, at)
  }
  while (at < block.length) {
    const field = byte()
    if (field !== 0x00 && field !== 0x10) throw new Broken("a header that is no literal of its own")
    headers.set(text(), text())
  }
  return headers
}
