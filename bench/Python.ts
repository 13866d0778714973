/** A Python program that a side talks to: ready when it says so, ended when its stdin does, so that it cannot outlive this process. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Closing } from "./Bench.ts"

/** The interpreter of the workers. */
export const interpreter = process.env["SNAKEPIT_PYTHON"] ?? "python3"

/** The package in this checkout. */
export const packageFolder = fileURLToPath(new URL("../python/src", import.meta.url))

/** Long enough for an import from a cold disk. */
const patience = 30_000

/** Starts `file`, which prints `ready` when it serves. */
export const start = async (closing: Closing, file: URL, args: ReadonlyArray<string>, python = interpreter): Promise<void> => {
  const child = spawn(python, [fileURLToPath(file), ...args], { stdio: ["pipe", "pipe", "inherit"] })
  closing(() => end(child))
  await said(child, createInterface({ input: child.stdout }), "ready")
}

/** Resolves with the first line that holds `word`, rejects when the process ends before it. */
export const said = async (child: ChildProcess, lines: AsyncIterable<string>, word: string): Promise<void> => {
  const late = setTimeout(() => child.kill("SIGKILL"), patience)
  try {
    for await (const line of lines) {
      if (line.includes(word)) return
    }
  } finally {
    clearTimeout(late)
  }
  throw new Error(`${child.spawnargs.join(" ")} ended before it was ready; its last words are above`)
}

/** Closes its stdin and waits for its end, which SIGKILL brings after a second. */
export const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const late = setTimeout(() => child.kill("SIGKILL"), 1000)
  child.stdin?.end()
  await once(child, "exit")
  clearTimeout(late)
}

/** A folder for sockets, removed at the end. */
export const socketFolder = (closing: Closing): string => {
  const folder = mkdtempSync(join(tmpdir(), "snakepit-bench-"))
  closing(async () => rmSync(folder, { recursive: true, force: true }))
  return folder
}
