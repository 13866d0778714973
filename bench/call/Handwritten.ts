/**
 * What a good programmer would write by hand on Snakepit's wire: the same Python workers under a plain pool, fewest calls first, a deadline
 * for each call, two counters. No supervision, no bound, no reconnecting, no checks, no Effect.
 *
 * The wire itself, its codec and its batches, is the bridge's own, so that the difference is what the supervised pool costs and nothing else.
 */
import { create, toBinary } from "@bufbuild/protobuf"
import { Packr } from "msgpackr"
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import { ConnectRequestSchema } from "../../packages/bridge/gen/snakepit/v1/worker_pb.ts"
import * as Connection from "../../packages/bridge/src/channel/Connection.ts"
import * as Frames from "../../packages/bridge/src/channel/Frames.ts"
import { Outbox } from "../../packages/bridge/src/channel/Outbox.ts"
import { Way } from "../../packages/bridge/src/channel/Traffic.ts"
import type { Closing } from "../Bench.ts"
import * as Python from "../Python.ts"
import { leastOutstanding } from "./LeastOutstanding.ts"

const maxPayload = 1 << 20 // beyond what is sent
const timeoutMillis = 300_000 // as in the supervised pool
const deadlineTickMillis = 100

const packr = new Packr({ useRecords: false })
const nothing = new Uint8Array()

/** The workers, ready. */
export interface Handwritten {
  /** A call of the worker so numbered, or of the one with the fewest calls. */
  readonly call: (tool: string, args: unknown, worker?: number) => Promise<unknown>
  readonly ledger: Ledger
}

interface Ledger {
  completed: number
  failed: number
}

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly due: number
}

export const open = async (closing: Closing, size: number): Promise<Handwritten> => {
  const folder = Python.socketFolder(closing)
  const ledger: Ledger = { completed: 0, failed: 0 }
  const workers = await Promise.all(
    Array.from({ length: size }, (_, n) => openWorker(closing, join(folder, `${n}.sock`), n, ledger))
  )
  return {
    ledger,
    call: (tool, args, worker) => (worker === undefined ? leastOutstanding(workers) : workers[worker]!).call(tool, args)
  }
}

const openWorker = async (closing: Closing, socket: string, n: number, ledger: Ledger): Promise<Worker> => {
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
  readonly #ledger: Ledger
  readonly #outbox = new Outbox(new Way())
  readonly #connection: Connection.Connection
  readonly #pending = new Map<number, Pending>() // oldest first, and all with the same patience: so the first is due first
  readonly #tools = new Map<string, number>()
  readonly #deadlines: NodeJS.Timeout
  #welcomed = () => {}
  #calls = 0

  constructor(socket: string, ledger: Ledger) {
    this.#ledger = ledger
    this.#connection = Connection.open(socket, maxPayload, {
      message: (message) => this.#take(message),
      end: ({ detail }) => this.#pending.forEach(({ reject }) => reject(new Error(detail)))
    })
    this.#deadlines = setInterval(() => this.#expire(), deadlineTickMillis)
  }

  get outstanding(): number {
    return this.#pending.size
  }

  hello(token: string): Promise<void> {
    const value = { protocol: 1, token, maxPayload, session: randomBytes(8).readBigUInt64LE() | 1n } // not 0
    const request = create(ConnectRequestSchema, { frames: [{ frame: { case: "hello", value } }] })
    this.#connection.write(Buffer.from(toBinary(ConnectRequestSchema, request)))
    return new Promise((resolve) => {
      this.#welcomed = resolve
    })
  }

  call(tool: string, args: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#calls
      this.#pending.set(id, { resolve, reject, due: performance.now() + timeoutMillis })
      this.#outbox.say().call({
        id,
        tool: this.#tools.get(tool)!,
        payload: packr.pack(args),
        deadlineMillis: timeoutMillis,
        credit: 0,
        skip: 0,
        session: "",
        trace: nothing,
        traceState: "",
        function: ""
      })
    })
  }

  close(): void {
    clearInterval(this.#deadlines)
    this.#pending.clear()
    this.#outbox.end()
    this.#connection.close()
  }

  #take(message: Buffer): void {
    const { batch, frames, read } = Frames.decode(message)
    const [first] = frames
    if (first?.kind === "welcome") {
      for (const { id, name } of first.welcome.tools) this.#tools.set(name, id)
      this.#outbox.attach((bytes) => this.#connection.write(bytes), read)
      return this.#welcomed()
    }
    this.#outbox.read(read)
    if (batch > 0) this.#outbox.took(batch, message.length)
    for (const frame of frames) this.#hear(frame)
  }

  #hear(frame: Frames.Heard): void {
    switch (frame.kind) {
      case "done":
        this.#ledger.completed++
        return this.#settle(frame.id)?.resolve(packr.unpack(frame.payload))
      case "failed":
        this.#ledger.failed++
        return this.#settle(frame.id)?.reject(new Error(`the tool failed: ${frame.reason.case}`))
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
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
