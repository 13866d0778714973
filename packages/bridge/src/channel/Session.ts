/**
 * What a host and one worker have in common over one stream after another: calls and their outcomes outlive a broken stream, none is lost
 * and none is said twice. It belongs to the process; a channel is one stream of it. Made for a slot, or beforehand for a spare.
 *
 * ```text
 *                 Welcome                    stream breaks
 *  new ── dial ─────────▶ open: frames go ────────────────▶ broken: what is said is kept
 *           │              ▲ to who listens                   │          │
 *           │              └──────────── Welcome ──── dial ───┘          ├ the process ends
 *           └▶ Refused, end of file, silence ─▶ why not, typed           └ the worker has given it up ─▶ over: said once
 * ```
 */
import { create, toBinary } from "@bufbuild/protobuf"
import { MonotonicClock } from "@snakepit/core"
import { HandshakePatience, WorkerError } from "@snakepit/pool"
import type { ExitClass, PoolConfig } from "@snakepit/pool"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { ConnectRequestSchema, type Welcome } from "../../gen/snakepit/v1/worker_pb.ts"
import * as KernelEvidence from "../process/KernelEvidence.ts"
import type { LaunchedProcess } from "../process/Launch.ts"
import type { ProcessExit } from "../process/ReapedProcess.ts"
import type { Reaper } from "../process/Reaper.ts"
import { Segments } from "../segments/Segments.ts"
import { sharedMemory } from "../segments/SharedMemory.ts"
import * as Connection from "./Connection.ts"
import * as Frames from "./Frames.ts"
import * as Outbox from "./Outbox.ts"
import type { Traffic } from "./Traffic.ts"

/** The version of the wire that this host speaks. */
export const protocol = 1

/** Who hears the worker: frames of calls, each once and in order, over all streams. */
export interface Listener {
  readonly frame: (frame: Frames.Heard) => void
  /** The stream has ended; another may come. */
  readonly broken: () => void
  /** Nothing more is heard, because of `reason`. Said once. `ended`: the process was seen to end. */
  readonly over: (reason: string, ended: boolean, exit?: ExitClass.ExitClass) => void
}

/** One stream of a session. */
export interface Stream {
  /** Done when it has ended. */
  readonly broken: Deferred.Deferred<Connection.End>
  /** May be repeated. */
  readonly close: () => void
}

/** What {@link make} takes. */
export interface Options {
  readonly process: Pick<LaunchedProcess, "pid" | "roll" | "socket" | "token" | "segments"> & {
    readonly reaped: Pick<LaunchedProcess["reaped"], "worker" | "exited"> & { readonly reaper: Pick<Reaper, "catalogues" | "traffic"> }
  }
  /** Read at each use: how long it waits for a worker applies live. */
  readonly config: () => Pick<PoolConfig.PoolConfig, "maxPayload"> & HandshakePatience.Options["config"]
}

/** After end of file: how long the news of the process's exit may take to come through the Reaper (measured: 2 ms). */
const verdict = Duration.millis(250)

/**
 * After the stream broke: how the process ended, if that is why. One that the kernel says is alive has not, unless it ended the stream
 * itself, which it does when it stops.
 */
export const exitAfterBreak = (
  { pid, reaped }: Options["process"],
  { byWorker }: Connection.End
): Effect.Effect<Option.Option<ProcessExit>> =>
  Effect.suspend(() =>
    !byWorker && KernelEvidence.isAlive(pid) && !Deferred.isDoneUnsafe(reaped.exited)
      ? Effect.succeedNone
      : Effect.timeoutOption(Deferred.await(reaped.exited), verdict)
  )

export const howItEnded = ({ code, signal }: ProcessExit): string =>
  signal === null ? `its process ended with code ${code}` : `its process was ended by ${signal}`

/** How a stream of it is opened. */
export type Open = typeof Connection.open

export class Session {
  readonly outbox: Outbox.Outbox
  readonly segments: Segments
  private readonly id = randomBytes(8)
  private readonly options: Options
  private readonly open: Open
  private readonly traffic: Traffic
  private readonly probes = new Map<number, () => void>()
  private readonly drained = Deferred.makeUnsafe<void>()
  private listener: Listener | undefined
  private welcomed: Welcome | undefined
  private waiting: Stream | undefined
  private pings = 0
  private hostCalls = 0
  private isEnded = false

  constructor(options: Options, open: Open = Connection.open) {
    this.options = options
    this.open = open
    this.id[7]! |= 1 // not 0
    const { config, process: { reaped, segments } } = options
    this.traffic = reaped.reaper.traffic
    this.outbox = new Outbox.Outbox(this.traffic.out)
    this.segments = new Segments({
      folder: segments && join(segments.folder, this.id.toString("hex")),
      limit: segments?.limit ?? 0,
      maxPayload: config().maxPayload,
      memory: segments && sharedMemory(),
      free: (segment) => this.outbox.free(segment),
      placed: (bytes) => this.traffic.out.payloads.record(bytes)
    })
  }

