/** What the kernel says of real processes. Where there is no `/proc` it says nothing. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import * as KernelEvidence from "../src/process/KernelEvidence.ts"

/** A process that is killed, by its pid, when the test is over. */
const running = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(command, args, { stdio: "ignore" })),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  ).pipe(Effect.map(({ pid }) => pid!))

/** Looks until it is so, for at most 5 s. */
const until = (pid: number, isSo: (evidence: NonNullable<ReturnType<typeof KernelEvidence.of>>) => boolean) =>
  Effect.gen(function*() {
    for (let look = 0; look < 500; look++) {
      const evidence = KernelEvidence.of(pid)
      if (evidence !== undefined && isSo(evidence)) return evidence
      yield* Effect.sleep("10 millis")
    }
    return assert.fail(`it is ${JSON.stringify(KernelEvidence.of(pid))}`)
  })

/** A program of two threads: the second one spins, the main one waits for it and sleeps. */
const spinningThread = "const { Worker } = require(\"node:worker_threads\"); new Worker(\"for (;;) {}\", { eval: true })"

describe.skipIf(!existsSync("/proc/self/stat"))("the kernel's evidence", () => {
  it.live("of a process that sleeps: sleeping, and no CPU", () =>
    Effect.gen(function*() {
      const pid = yield* running("sleep", "60")
      const first = yield* until(pid, ({ state }) => state === "sleeping")
      assert.strictEqual(first.pid, pid)
      yield* Effect.sleep("200 millis")
      assert.isAtMost(KernelEvidence.of(pid)!.cpuMillis - first.cpuMillis, 10)
    }).pipe(Effect.scoped))

  it.live("of one that computes: running, and its CPU time advances", () =>
    Effect.gen(function*() {
      const pid = yield* running("sh", "-c", "while :; do :; done")
      const first = yield* until(pid, ({ state }) => state === "running")
      yield* until(pid, ({ cpuMillis }) => cpuMillis >= first.cpuMillis + 100)
    }).pipe(Effect.scoped))

  it.live("of one that was stopped: stopped, until it goes on", () =>
    Effect.gen(function*() {
      const pid = yield* running("sh", "-c", "while :; do :; done")
      yield* until(pid, ({ state }) => state === "running")
      process.kill(pid, "SIGSTOP")
      yield* until(pid, ({ state }) => state === "stopped")
      process.kill(pid, "SIGCONT")
      yield* until(pid, ({ state }) => state === "running")
    }).pipe(Effect.scoped))

  it.live("of one whose main thread waits for another that computes: sleeping, and its CPU time advances", () =>
    Effect.gen(function*() {
      const pid = yield* running(process.execPath, "-e", spinningThread)
      const first = yield* until(pid, ({ cpuMillis, state }) => state === "sleeping" && cpuMillis > 500)
      const later = yield* until(pid, ({ cpuMillis, state }) => state === "sleeping" && cpuMillis >= first.cpuMillis + 500)
      const used = [...later.threads].map(([id, millis]) => ({ id, millis: millis - (first.threads.get(id) ?? 0) }))
      const [busiest] = used.sort((a, b) => b.millis - a.millis)
      assert.notStrictEqual(busiest!.id, pid)
      assert.closeTo(busiest!.millis, later.cpuMillis - first.cpuMillis, 100)
      assert.isAtMost(used.find(({ id }) => id === pid)!.millis, 100)
    }).pipe(Effect.scoped))

  it("of one that does not exist: nothing", () => {
    assert.isUndefined(KernelEvidence.of(2 ** 30)) // beyond the largest pid of Linux, 2^22
  })

  it("of this one: it runs", () => {
    assert.deepInclude(KernelEvidence.of(process.pid), { pid: process.pid, state: "running" })
  })
})
