/** The clients on the gateway's page, run against a gateway that serves the adapter of the README. */
import { toBinary } from "@bufbuild/protobuf"
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt"
import { assert, describe, it, layer } from "@effect/vitest"
import { status } from "@grpc/grpc-js"
import * as Failure from "@snakepit/bridge/gateway/Failure"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EventLog, Snakepit } from "snakepit"
import { afterAll } from "vitest"
import { file_snakepit_v1_gateway } from "../../packages/bridge/gen/snakepit/v1/gateway_pb.ts"
import { file_snakepit_v1_worker } from "../../packages/bridge/gen/snakepit/v1/worker_pb.ts"
import { python, root, until } from "../e2e/fixtures/Program.ts"
import { blocksOf } from "./Examples.ts"

const page = readFileSync(join(root, "docs", "bridge", "gateway.md"), "utf8")
const block = (markdown: string, language: string) => blocksOf(markdown).find((block) => block.language === language)!.text

const folder = mkdtempSync(join(root, "test", "docs", ".example-")) // packages are found by their names
const adapters = mkdtempSync(join(tmpdir(), "snakepit-adapters-"))
afterAll(() => [folder, adapters].forEach((made) => rmSync(made, { recursive: true, force: true })))
writeFileSync(join(adapters, "tools.py"), block(readFileSync(join(root, "README.md"), "utf8"), "python"))

/** What protoc and its gRPC plugin write, by the same means: neither is in the environment of the tests. */
const writeStubs = (): void => {
  mkdirSync(join(folder, "snakepit", "v1"), { recursive: true })
  const write = (name: string, text: string) => writeFileSync(join(folder, "snakepit", "v1", name), text)
  for (const { name, proto } of [file_snakepit_v1_worker, file_snakepit_v1_gateway]) {
    const module = `${name.split("/").at(-1)}_pb2`
    const bytes = Buffer.from(toBinary(FileDescriptorProtoSchema, proto)).toString("hex")
    const imports = name.endsWith("gateway") ? "from snakepit.v1 import worker_pb2\n" : ""
    write(
      `${module}.py`,
      `from google.protobuf import descriptor_pool, struct_pb2\nfrom google.protobuf.internal import builder\n${imports}` +
        `DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(bytes.fromhex("${bytes}"))\n` +
        `builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())\n` +
        `builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, "snakepit.v1.${module}", globals())\n`
    )
  }
  const method = (name: string, kind: string, messages: string) =>
    `        self.${name} = channel.${kind}("/snakepit.v1.GatewayService/${name}", gateway_pb2.${messages}Request.SerializeToString, ` +
    `gateway_pb2.${messages}Response.FromString)\n`
  write(
    "gateway_pb2_grpc.py",
    "from snakepit.v1 import gateway_pb2\n\n\nclass GatewayServiceStub:\n    def __init__(self, channel):\n" +
      method("Execute", "unary_unary", "GatewayServiceExecute") +
      method("ExecuteStream", "unary_stream", "GatewayServiceExecuteStream") +
      method("ListTools", "unary_unary", "ListTools")
  )
}

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
        writeStubs()
        const file = join(folder, "client.py")
        writeFileSync(file, block(page, "python"))
        assert.strictEqual(yield* run(python, [file]), `mean 3.0\n${primes}NOT_FOUND ToolNotFound no\n`)
      }))

    it.effect("has a client in Node that works", () =>
      Effect.gen(function*() {
        const file = join(folder, "client.mjs")
        writeFileSync(file, block(page, "js"))
        assert.strictEqual(yield* run(process.execPath, [file]), `mean 3\n${primes}NOT_FOUND 1\n`)
      }))
  })

  it("names each error under the status that it has", () => {
    const rows = [...page.matchAll(/^\| `([A-Z_]+)` *\| (?:`\w+`|see there) *\| (.*?) \|/gm)]
    const told = rows.flatMap(([, code = "", tags = ""]) => [...tags.matchAll(/`([A-Z]\w+)`/g)].map(([, tag = ""]) => [tag, code] as const))
    const codes = Object.entries(Failure.codes).map(([tag, code]) => [tag, status[code]] as const)
    assert.sameDeepMembers(told, codes)
  })
})
