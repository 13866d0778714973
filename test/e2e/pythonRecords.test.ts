/** What Python bounds and what the host lets in are one thing: whatever tools tell of, no record of it is improper. */
import { fromBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { spawn } from "node:child_process"
import { join } from "node:path"
import { TelemetrySchema } from "../../packages/bridge/gen/snakepit/v1/worker_pb.ts"
import * as Telemetry from "../../packages/bridge/src/channel/Telemetry.ts"
import * as Edge from "../../packages/bridge/src/ingest/Edge.ts"
import { python, pythonFolder, root } from "./fixtures/Program.ts"

/** Characters of one to four bytes, halves of such, and what logs and tracebacks are made of; as many as a bound, and around it. */
const Text = Schema.Array(Schema.Struct({
  of: Schema.Literals(["a", "é", "中", "🐍", "\ud800", "\udc80", "\n", "\\", "\0"]),
  times: Schema.Literals([1, 3, 255, 341, 1023, 1024, 2047, 2048, 4096])
}))

const told = (texts: ReadonlyArray<string>): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const child = spawn(python, [join(pythonFolder, "telling_of_texts.py")], {
      env: { ...process.env, PYTHONPATH: join(root, "python", "src"), PYTHONDONTWRITEBYTECODE: "1" },
      stdio: ["pipe", "pipe", "inherit"],
      timeout: 30_000
    })
    const chunks: Array<Buffer> = []
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk))
    child.on("close", (code) => code === 0 ? resolve(Buffer.concat(chunks)) : reject(new Error(`Python ended with ${code}`)))
    child.stdin.end(JSON.stringify(texts))
  })

describe("records of Python", () => {
  it.effect.prop(
    "are let in, whatever text they are about",
    { texts: Schema.Array(Text) },
    ({ texts }) =>
      Effect.gen(function*() {
        const written = yield* Effect.promise(() => told(texts.map((parts) => parts.map(({ of, times }) => of.repeat(times)).join(""))))
        const { dropped, records } = Telemetry.heard(fromBinary(TelemetrySchema, written))
        assert.deepStrictEqual(dropped, [])
        assert.isAtLeast(records.length, 5 * texts.length) // an event, two lines of a log and two spans at least
        for (const record of records) {
          const verdict = new Edge.Edge().judge({ ...record, at: 0, correlationId: undefined })
          assert.strictEqual(verdict._tag, "Own", JSON.stringify(record.said))
        }
      }),
    { arbitrary: { runs: 8 }, timeout: 120_000 } // each is a process
  )
})