  /** What the worker said when hands were shaken. */
  get welcome(): Welcome {
    return this.welcomed!
  }
  get isHeard(): boolean {
    return this.listener !== undefined
  }
  get isOver(): boolean {
    return this.isEnded
  }

  listen(listener: Listener): void {
    this.listener = listener
  }

  /** A stream waits to be taken, and has not ended. */
  get isWhole(): boolean {
    return this.waiting !== undefined && !Deferred.isDoneUnsafe(this.waiting.broken)
  }

  /** The stream that was opened before it had a slot, if it is whole. Once: the next channel dials. */
  takeStream(): Stream | undefined {
    const stream = this.isWhole ? this.waiting : undefined
    this.waiting = undefined
    return stream
  }

  /** Nothing is said or heard any more. The first time its listener is told. */
  end(reason: string, ended: boolean, exit?: ExitClass.ExitClass): void {
    if (this.isEnded) return
    this.isEnded = true
    this.outbox.end()
    this.segments.close()
    this.listener?.over(reason, ended, exit)
  }

  /** Messages that the worker has not read. */
  get unread(): number {
    return this.outbox.unread
  }
  /** Segments with a payload, by who wrote it. */
  get segmentsInUse(): Segments["inUse"] {
    return this.segments.inUse
  }

  /** Succeeds when the worker answers. */
  readonly probe: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const id = ++this.pings
    this.probes.set(id, () => {
      this.probes.delete(id)
      resume(Effect.void)
    })
    this.outbox.say().ping(id)
    return Effect.sync(() => this.probes.delete(id))
  })

  /** Asks the worker to drain; returns when it has. */
  readonly drain: Effect.Effect<void> = Effect.suspend(() => {
    this.outbox.say().drain()
    return Deferred.await(this.drained)
  })

  /** Opens a stream ahead of whoever takes it. */
  prepare(): ReturnType<Session["dial"]> {
    return Effect.tap(this.dial(true), (stream) =>
      Effect.sync(() => {
        this.waiting = stream
      }))
  }

  /**
   * Dials and shakes hands; the stream is closed with the scope. A session that has been open goes on. `rehearse`: the worker runs the path of a call
   * once, before it has one.
   */
  dial(rehearse = false): Effect.Effect<
    Stream,
    WorkerError.HandshakeFailed | WorkerError.HandshakeTimeout | WorkerError.ChannelLost,
    Scope.Scope
  > {
    return Effect.gen({ self: this }, function*() {
      const { config, process } = this.options
      const { worker } = process.reaped
      const lost = (detail: string) => new WorkerError.ChannelLost({ worker, detail })
      const shaken = Deferred.makeUnsafe<Welcome, WorkerError.HandshakeFailed | WorkerError.ChannelLost>()
      const stream = yield* Effect.acquireRelease(
        Effect.sync(() => this.connect(shaken, rehearse)),
        ({ close }) => Effect.sync(close)
      )
      const brokenEarly = Effect.gen(function*() {
        const end = yield* Deferred.await(stream.broken)
        const exit = yield* exitAfterBreak(process, end)
        return yield* lost(Option.match(exit, {
          onNone: () => `it broke before the handshake (${end.detail})`,
          onSome: (exit) => `${howItEnded(exit)}, before the handshake`
        }))
      })
      const clock = new MonotonicClock.MonotonicClock(yield* Clock.Clock)
      const silent = HandshakePatience.outlast({ worker, config: config(), clock, evidence: () => KernelEvidence.of(process.pid) })
      yield* Effect.raceFirst(
        Effect.raceFirst(Deferred.await(shaken), brokenEarly),
        Effect.flatMap(silent, Effect.fail)
      )
      return stream
    })
  }

  /** A stream on which Hello has been said; `shaken` is done with what came of it, unless the stream ends first. */
  connect(
    shaken: Deferred.Deferred<Welcome, WorkerError.HandshakeFailed | WorkerError.ChannelLost>,
    rehearse: boolean
  ): Stream {
    const { process } = this.options
    const { maxPayload } = this.options.config()
    const { worker } = process.reaped
    const { outbox } = this
    const broken = Deferred.makeUnsafe<Connection.End>()
    const resume = this.welcomed !== undefined
    let open = true
    let attached = false
    const end = (how: Connection.End) => {
      if (!open) return
      open = false
      if (attached) {
        this.traffic.open.delete(this)
        outbox.detach()
        this.listener?.broken()
      }
      Deferred.doneUnsafe(broken, Exit.succeed(how))
    }
    const close = () => {
      if (open && attached) {
        this.traffic.open.delete(this)
        outbox.detach()
      }
      open = false
      connection.close()
    }
    const refused = (field: string, expected: string, received: string) =>
      void Deferred.doneUnsafe(shaken, Exit.fail(new WorkerError.HandshakeFailed({ worker, field, expected, received })))

    const shake = (frame: Frames.Heard | undefined, read: number): void => {
      if (frame?.kind === "refused") {
        if (frame.field !== "session") return refused(frame.field, frame.expected, frame.received)
        const detail =
          "the worker has given up the session that was to go on: it was too long without a stream, or failed to take a batch in"
        this.end(detail, false)
        return void Deferred.doneUnsafe(shaken, Exit.fail(new WorkerError.ChannelLost({ worker, detail })))
      }
      if (frame?.kind !== "welcome") throw new Frames.Malformed(`expected Welcome, received ${frame?.kind ?? "nothing"}`)
      const { welcome } = frame
      if (welcome.protocol !== protocol) return refused("protocol", String(protocol), String(welcome.protocol))
      const { catalogues } = process.reaped.reaper
      const catalogue = Buffer.from(welcome.catalogueHash).toString("hex")
      const first = catalogues.get(process.roll) ?? catalogue
      if (catalogue !== first) return refused("catalogue", first, catalogue)
      catalogues.set(process.roll, catalogue)
      this.welcomed = welcome
      attached = true
      this.traffic.open.add(this)
      if (resume) this.traffic.reconnects++
      outbox.attach((message) => connection.write(message), read)
      Deferred.doneUnsafe(shaken, Exit.succeed(welcome))
    }
    const hear = (message: Buffer): void => {
      const { batch, frames, read } = this.segments.decode(message)
      const { in: way } = this.traffic
      way.messages++
      way.bytes += message.length
      way.frames += frames.length
      if (!attached) {
        if (batch !== 0 || frames.length !== 1) throw new Frames.Malformed("its first response holds more than Welcome")
        return shake(frames[0], read)
      }
      if (batch === 0 && frames.length === 0) return outbox.read(read)
      if (batch !== outbox.lastHeard + 1) {
        throw new Frames.Malformed(`expected response ${outbox.lastHeard + 1} of the session, received ${batch}`)
      }
      outbox.took(batch, message.length)
      this.segments.taken()
      outbox.read(read)
      for (const frame of frames) this.hear(frame)
    }
    const connection = this.open(process.socket, maxPayload, {
      message: (message) => {
        if (!open) return
        try {
          hear(message)
        } catch (error) {
          if (!(error instanceof Frames.Malformed || error instanceof Outbox.NeverWritten)) throw error
          connection.close()
          const detail = `the worker broke a rule of the protocol: ${error.message}`
          if (attached) this.end(detail, false) // of what it says, some is lost: no stream can go on with that
          end({ detail, byWorker: false })
        }
      },
      end
    })
    connection.write(hello({
      protocol,
      token: process.token,
      maxPayload,
      rehearse,
      session: this.id.readBigUInt64BE(),
      resume,
      segments: this.segments.folder,
      segmentBytes: BigInt(this.segments.limit)
    }, outbox.lastHeard))
    return { broken, close }
  }

  private hear(frame: Frames.Heard): void {
    if (this.isEnded) return
    const { payloads } = this.traffic.in
    switch (frame.kind) {
      case "done":
      case "item":
        payloads.record(frame.payload.byteLength)
        return this.listener?.frame(frame)
      case "pong":
        return this.probes.get(frame.id)?.()
      case "free":
        return frame.segments.forEach((segment) => this.segments.free(segment))
      case "hostCall":
        if (frame.asked.number !== this.hostCalls + 1) {
          throw new Frames.Malformed(`expected host call ${this.hostCalls + 1} of the session, received ${frame.asked.number}`)
        }
        this.hostCalls++
        payloads.record(frame.asked.payload.byteLength)
        return this.listener?.frame(frame)
      case "hostCallCancel":
        if (frame.number === 0 || frame.number > this.hostCalls) {
          throw new Frames.Malformed(`host call ${frame.number} is given up, it says, and ${this.hostCalls} were made`)
        }
        return this.listener?.frame(frame)
      case "drained":
        return void Deferred.doneUnsafe(this.drained, Exit.void)
      default:
        return this.listener?.frame(frame)
    }
  }
}

const hello = (value: {
  readonly protocol: number
  readonly token: string
  readonly maxPayload: number
  readonly rehearse: boolean
  readonly session: bigint
  readonly resume: boolean
  readonly segments: string
  readonly segmentBytes: bigint
}, read: number): Buffer =>
  Buffer.from(
    toBinary(
      ConnectRequestSchema,
      create(ConnectRequestSchema, { read: BigInt(read), frames: [{ frame: { case: "hello", value } }] })
    )
  )
