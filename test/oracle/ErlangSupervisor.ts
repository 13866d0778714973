/**
 * OTP's own supervisor: one `erl` that runs schedules and gives back their traces.
 *
 * What runs is the `supervisor.erl` of the installed OTP with the replacements of `erlang/otp_supervisor_patch.erl`. There is no
 * distribution and no `epmd`: batches of schedules go to its stdin and traces come from its stdout, and it ends when its stdin does.
 */
import { spawn } from "node:child_process"
import type { ChildProcessByStdio } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Readable, Writable } from "node:stream"
import { encode } from "./ErlangTerm.ts"
import type { Term } from "./ErlangTerm.ts"
import type { Leaf, Node, Operation, Schedule, Shutdown, StaticSupervisor } from "./Schedule.ts"
import type { Trace } from "./Trace.ts"

/** A batch of hundreds takes under a second; one that takes this long has a supervisor that spins. */
const patienceMs = 60_000

const shutdownTerm = (shutdown: Shutdown): Term => shutdown === "brutal" ? "brutal_kill" : shutdown

const leafTerm = (leaf: Leaf): Term => ["leaf", leaf.id, leaf.restart, leaf.significant, shutdownTerm(leaf.shutdown), leaf.obeys]

const autoShutdownTerm = (autoShutdown: StaticSupervisor["autoShutdown"]): Term =>
  autoShutdown === "never" ? "never" : `${autoShutdown}_significant`

const nodeTerm = (node: Node): Term => {
  if (node.kind === "leaf") return leafTerm(node)
  const { id, intensity, kind, period, restart, significant } = node
  const facts = [kind, id, restart, significant, shutdownTerm(node.shutdown)]
  return node.kind === "dynamic"
    ? [...facts, intensity, period, leafTerm(node.template)]
    : [...facts, node.strategy, autoShutdownTerm(node.autoShutdown), intensity, period, { list: node.children.map(nodeTerm) }]
}

const operationTerm = (operation: Operation): Term => {
  switch (operation.op) {
    case "Exit":
      return ["exit", operation.leaf, operation.reason]
    case "Together":
      return ["together", operation.sup, { list: operation.exits.map(({ leaf, reason }) => [leaf, reason]) }]
    case "FailStarts":
      return ["fail_starts", operation.id, operation.times, operation.how]
    case "Terminate":
      return ["terminate", operation.sup, operation.child]
    case "Restart":
      return ["restart", operation.sup, operation.child]
    case "Delete":
      return ["delete", operation.sup, operation.child]
    case "Start":
      return ["start", operation.sup, leafTerm(operation.child)]
    case "StartInstance":
      return ["start_instance", operation.sup, operation.key]
    case "Tick":
      return ["tick", operation.ms]
    case "Change":
      return "template" in operation
        ? [
          "change",
          operation.sup,
          ["simple_one_for_one", "never", operation.intensity, operation.period],
          { list: [leafTerm(operation.template)] }
        ]
        : [
          "change",
          operation.sup,
          [operation.strategy, autoShutdownTerm(operation.autoShutdown), operation.intensity, operation.period],
          { list: operation.children.map((child) => "keep" in child ? ["keep", child.keep] : leafTerm(child)) }
        ]
  }
}

const scheduleTerm = (schedule: Schedule): Term => [
  nodeTerm(schedule.root),
  { list: schedule.before.map(({ how, id, times }) => [id, times, how]) },
  { list: schedule.operations.map(operationTerm) }
]

const bootstrap = `
  [Folder, Sources] = init:get_plain_arguments(),
  [begin
     {ok, Module, Beam} = compile:file(filename:join(Sources, Name), [binary, report]),
     {module, _} = code:load_binary(Module, Name, Beam)
   end || Name <- ["virtual_clock", "otp_supervisor_patch", "snakepit_oracle"]],
  spawn(snakepit_oracle, main, [Folder]).
`

/** Why OTP cannot be asked. */
export class ErlangUnavailable extends Error {
  override readonly name = "ErlangUnavailable"
}

const advice = "It comes with the Debian packages erlang-base, erlang-dev and erlang-src of one version."

interface Waiting {
  readonly resolve: (answer: Buffer) => void
  readonly reject: (error: Error) => void
}

