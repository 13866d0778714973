/** A host program that was started to be harmed: how it is asked, watched, killed and cleaned up after. */
import { type ChildProcess, spawn } from "node:child_process"
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Event, SnakepitConfig } from "snakepit"
import type { Op, Plan, Requests, Said } from "./host/Protocol.ts"
import * as Ledger from "./Ledger.ts"
import * as Observer from "./Observer.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const program = fileURLToPath(new URL("host/main.ts", import.meta.url))
const pythonFolder = fileURLToPath(new URL("python", import.meta.url))

/** The interpreter of the checkout. */
const python = process.env["SNAKEPIT_PYTHON"] ?? join(root, ".venv", "bin", "python")

type PoolInput = SnakepitConfig.SnakepitConfigInput["pools"][string]

/** The settings of one pool of the chaos tools, and of its Python side what is not theirs. */
export type PoolSettings = Omit<PoolInput, "python"> & {
  readonly python?: Omit<PoolInput["python"], "adapter" | "path" | "env">
  /** The code of an adapter of its own, in a file that {@link Host.deploy} writes anew. */
  readonly code?: string
}

/** Where and how a host is started. */
export interface Place {
  /** A host that was killed: this is the next start in its folders. */
  readonly after?: Host
  /** The command, if any, that the program's own words are put behind, by the folder that the host writes into. It becomes the program. */
  readonly through?: (folder: string) => ReadonlyArray<string>
  /** It has mounts of its own: what it writes is looked at through them. */
  readonly ownMounts?: boolean
  /** Arguments of Node, before the program. */
  readonly flags?: ReadonlyArray<string>
  /** A file with more of its configuration. */
  readonly configFile?: ConfigFile
  /** The file of its history, when that is not to be its own. */
  readonly history?: string
}

/** `slow`: seconds that a start takes longer. `broken`: the adapter raises when it is imported. */
export type Toggle = "slow" | "broken"

/** A configuration file that a host is started with. */
export interface ConfigFile {
  readonly name: string
  readonly text: string
}

/** How a host ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** What comes of it, or `undefined` when that takes longer. */
export const within = async <A>(millis: number, promise: Promise<A>): Promise<A | undefined> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), millis)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Looks again and again until `done`; the last value in any case. */
export const until = async <A>(look: () => A | Promise<A>, done: (value: A) => boolean, millis: number, every = 5): Promise<A> => {
  const end = performance.now() + millis
  for (;;) {
    const value = await look()
    if (done(value) || performance.now() > end) return value
    await sleep(every)
  }
}

/** Lines of a host's stderr that are told when it fails. */
const complaintLines = 30

/** What takes as long as calls and restarts do. */
const slow: ReadonlySet<Op> = new Set(["load", "rest", "outcome", "spend", "reload"])
/** The rest is answered at once, but by a program that may have no core to run on. */
const answerMillis = 15_000

export class Host {
  readonly identity: Observer.Identity
  readonly ready: Promise<string>
  readonly ended: Promise<Ended>
  /** The path of its configuration file, if it has one. */
  readonly configFile: string | undefined
  private readonly folder: string
  private readonly child: ChildProcess
  private readonly answers = new Map<number, { readonly resolve: (value: never) => void; readonly reject: (error: Error) => void }>()
  /** Everything that was ever seen below it, by identity. */
  private readonly seen = new Map<string, Observer.Process>()
  private readonly complaints: Array<string> = []
  private readonly told = {
    events: new Tail<Event.Event>(),
    journal: new Tail<Ledger.Execution>(),
    finished: new Tail<Ledger.Execution>(),
    ledger: new Tail<Ledger.Line>()
  }
  private readonly permit: () => void
  private readonly place: Place
  private runId: string | undefined
  private tokens = 0
  private killedAt: number | undefined
  private over: Error | undefined

