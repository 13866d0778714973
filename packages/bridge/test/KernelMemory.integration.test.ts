import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as KernelMemory from "../src/process/KernelMemory.ts"

const python = process.env["SNAKEPIT_PYTHON"] ?? "python3"

/** A process that holds so many bytes, in a child of its own, and says when it does. */
const holder = (bytes: number) =>
  Effect.acquireRelease(
    Effect.promise(() => {
      const held = `import sys; b = bytearray(${bytes}); b[::4096] = b"x" * len(b[::4096]); print("held", flush=True); sys.stdin.read()`
      const program = `import subprocess, sys\nsubprocess.run([sys.executable, "-c", ${JSON.stringify(held)}])`
      const child = spawn(python, ["-c", program], { stdio: ["pipe", "pipe", "inherit"] })
      return new Promise<typeof child>((resolve) => child.stdout.once("data", () => resolve(child)))
    }),
    (child) => Effect.promise(() => new Promise((resolve) => child.once("close", resolve) && child.stdin.end()))
  )

describe.skipIf(process.platform !== "linux")("memory", () => {
  it.live("is that of a process and of what it has started, resident or as its share", () =>
    Effect.gen(function*() {
      const bytes = 64 << 20
      const { pid } = yield* holder(bytes)
      for (const kind of ["rss", "pss"] as const) {
        const seen = yield* KernelMemory.of(pid!, kind)
        assert.isAtLeast(seen!, bytes)
        assert.isAtMost(seen!, bytes + (64 << 20), "two interpreters take no 64 MiB")
      }
    }))

  it.live("is not known of a process that is not there", () => Effect.map(KernelMemory.of(2 ** 22 + 1, "rss"), assert.isUndefined)) // beyond the largest pid
})