/** When to use: to learn what OTP does. Start one, `run` as many batches as wanted (they queue), and `close` it. */
export class ErlangSupervisor {
  /** Of OTP, like `25.2.3`. */
  readonly version: string
  readonly #program: Program

  private constructor(program: Program, version: string) {
    this.#program = program
    this.version = version
  }

  /** @throws {ErlangUnavailable} where `erl` or the supervisor's source is missing */
  static async start(): Promise<ErlangSupervisor> {
    const folder = mkdtempSync(join(tmpdir(), "snakepit-oracle-"))
    const program = new Program(folder)
    try {
      return new ErlangSupervisor(program, (await program.answer()).toString())
    } catch (thrown) {
      await program.close()
      throw new ErlangUnavailable(`Erlang's supervisor cannot be asked: ${(thrown as Error).message}. ${advice}`, { cause: thrown })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  /** The traces of the schedules, in their order, not normalised. */
  async run(schedules: ReadonlyArray<Schedule>): Promise<ReadonlyArray<Trace>> {
    this.#program.send(encode({ list: schedules.map(scheduleTerm) }))
    const answer = await this.#program.answer()
    return answer.toString("latin1").split("\n\n").slice(0, -1).map((trace) => trace.split("\n"))
  }

  close(): Promise<void> {
    return this.#program.close()
  }
}

/** The process, and frames of `{packet, 4}` to and from it. */
class Program {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #closed: Promise<void>
  readonly #kill = (): void => void this.#child.kill("SIGKILL")
  readonly #waiting: Array<Waiting> = []
  #chunks: Array<Buffer> = []
  #received = 0
  #complaint = ""
  #failure: Error | undefined

  constructor(folder: string) {
    this.#child = spawn(
      "erl",
      ["+S", "1:1", "+sbwt", "none", "-noinput", "-eval", bootstrap, "-extra", folder, join(import.meta.dirname, "erlang")],
      { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ERL_CRASH_DUMP_BYTES: "0" } }
    )
    process.once("exit", this.#kill)
    this.#child.stdout.on("data", (chunk: Buffer) => this.#receive(chunk))
    this.#child.stderr.on("data", (chunk: Buffer) => (this.#complaint += chunk.toString()))
    this.#child.stdin.on("error", () => {}) // told by "close"
    this.#closed = new Promise((resolve) => {
      this.#child.once("error", (error) => {
        this.#fail(new Error("code" in error && error.code === "ENOENT" ? "there is no program `erl` on the PATH" : error.message))
        resolve()
      })
      this.#child.once("close", (code, signal) => {
        process.off("exit", this.#kill)
        this.#fail(new Error(`erl ended (${signal ?? `exit code ${code}`})${this.#complaint === "" ? "" : `: ${this.#complaint.trim()}`}`))
        resolve()
      })
    })
  }

  send(payload: Buffer): void {
    const size = Buffer.allocUnsafe(4)
    size.writeUInt32BE(payload.length)
    this.#child.stdin.write(size)
    this.#child.stdin.write(payload)
  }

  answer(): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return void reject(this.#failure)
      const timer = setTimeout(() => {
        this.#fail(new Error(`erl gave no answer for ${patienceMs / 1000} s: a supervisor of the batch seems to spin`))
        this.#kill()
      }, patienceMs)
      const done = <A>(then: (value: A) => void) => (value: A) => {
        clearTimeout(timer)
        then(value)
      }
      this.#waiting.push({ resolve: done(resolve), reject: done(reject) })
    })
  }

  close(): Promise<void> {
    this.#child.stdin.end()
    return this.#closed
  }

  #fail(failure: Error): void {
    this.#failure ??= failure
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failure)
  }

  #receive(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#received += chunk.length
    while (this.#received >= 4) {
      if ((this.#chunks[0] as Buffer).length < 4) this.#chunks = [Buffer.concat(this.#chunks)]
      const size = (this.#chunks[0] as Buffer).readUInt32BE(0)
      if (this.#received < 4 + size) return
      const all = Buffer.concat(this.#chunks)
      this.#chunks = [all.subarray(4 + size)]
      this.#received -= 4 + size
      this.#waiting.shift()?.resolve(all.subarray(4, 4 + size))
    }
  }
}
