/**
 * What a good programmer would write by hand on Snakepit's wire: the same Python workers and the same protocol, batched, self-clocked and
 * acknowledged, under a plain pool: fewest calls first, a deadline for each call, two counters. No supervision, no bound, no Effect.
 *
 * It stands for what the wire can do, so that what the supervised pool costs on top of it can be told.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import * as grpc from "@grpc/grpc-js"
import { Packr } from "msgpackr"
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import {
  type ConnectRequest,
  ConnectRequestSchema,
  type ConnectResponse,
  ConnectResponseSchema,
  type HostFrame,
  HostFrameSchema,
  type WorkerFrame,
  WorkerService
} from "../../packages/bridge/gen/snakepit/v1/worker_pb.ts"
import type { Closing } from "../Bench.ts"
import * as Python from "../Python.ts"
import { leastOutstanding } from "./LeastOutstanding.ts"

const maxPayload = 64 << 20 // beyond what is sent
const maxUnread = 2 // batches on their way: proto/README.md
const unacknowledgedLimit = 64 // responses that the worker may keep before it is told without a batch: proto/README.md
const timeoutMillis = 300_000 // as in the supervised pool
const deadlineTickMillis = 100

const packr = new Packr({ useRecords: false })
const path = `/${WorkerService.typeName}/${WorkerService.method.connect.name}`

/** The workers, ready. */
export interface Handwritten {
  readonly size: number
  /** A call of the worker so numbered, or of the one with the fewest calls. */
  readonly call: (tool: string, args: unknown, worker?: number) => Promise<unknown>
  readonly ledger: { completed: number; failed: number }
}

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly due: number
}

export const open = async (closing: Closing, size: number): Promise<Handwritten> => {
  const folder = Python.socketFolder(closing)
  const ledger = { completed: 0, failed: 0 }
  const workers = await Promise.all(
    Array.from({ length: size }, (_, n) => openWorker(closing, join(folder, `${n}.sock`), n, ledger))
  )
  return {
    size,
    ledger,
    call: (tool, args, worker) => (worker === undefined ? leastOutstanding(workers) : workers[worker]!).call(tool, args)
  }
}

const openWorker = async (closing: Closing, socket: string, n: number, ledger: Handwritten["ledger"]): Promise<Worker> => {
  const token = randomBytes(32).toString("hex")
  const child = spawn(
    Python.interpreter,
    [
      ...["-m", "snakepit.worker", "--socket", socket, "--name", `bench/${n}`, "--max-payload", String(maxPayload)],
      ...["--adapter", "call_tools", "--path", fileURLToPath(new URL("python", import.meta.url))]
    ],
    {
      env: { ...process.env, PYTHONPATH: Python.packageFolder, SNAKEPIT_REAPER_PID: String(process.pid), SNAKEPIT_STATUS_FD: "3" },
      stdio: ["pipe", "inherit", "inherit", "pipe"]
    }
  )
  closing(async () => {
    child.kill("SIGTERM") // it drains, and ends
    await Python.end(child)
  })
  child.stdin!.end(`${token}\n`)
  await Python.said(child, createInterface({ input: child.stdio[3] as Readable }), "ready")
  const worker = new Worker(socket, ledger)
  closing(async () => worker.close())
  await worker.hello(token)
  return worker
}

class Worker {
  outstanding = 0
  readonly #client: grpc.Client
  readonly #stream: grpc.ClientDuplexStream<ConnectRequest, ConnectResponse>
  readonly #ledger: Handwritten["ledger"]
  readonly #pending = new Map<bigint, Pending>() // oldest first, and all with the same patience: so the first is due first
  readonly #tools = new Map<string, number>()
  readonly #deadlines: NodeJS.Timeout
  #frames: Array<HostFrame> = []
  #scheduled = false
  #calls = 0n
  #written = 0n
  #unread = 0n
  #read = 0n
  #acknowledged = 0n
  #welcomed: () => void = () => {}

  constructor(socket: string, ledger: Handwritten["ledger"]) {
    this.#ledger = ledger
    this.#client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1
    })
    this.#stream = this.#client.makeBidiStreamRequest(
      path,
      (request: ConnectRequest) => Buffer.from(toBinary(ConnectRequestSchema, request)),
      (bytes) => fromBinary(ConnectResponseSchema, bytes)
    )
    this.#stream.on("data", (response: ConnectResponse) => this.#take(response))
    this.#stream.on("error", (error: Error) => this.#pending.forEach(({ reject }) => reject(error)))
    this.#deadlines = setInterval(() => this.#expire(), deadlineTickMillis)
  }

  hello(token: string): Promise<void> {
    const session = randomBytes(8).readBigUInt64LE() | 1n // not 0
    const hello = { $typeName: "snakepit.v1.Hello" as const, protocol: 1, token, maxPayload, session, contractHash: new Uint8Array() }
    this.#write(++this.#written, [create(HostFrameSchema, { frame: { case: "hello", value: { ...hello, rehearse: false } } })])
    return new Promise((resolve) => {
      this.#welcomed = resolve
    })
  }

  call(tool: string, args: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#calls
      this.outstanding++
      this.#pending.set(id, { resolve, reject, due: performance.now() + timeoutMillis })
      this.#frames.push(create(HostFrameSchema, {
        frame: {
          case: "call",
          value: {
            $typeName: "snakepit.v1.Call",
            id,
            tool: this.#tools.get(tool)!,
            payload: packr.pack(args),
            deadlineMs: timeoutMillis,
            credit: 0,
            skip: 0n,
            session: "",
            trace: new Uint8Array(),
            function: ""
          }
        }
      }))
      this.#schedule()
    })
  }

  close(): void {
    clearInterval(this.#deadlines)
    this.#pending.clear()
    this.#stream.cancel()
    this.#client.close()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    process.nextTick(() => {
      this.#scheduled = false
      if (this.#frames.length === 0 || this.#written - this.#unread >= maxUnread) return
      const frames = this.#frames
      this.#frames = []
      this.#write(++this.#written, frames)
    })
  }

  #write(batch: bigint, frames: Array<HostFrame>): void {
    this.#acknowledged = this.#read
    this.#stream.write(create(ConnectRequestSchema, { batch, frames, read: this.#read }))
  }

  #take({ batch, frames, read }: ConnectResponse): void {
    if (read > this.#unread) this.#unread = read
    if (batch > 0n) this.#read = batch
    for (const { frame } of frames) this.#hear(frame)
    if (this.#frames.length > 0) this.#schedule()
    if (this.#read - this.#acknowledged >= unacknowledgedLimit) this.#write(0n, [])
  }

  #hear(frame: WorkerFrame["frame"]): void {
    switch (frame.case) {
      case "welcome":
        for (const { id, name } of frame.value.tools) this.#tools.set(name, id)
        return this.#welcomed()
      case "done": {
        const pending = this.#settle(frame.value.id)
        this.#ledger.completed++
        return pending?.resolve(packr.unpack(frame.value.payload))
      }
      case "failed": {
        const pending = this.#settle(frame.value.id)
        this.#ledger.failed++
        return pending?.reject(new Error(`the tool failed: ${frame.value.reason.case}`))
      }
    }
  }

  #settle(id: bigint): Pending | undefined {
    const pending = this.#pending.get(id)
    if (pending !== undefined) this.outstanding--
    this.#pending.delete(id)
    return pending
  }

  #expire(): void {
    for (const [id, { due, reject }] of this.#pending) {
      if (due > performance.now()) return
      this.#settle(id)
      reject(new Error(`the call took more than ${timeoutMillis} ms`))
    }
  }
}
