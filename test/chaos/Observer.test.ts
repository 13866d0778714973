/** The observer against real processes that this test starts, and ends by their pid. */
import { assert, describe, it } from "@effect/vitest"
import * as Cgroup from "@snakepit/bridge/process/Cgroup"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { until } from "./Host.ts"
import * as Observer from "./Observer.ts"

const run = `test-${process.pid}`

const sleeper = (env: Record<string, string>): ChildProcess =>
  spawn("sleep", ["60"], { env: { ...process.env, SNAKEPIT_RUN: run, ...env }, stdio: "ignore" })

describe.skipIf(!Observer.canSee())("the observer", () => {
  it("finds what carries the mark of a run, sees it stopped, and sees it gone", async () => {
    const child = sleeper({ SNAKEPIT_WORKER: "default/3#1" })
    try {
      const [found] = await until(() => Observer.ofRun(run), (found) => found[0]?.command === "sleep 60", 5000)
      assert.include(found, { pid: child.pid!, parent: process.pid, run, worker: "default/3#1" })
      assert.isTrue(Observer.below(process.pid).some(({ pid }) => pid === child.pid))
      assert.deepStrictEqual(Observer.ofRun(`${run}0`), [])
      assert.isTrue(Observer.isAlive(found!))
      assert.isFalse(Observer.isAlive({ ...found!, started: found!.started + 1 })) // the same pid, another process
      Observer.signal(found!, "SIGSTOP")
      assert.isTrue(await until(() => Observer.isStopped(found!), (stopped) => stopped, 5000))
      Observer.signal({ ...found!, started: found!.started + 1 }, "SIGKILL")
      assert.isTrue(Observer.isAlive(found!))
      Observer.signal(found!, "SIGKILL")
      assert.isFalse(await until(() => Observer.isAlive(found!), (alive) => !alive, 5000))
    } finally {
      child.kill("SIGKILL")
    }
  })

  it.skipIf("why" in Cgroup.find())("finds the cgroup of a run, leaves one with a process in it, and removes it without", async () => {
    const parent = Cgroup.find()
    const folder = join("folder" in parent ? parent.folder : "", `snakepit-${run}`)
    mkdirSync(join(folder, "pool"), { recursive: true })
    const child = sleeper({})
    try {
      assert.strictEqual(Observer.cgroupOf(run), folder)
      writeFileSync(join(folder, "pool", "cgroup.procs"), String(child.pid))
      Observer.removeCgroup(folder)
      assert.isTrue(existsSync(join(folder, "pool")))
    } finally {
      child.kill("SIGKILL")
      await once(child, "exit")
      Observer.removeCgroup(folder)
    }
    assert.isUndefined(Observer.cgroupOf(run))
  })

  it("tells a worker from what it has started, and from Reaper and Forkserver", () => {
    const process = { started: 1, state: "S", run }
    const worker = { ...process, pid: 10, parent: 5, command: "python -m snakepit.worker --name default/3", worker: "default/3#1" }
    const forked = { ...process, pid: 11, parent: 5, command: "snakepit.worker default/4", worker: "default/4#0" }
    const all = [
      { ...process, pid: 5, parent: 1, command: "python -m snakepit_reaper", worker: undefined },
      { ...process, pid: 6, parent: 5, command: "python -m snakepit.forkserver", worker: "default/forkserver#0" },
      { ...process, pid: 7, parent: 6, command: "python -m snakepit.forkserver", worker: "default/forkserver#0" },
      worker,
      forked,
      { ...process, pid: 12, parent: 10, command: worker.command, worker: worker.worker }, // it has forked and not yet executed
      { ...process, pid: 13, parent: 5, command: "sleep 600", worker: worker.worker } // its parent has ended
    ]
    assert.deepStrictEqual(Observer.workers(all), [{ ...worker, pool: "default", slot: 3 }, { ...forked, pool: "default", slot: 4 }])
    assert.deepStrictEqual(Observer.reapers(all).map(({ pid, pool }) => [pid, pool]), [[5, "default"]])
    assert.deepStrictEqual(Observer.forkservers(all).map(({ pid, pool }) => [pid, pool]), [[6, "default"]])
  })

  it("tells who starts from who listens, by the sockets that the kernel knows", async () => {
    const folder = mkdtempSync(join(tmpdir(), "chaos-"))
    const server = createServer().listen(join(folder, "default.3.1"))
    try {
      await once(server, "listening")
      const worker = { started: 1, state: "S", run, pid: 10, parent: 5, command: "", pool: "default", slot: 3, worker: "default/3#1" }
      const next = { ...worker, pid: 11, worker: "default/3#2" }
      const listening = new Set([...Observer.listening()].filter((path) => path.startsWith(folder)))
      assert.deepStrictEqual([...listening], [join(folder, "default.3.1")])
      assert.deepStrictEqual(Observer.starting([worker, next], listening), [next])
    } finally {
      server.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it("counts zombies, open files and memory", async () => {
    const child = spawn("sh", ["-c", "sleep 0 & exec sleep 60"], { stdio: "ignore" }) // sleep waits for nobody
    try {
      const zombies = await until(() => Observer.zombies(process.pid), ([zombie]) => zombie !== undefined, 5000)
      assert.deepStrictEqual(zombies.map(({ pid }) => Observer.find(pid)), [undefined])
      const self = Observer.find(process.pid)!
      const before = Observer.openFiles(self)
      const file = openSync("/dev/null", "r")
      assert.strictEqual(Observer.openFiles(self), before + 1)
      closeSync(file)
      assert.isAbove(Observer.memory(self), 2 ** 20)
    } finally {
      child.kill("SIGKILL")
    }
  })
})
