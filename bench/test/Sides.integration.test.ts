/** Each side that is measured does what it is measured for, and leaves nothing behind. */
import { Effect } from "effect"
import { readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { afterEach, beforeEach, expect, test } from "vitest"
import * as Handwritten from "../call/Handwritten.ts"
import * as Ours from "../call/Ours.ts"
import * as Unary from "../call/Unary.ts"

const data = Buffer.from("thirty-two bytes, there and back")

const socketFolders = () => readdirSync(tmpdir()).filter((name) => name.startsWith("snakepit-bench-"))

let before: ReadonlyArray<string>
const closes: Array<() => Promise<void>> = []
const closing = (close: () => Promise<void>) => void closes.unshift(close)
beforeEach(() => {
  before = socketFolders()
})
afterEach(async () => {
  for (const close of closes.splice(0)) await close()
  expect(socketFolders().filter((folder) => !before.includes(folder))).toEqual([])
})

/** Notes that ten elements came, then says to stop. */
const ten = () => {
  let seen = 0
  return { note: (elements: number) => (seen += elements) < 10, seen: () => seen }
}

test("gRPC: bytes come back, and a stream of elements ends when it is told to", async () => {
  const { echo, elements } = await Unary.open(closing, 2)
  expect(await Promise.all(Array.from({ length: 8 }, () => echo(data)))).toEqual(Array.from({ length: 8 }, () => data))
  const { note, seen } = ten()
  await elements(note)
  expect(seen()).toBeGreaterThanOrEqual(10)
})

test("by hand: more answers than a worker may keep unacknowledged, and a failure, on the worker that was named", async () => {
  const { call, ledger } = await Handwritten.open(closing, 2)
  const results = await Promise.all(Array.from({ length: 500 }, () => call("echo", { data })))
  expect(results.every((result) => data.equals(result as Buffer))).toBe(true)
  const pids = await Promise.all([0, 0, 1].map((worker) => call("process", {}, worker)))
  expect(pids[0]).toBe(pids[1])
  expect(pids[0]).not.toBe(pids[2])
  await expect(call("echo", { data: 1 })).rejects.toThrow("the tool failed")
  expect(ledger).toEqual({ completed: 503, failed: 1 })
})

test("ours: bytes come back, and a stream of elements ends when it is told to", async () => {
  const application = await Ours.open(closing, { default: { size: 1 } })
  const client = await application.client()
  const back = await application.run(Effect.orDie(client.echo({ data })))
  expect(data.equals(back)).toBe(true)
  const { note, seen } = ten()
  await application.run(Ours.elements(client, note))
  expect(seen()).toBeGreaterThanOrEqual(10)
})