  /** `permit` throws when whoever asks for something must not any more. */
  constructor(pools: Readonly<Record<string, PoolSettings>>, permit: () => void, place: Place = {}) {
    this.permit = permit
    this.place = place
    this.folder = mkdtempSync(join(tmpdir(), "chaos-")) // short: the sockets' paths begin with it
    this.configFile = place.configFile === undefined ? undefined : this.file(place.configFile.name)
    if (place.configFile !== undefined) writeFileSync(this.file(place.configFile.name), place.configFile.text)
    const side = { adapter: "chaos_tools", path: [pythonFolder], env: { CHAOS_FOLDER: this.folder } }
    const poolOf = (name: string, { code, ...pool }: PoolSettings) => {
      const python = { ...pool.python, ...side }
      if (code === undefined) return [name, { ...pool, python }] as const
      this.deploy(name, code)
      return [name, { ...pool, python: { ...python, adapter: `adapter_of_${name}`, path: [this.folder, pythonFolder] } }] as const
    }
    const plan: Plan = {
      config: {
        gateway: { listen: `unix:${this.file("gateway")}` },
        ...place.history === undefined ? {} : { telemetry: { history: { file: place.history } } },
        pools: Object.fromEntries(Object.entries(pools).map(([name, pool]) => poolOf(name, pool)))
      },
      configFile: this.configFile,
      ledger: this.file("ledger.jsonl"),
      events: this.file("events.jsonl"),
      acknowledged: this.file("acknowledged.txt")
    }
    const [command, ...words] = [
      ...place.through?.(this.folder) ?? [],
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      "--conditions=source",
      ...place.flags ?? [],
      program,
      JSON.stringify(plan)
    ]
    this.child = spawn(command!, words, {
      cwd: root,
      env: { ...process.env, SNAKEPIT_PYTHON: python, XDG_RUNTIME_DIR: this.runtime, SNAKEPIT_DATA_DIR: join(this.runtime, "data") },
      stdio: ["pipe", "pipe", "pipe"]
    })
    const pid = this.child.pid
    if (pid === undefined) throw new Error(`${command} could not be started`)
    this.identity = { pid, started: Observer.find(pid)?.started ?? 0 }
    this.child.stdin!.on("error", () => {}) // it has gone: `ended` says so
    const complain = (line: string) => {
      this.complaints.push(line)
      if (this.complaints.length > complaintLines) this.complaints.shift()
    }
    createInterface({ input: this.child.stderr! }).on("line", complain)
    let isReady: (runId: string) => void
    let failed: (error: Error) => void
    this.ready = new Promise((resolve, reject) => {
      isReady = resolve
      failed = reject
    })
    this.ready.catch(() => {}) // whoever waits for it is told
    createInterface({ input: this.child.stdout! }).on("line", (line) => {
      if (!line.startsWith("{\"")) return complain(line) // a log line of its own
      const said = JSON.parse(line) as Said
      if ("ready" in said) {
        this.runId = said.ready
        return isReady(said.ready)
      }
      const asker = this.answers.get(said.token)
      this.answers.delete(said.token)
      if ("refused" in said) asker?.reject(new Error(`the host refused: ${said.refused}`))
      else asker?.resolve(said.value as never)
    })
    this.ended = new Promise((resolve) => {
      this.child.on("close", (code, signal) => {
        const error = new Error(`the host ended with ${signal ?? `code ${code}`}${this.said}`)
        this.over = error
        failed(error)
        for (const { reject } of this.answers.values()) reject(error)
        this.answers.clear()
        resolve({ code, signal })
      })
    })
  }

  private file(name: string): string {
    return join(this.folder, name)
  }

  /** Writes the adapter of a pool that has one of its own. */
  deploy(pool: string, code: string): void {
    writeFileSync(this.file(`adapter_of_${pool}.py`), code)
  }

  /** Its run folders and its data folder are in there. */
  private get runtime(): string {
    return this.place.after?.runtime ?? this.folder
  }

  /** A path as it sees it, for whoever looks from outside. */
  fromOutside(path: string): string {
    return this.place.ownMounts === true ? `/proc/${this.identity.pid}/root${path}` : path
  }

  /** Its data folder, from outside. */
  get data(): string {
    return this.fromOutside(join(this.runtime, "data"))
  }

  /** Tells the workers of a pool how to behave, from their next start on; `undefined`: as usual. */
  turn(pool: string, toggle: Toggle, value: number | undefined): void {
    const file = this.file(`${pool}.${toggle}`)
    if (value === undefined) rmSync(file, { force: true })
    else writeFileSync(file, String(value))
  }

  /** What it complained of. */
  get said(): string {
    return this.complaints.length === 0 ? "" : `; it said:\n    ${this.complaints.join("\n    ")}`
  }

  /** Asks it for something; rejected when it ends instead of answering, or does not answer what it can answer at once. */
  async ask<const O extends Op>(op: O, ask: Requests[O]["ask"]): Promise<Requests[O]["answer"]> {
    this.permit()
    const answer = this.send(op, ask)
    if (slow.has(op)) return answer
    const value = await within(answerMillis, answer.then((value) => ({ value })))
    if (value === undefined) throw new Error(`the host did not answer "${op}" within ${answerMillis / 1000} s${this.said}`)
    return value.value
  }

  private send<const O extends Op>(op: O, ask: Requests[O]["ask"]): Promise<Requests[O]["answer"]> {
    if (this.over !== undefined) return Promise.reject(this.over)
    const token = ++this.tokens
    return new Promise<Requests[O]["answer"]>((resolve, reject) => {
      this.answers.set(token, { resolve, reject })
      this.child.stdin!.write(`${JSON.stringify({ token, op, ...ask })}\n`)
    })
  }

  /** What belongs to it now, by mark and by descent, itself left out. Remembered, for {@link survivors}. */
  look(): ReadonlyArray<Observer.Process> {
    const found = new Map<string, Observer.Process>()
    const marked = this.runId === undefined ? [] : Observer.ofRun(this.runId)
    for (const process of [...marked, ...Observer.below(this.identity.pid)]) found.set(Observer.key(process), process)
    for (const [key, process] of found) this.seen.set(key, process)
    return [...found.values()]
  }

  workers(): ReadonlyArray<Observer.Worker> {
    return Observer.workers(this.look())
  }

