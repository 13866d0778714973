/** What holds when more than the host dies: the sweep at the next start, the pid namespace, the cgroup. */
import { afterEach, assert, describe, it } from "@effect/vitest"
import * as Cgroup from "@snakepit/bridge/process/Cgroup"
import { Deferred, Effect } from "effect"
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Event, EventBus, Pool, Snakepit, Survivors } from "snakepit"
import { config, start, survivors, until, workerOf } from "./fixtures/Program.ts"
import { Tools } from "./fixtures/Tools.ts"

const flags = ["--user", "--map-current-user", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "true"]

const canIsolate = (() => {
  try {
    execFileSync("unshare", flags, { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})()

const isAlive = (pid: number) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

const inFolder = async (use: (folder: string) => Promise<void>) => {
  const folder = mkdtempSync(join(tmpdir(), "snakepit-contain-"))
  try {
    await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const one = { size: 1 }

/** Processes that hide from everything: a failing test ends them here. */
const hidden: Array<number> = []
afterEach(() => {
  for (const pid of hidden.splice(0)) {
    if (isAlive(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8") === "/bin/sleep\x00600\x00") process.kill(pid, "SIGKILL")
  }
})

/** The program's hidden grandchild, by the host's pid. */
const saidHidden = async (host: ReturnType<typeof start>): Promise<number> => {
  const pid = Number(await host.said("ready"))
  hidden.push(pid)
  return pid
}

/** Runs a program that makes one call and ends: its start is the next start on that data folder. */
const startOnce = async (data: string): Promise<ReadonlyArray<Event.Event>> => {
  const eventLog = join(data, "events.jsonl")
  const program = start([JSON.stringify({ ...config({}, one), telemetry: { eventLog } })], { SNAKEPIT_DATA_DIR: data })
  const { code, stdout } = await program.ended
  assert.strictEqual(code, 0, stdout)
  return readFileSync(eventLog, "utf8").trim().split("\n").map((line) => JSON.parse(line) as Event.Event)
}

/** The Reaper itself; in a namespace, unshare has it in its command line too. */
const reaperOf = async (runId: string): Promise<number> =>
  (await survivors(runId)).find(({ command }) => command.includes("snakepit_reaper") && !command.startsWith("unshare"))!.pid

/** Kills a host and its Reaper so that neither can sweep. */
const killWithReaper = async (host: ReturnType<typeof start>, runId: string) => {
  const reaper = await reaperOf(runId)
  host.child.kill("SIGSTOP")
  process.kill(reaper, "SIGKILL")
  host.child.kill("SIGKILL")
  await host.ended
}

describe.skipIf(process.platform !== "linux")("when host and Reaper are killed in the same instant", () => {
  it("a grandchild in a session of its own is ended by the next start, and a living host on the same data folder loses nothing", () =>
    inFolder(async (data) => {
      const env = { SNAKEPIT_DATA_DIR: data }
      const dead = start([JSON.stringify({ ...config({}, one), cgroup: "off" }), "wait"], env)
      const living = start([JSON.stringify({ ...config({}, one), cgroup: "off" }), "wait"], env)
      try {
        const [deadRun, livingRun] = [await dead.said("run"), await living.said("run")]
        const grandchild = Number(await dead.said("ready"))
        await living.said("ready")
        await killWithReaper(dead, deadRun)
        const left = await until(() => survivors(deadRun), (left) => left.length === 1)
        assert.deepStrictEqual(left.map(({ pid }) => pid), [grandchild])
        const before = await survivors(livingRun)

        const events = await startOnce(data)
        const swept = events.find(({ name }) => name === "snakepit.process_registry.sweep")
        assert.deepInclude(swept?.measurements, { dead: 1, killed: 1, left: 0, living: 1 })
        const report = events.find(({ name }) => name === "snakepit.containment.report")
        assert.match(String(report?.attributes["active"]), /reaper, process_group, parent_death_signal, subreaper, .*registry_sweep/)
        assert.include(report?.attributes["leaks"], "When host and Reaper are killed in the same instant")
        assert.isFalse(isAlive(grandchild))
        assert.deepStrictEqual(await survivors(livingRun), before)
        assert.isAtLeast(before.length, 4) // a worker, its grandchild, forkserver and Reaper
        assert.deepStrictEqual(readdirSync(join(data, "runs")), [`${livingRun}.jsonl`])
      } finally {
        dead.child.kill("SIGKILL")
        living.child.kill("SIGKILL")
        await living.ended
      }
    }))

  it("a Reaper that was stopped goes on, and sweeps", () =>
    inFolder(async (data) => {
      const dead = start([JSON.stringify({ ...config({}, one), cgroup: "off" }), "wait"], { SNAKEPIT_DATA_DIR: data })
      const runId = await dead.said("run")
      await dead.said("ready")
      process.kill(await reaperOf(runId), "SIGSTOP")
      dead.child.kill("SIGKILL")
      await dead.ended
      assert.deepStrictEqual(await until(() => survivors(runId), (left) => left.length === 0), [])
    }))
})

const parent = Cgroup.find()

describe.skipIf("why" in parent)("with a cgroup", () => {
  it("the next start ends even a grandchild in a session of its own that cleared its environment, and removes the cgroup", () =>
    inFolder(async (data) => {
      const dead = start([JSON.stringify(config({}, one)), "wait_hidden"], { SNAKEPIT_DATA_DIR: data })
      const runId = await dead.said("run")
      const child = await saidHidden(dead)
      const folder = join("folder" in parent ? parent.folder : "", `snakepit-${runId}`)
      assert.include(readFileSync(`/proc/${child}/cgroup`, "utf8"), `/snakepit-${runId}/default/`)
      await killWithReaper(dead, runId)
      assert.deepStrictEqual(await until(() => survivors(runId), (left) => left.length === 0), [])
      assert.isTrue(isAlive(child))
      const events = await startOnce(data)
      const report = events.find(({ name }) => name === "snakepit.containment.report")
      assert.include(report?.attributes["active"], "cgroup")
      assert.isFalse(isAlive(child))
      assert.isFalse(existsSync(folder))
      assert.deepStrictEqual(readdirSync(join(data, "runs")), [])
    }))

  it("the end of a Reaper alone takes even such a grandchild along, and the end of the run leaves no cgroup", () =>
    inFolder(async (data) => {
      const host = start([JSON.stringify(config({}, one)), "wait_hidden"], { SNAKEPIT_DATA_DIR: data })
      const runId = await host.said("run")
      const child = await saidHidden(host)
      process.kill(await reaperOf(runId), "SIGKILL")
      assert.isFalse(await until(() => isAlive(child), (alive) => !alive))
      host.child.kill("SIGTERM")
      await host.ended
      assert.isFalse(existsSync(join("folder" in parent ? parent.folder : "", `snakepit-${runId}`)))
    }))
})

describe.skipIf(process.platform !== "linux")("a crash of the registry", () => {
  it.live("touches no worker: the next generation has its entries, and calls go on", () =>
    Effect.gen(function*() {
      const { root, runId } = yield* Snakepit.Snakepit
      const tools = yield* Pool.client(Tools)
      const journal = join(process.env["SNAKEPIT_DATA_DIR"]!, "runs", `${runId}.jsonl`)
      const before = { pids: yield* Survivors.of(runId), pid: yield* tools.my_pid(), journal: readFileSync(journal, "utf8") }
      const back = yield* Deferred.make<void>()
      const bus = yield* EventBus.EventBus
      yield* bus.tap("snakepit.foundation_supervisor.recover", () => void Deferred.doneUnsafe(back, Effect.void))
      yield* (yield* root.at("snakepit/foundation")).failChild("process_registry", new Error("harm"))
      yield* Effect.timeout(Deferred.await(back), "10 seconds")
      assert.deepStrictEqual(
        { pids: yield* Survivors.of(runId), pid: yield* tools.my_pid(), journal: readFileSync(journal, "utf8") },
        before
      )
    }).pipe(Effect.provide(Snakepit.layer(config({}, one)))))
})

describe.skipIf(!canIsolate)("a pool in a pid namespace", () => {
  it.live("serves calls, and everything the host says of its processes is in the host's pids", () =>
    Effect.gen(function*() {
      const { runId } = yield* Snakepit.Snakepit
      const tools = yield* Pool.client(Tools)
      assert.strictEqual(yield* tools.add({ a: 1, b: 2 }), 3)
      const inside = yield* tools.my_pid()
      const worker = workerOf(yield* Survivors.of(runId), "default/0")!
      assert.notStrictEqual(inside, worker.pid)
      assert.match(readFileSync(`/proc/${worker.pid}/status`, "utf8"), new RegExp(`^NSpid:\\s+${worker.pid}\\s+${inside}$`, "m"))
      const journal = readFileSync(join(process.env["SNAKEPIT_DATA_DIR"]!, "runs", `${runId}.jsonl`), "utf8")
      assert.include(journal, `"pid":${worker.pid},`)
      if ("folder" in parent) assert.include(readFileSync(`/proc/${worker.pid}/cgroup`, "utf8"), `/snakepit-${runId}/default/`)
    }).pipe(Effect.provide(Snakepit.layer(config({ containment: "namespace" }, one)))))

  it("leaves nothing when its host is killed: not even a grandchild in a session of its own that cleared its environment", async () => {
    const program = start([JSON.stringify({ ...config({ containment: "namespace" }, one), cgroup: "off" }), "wait_hidden"])
    const runId = await program.said("run")
    await program.said("ready")
    const all = insideOf(runId, await survivors(runId))
    assert.isAtLeast(all.length, 3) // Reaper, worker, the hidden one
    program.child.kill("SIGKILL")
    await program.ended
    assert.deepStrictEqual(await until(() => all.filter(isAlive), (left) => left.length === 0), [])
  })

  it("leaves nothing when host and Reaper are killed in the same instant", async () => {
    const program = start([JSON.stringify({ ...config({ containment: "namespace" }, one), cgroup: "off" }), "wait_hidden"])
    const runId = await program.said("run")
    await program.said("ready")
    const all = insideOf(runId, await survivors(runId))
    await killWithReaper(program, runId)
    assert.deepStrictEqual(await until(() => all.filter(isAlive), (left) => left.length === 0), [])
  })

  it("does not start where there are no namespaces, and says what to enable", () =>
    inFolder(async (folder) => {
      const program = start([JSON.stringify(config({ containment: "namespace" }, one))], { PATH: folder })
      const { code, stdout } = await program.ended
      assert.strictEqual(code, 1)
      assert.match(stdout, /ContainmentUnavailable|asks for containment "namespace", which is not to be had here/)
      assert.include(stdout, "install util-linux")
    }))
})

/** All processes in the pid namespace that a run has made, by the host's pids. */
const insideOf = (runId: string, ofRun: ReadonlyArray<Survivors.Survivor>): ReadonlyArray<number> => {
  const namespaceOf = (pid: number | string) => {
    try {
      return execFileSync("readlink", [`/proc/${pid}/ns/pid`], { encoding: "utf8" }).trim()
    } catch {
      return ""
    }
  }
  const worker = workerOf(ofRun, "default/0")
  assert.isDefined(worker, `run ${runId} has no worker`)
  const wanted = namespaceOf(worker!.pid)
  assert.notStrictEqual(wanted, namespaceOf("self"))
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && namespaceOf(name) === wanted).map(Number)
}
