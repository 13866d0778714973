/** The clients on the gateway's page, run against a gateway that serves the adapter of the README. */
import { assert, describe, it, layer } from "@effect/vitest"
import { status } from "@grpc/grpc-js"
import * as Failure from "@snakepit/bridge/gateway/Failure"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EventLog, Snakepit } from "snakepit"
import { afterAll } from "vitest"
import { python, root, until } from "../e2e/fixtures/Program.ts"
import * as PythonStubs from "../e2e/fixtures/PythonStubs.ts"
import { blocksOf } from "./Examples.ts"

const page = readFileSync(join(root, "docs", "bridge", "gateway.md"), "utf8")
const blocks = (markdown: string, language: string) =>
  blocksOf(markdown).filter((block) => block.language === language).map(({ text }) => text)
const [client, inputsAdapter, inputsClient] = blocks(page, "python") as [string, string, string]

const folder = mkdtempSync(join(root, "test", "docs", ".example-")) // packages are found by their names
const adapters = mkdtempSync(join(tmpdir(), "snakepit-adapters-"))
afterAll(() => [folder, adapters].forEach((made) => rmSync(made, { recursive: true, force: true })))
const [readme] = blocks(readFileSync(join(root, "README.md"), "utf8"), "python")
writeFileSync(join(adapters, "tools.py"), `${readme}\n\n${inputsAdapter}`)
PythonStubs.write(folder)

const token = "a token of thirty-two characters"

/** Runs a client beside the gateway; returns what it printed. */
const run = (program: string, args: ReadonlyArray<string>): Effect.Effect<string, never, EventLog.EventLog> =>
  Effect.gen(function*() {
    const log = yield* EventLog.EventLog
    const [started] = yield* Effect.promise(() =>
      until(() => Effect.runPromise(log.recent("snakepit.gateway.start")), (told) => told.length > 0)
    )
    const env = {
      ...process.env,
      GATEWAY: String(started!.attributes["address"]),
      GATEWAY_TOKEN: token,
      PYTHONPATH: folder,
      PYTHONDONTWRITEBYTECODE: "1"
    }
    return yield* Effect.promise(() =>
      new Promise<string>((resolve, reject) => {
        const child = spawn(program, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], timeout: 30_000 })
        let stdout = ""
        let stderr = ""
        child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()))
        child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()))
        child.on("close", (code) => code === 0 ? resolve(stdout) : reject(new Error(`${program} ended with ${code}: ${stdout}${stderr}`)))
      })
    )
  })

const primes = "prime 2\nprime 3\nprime 5\nprime 7\nprime 11\nprime 13\nprime 17\nprime 19\n"

describe("the gateway's page", () => {
  layer(
    Snakepit.layer({
      gateway: { listen: "127.0.0.1:0", token },
      pools: { default: { size: 1, stopGrace: "300 millis", python: { adapter: "tools", path: [adapters] } } }
    }),
    { excludeTestServices: true, timeout: "30 seconds" }
  )((it) => {
    it.effect("has a client in Python that works", () =>
      Effect.gen(function*() {
        const file = join(folder, "client.py")
        writeFileSync(file, client)
        assert.strictEqual(yield* run(python, [file]), `mean 3.0\n${primes}NOT_FOUND not_executed ToolNotFound\n`)
      }))

    it.effect("has a client in Python that sends a stream of inputs", () =>
      Effect.gen(function*() {
        const file = join(folder, "inputs.py")
        writeFileSync(file, inputsClient)
        assert.strictEqual(yield* run(python, [file]), "mean so far 1.0\nmean so far 1.5\nmean so far 3.0\n")
      }))

    it.effect("has a client in Node that works", () =>
      Effect.gen(function*() {
        const file = join(folder, "client.mjs")
        writeFileSync(file, blocks(page, "js")[0]!)
        assert.strictEqual(yield* run(process.execPath, [file]), `mean 3\n${primes}NOT_FOUND not_executed\n`)
      }))
  })

  it("names each error under the status that it has", () => {
    const rows = [...page.matchAll(/^\| `([A-Z_]+)` *\| (?:`\w+`|see there) *\| (.*?) \|/gm)]
    const told = rows.flatMap(([, code = "", tags = ""]) => [...tags.matchAll(/`([A-Z]\w+)`/g)].map(([, tag = ""]) => [tag, code] as const))
    const codes = Object.entries(Failure.codes).map(([tag, code]) => [tag, status[code]] as const)
    assert.sameDeepMembers(told, codes)
  })
})