  /** What is left of it, by mark and by all that was seen below it. */
  survivors(): ReadonlyArray<Observer.Process> {
    const left = new Map<string, Observer.Process>()
    for (const process of this.look()) left.set(Observer.key(process), process)
    for (const [key, process] of this.seen) if (Observer.isAlive(process)) left.set(key, process)
    return [...left.values()]
  }

  /** Its cgroup, when it is still there. */
  get cgroup(): string | undefined {
    return this.runId === undefined ? undefined : Observer.cgroupOf(this.runId)
  }

  /** It, or anything that was ever seen of it. Reads little, so that time can be measured by it. */
  get isThere(): boolean {
    return Observer.isAlive(this.identity) || [...this.seen.values()].some(Observer.isAlive)
  }

  /** The folder of its run in shared memory, when it is still there. */
  get shared(): string | undefined {
    const folder = this.fromOutside(`/dev/shm/snakepit-${this.runId}`)
    return existsSync(folder) ? folder : undefined
  }

  /** The folders of sockets that are in its place: its own, and what others have left there. */
  get sockets(): ReadonlyArray<string> {
    return readdirSync(this.runtime).filter((name) => name.startsWith("snakepit-")).map((name) => join(this.runtime, name))
  }

  /** Where its registry writes. */
  get journalFile(): string {
    return join(this.data, "runs", `${this.runId}.jsonl`)
  }

  /** The next start would sweep its run. */
  get isInJournal(): boolean {
    return this.registry().some((line) => line["runId"] === this.runId)
  }

  events(): ReadonlyArray<Event.Event> {
    return this.told.events.read(this.file("events.jsonl"), (text) => text.trimEnd().split("\n").map((line) => JSON.parse(line)))
  }

  journal(): ReadonlyArray<Ledger.Execution> {
    return this.told.journal.read(this.file("journal.txt"), Ledger.readJournal)
  }

  /** What was run to its end, as far as the tools of the mix go. */
  finished(): ReadonlyArray<Ledger.Execution> {
    return this.told.finished.read(this.file("finished.txt"), Ledger.readJournal)
  }

  ledger(): ReadonlyArray<Ledger.Line> {
    return this.told.ledger.read(this.file("ledger.jsonl"), Ledger.readLedger)
  }

  /** What its registry has written down for the next start, a line each. */
  registry(): ReadonlyArray<{ readonly [word: string]: unknown }> {
    const runs = join(this.data, "runs")
    return (existsSync(runs) ? readdirSync(runs) : []).flatMap((name) =>
      readFileSync(join(runs, name), "utf8").split("\n").slice(0, -1).map((line) => JSON.parse(line))
    )
  }

  /** The `seq` of each event that its history has acknowledged. */
  acknowledged(): ReadonlyArray<number> {
    const file = this.file("acknowledged.txt")
    return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1).map(Number) : []
  }

  account(): Ledger.Account {
    return Ledger.account({ ledger: this.ledger(), journal: this.journal(), killedAt: this.killedAt })
  }

  /** SIGKILL, whatever it does. */
  kill(): void {
    this.killedAt ??= Date.now()
    Observer.signal(this.identity, "SIGKILL")
  }

  get hasEnded(): boolean {
    return this.over !== undefined
  }

  /** Lets its calls come to their end, for so long. Never fails. */
  async rest(millis: number): Promise<void> {
    await within(millis, this.send("rest", {})).catch(() => {})
  }

  /**
   * Ends whatever is left of it, by identity; removes what it wrote, or says where that is, and its cgroup, as nobody is started again in its
   * folder who would.
   */
  async dispose({ keep = false } = {}): Promise<string | undefined> {
    this.kill()
    await this.ended
    await until(
      () => {
        const left = this.survivors()
        for (const process of left) Observer.signal(process, "SIGKILL")
        return left.length
      },
      (left) => left === 0,
      5000
    )
    const { cgroup } = this
    if (cgroup !== undefined) Observer.removeCgroup(cgroup)
    if (this.shared !== undefined) rmSync(this.shared, { recursive: true, force: true })
    if (keep) {
      writeFileSync(this.file("said.txt"), `${this.complaints.join("\n")}\n`)
      return this.folder
    }
    rmSync(this.folder, { recursive: true, force: true })
    return undefined
  }
}

/** A file that grows by lines: each is read once. */
class Tail<A> {
  private readonly all: Array<A> = []
  private offset = 0

  read(file: string, parse: (wholeLines: string) => ReadonlyArray<A>): ReadonlyArray<A> {
    if (!existsSync(file)) return this.all
    const opened = openSync(file, "r")
    try {
      const fresh = Buffer.alloc(Math.max(0, fstatSync(opened).size - this.offset))
      const end = fresh.subarray(0, readSync(opened, fresh, 0, fresh.length, this.offset)).lastIndexOf("\n") + 1
      this.offset += end
      if (end > 0) { for (const line of parse(fresh.toString("utf8", 0, end))) this.all.push(line) }
      return this.all
    } finally {
      closeSync(opened)
    }
  }
}
