/** Clients of the gateway that vanish, flood or send what is no call: what becomes of them, and that nobody else notices. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import * as http2 from "node:http2"
import { connect as dial } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { type Event, EventBus, Snakepit } from "snakepit"
import { afterAll } from "vitest"
import * as GatewayClient from "./fixtures/GatewayClient.ts"
import { addressOf, connect, started, token, valueOf, withGateway } from "./fixtures/GatewayProgram.ts"
import { journal, linesOf } from "./fixtures/Journal.ts"
import { python, until } from "./fixtures/Program.ts"
import * as PythonStubs from "./fixtures/PythonStubs.ts"

const { json } = GatewayClient

const folder = mkdtempSync(join(tmpdir(), "snakepit-stubs-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
PythonStubs.write(folder)
writeFileSync(
  join(folder, "client.py"),
  `import json, sys, time
import grpc
from snakepit.v1.gateway_pb2 import GatewayCall, GatewayInput
from snakepit.v1.gateway_pb2_grpc import GatewayServiceStub

address, token, method, tool, arguments = sys.argv[1:]
call = GatewayCall(tool=tool, json=arguments)


def messages():
    yield GatewayInput(call=call)
    yield GatewayInput(json="1")
    time.sleep(3600)


gateway = GatewayServiceStub(grpc.insecure_channel(address))
for value in getattr(gateway, method)(call if method == "ExecuteStream" else messages(), metadata=[("authorization", f"Bearer {token}")]):
    print(value.json, flush=True)
`
)

/** A client in a process of its own, from its first value until the scope closes. */
const clientProcess = (address: string, method: string, tool: string, args: unknown): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<ChildProcess>((resume) => {
      const child = spawn(python, [join(folder, "client.py"), address, token, method, tool, JSON.stringify(args)], {
        env: { ...process.env, PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: "1" },
        stdio: ["ignore", "pipe", "inherit"]
      })
      child.stdout.once("data", () => resume(Effect.succeed(child)))
      child.once("close", (code) => resume(Effect.die(new Error(`the client ended with ${code} before its first value`))))
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

const closed = (file: string) => Effect.promise(() => until(() => linesOf(file).at(-1), (last) => last === "closed", 20_000))

/** The same numbers for the same seed, in [0, 1). */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
}

describe("a gateway before clients that do not behave", () => {
  layer(
    Snakepit.layer(withGateway({ listen: "127.0.0.1:0", token, maxConnections: 40, maxCalls: 7 }, { credit: 8, maxPayload: 100_000 })),
    {
      excludeTestServices: true,
      timeout: "30 seconds"
    }
  )((it) => {
    const stillServes = Effect.gen(function*() {
      const { execute } = yield* connect
      assert.strictEqual(valueOf((yield* execute(json("add", { a: 20, b: 22 }))).value), 42)
    })

    for (const [method, tool] of [["ExecuteStream", "slow_count"], ["ExecuteWithInputs", "running"]] as const) {
      it.effect(`closes the generator of a client in Python that is killed (${method})`, () =>
        Effect.gen(function*() {
          const file = yield* journal
          const args = method === "ExecuteStream" ? { n: 100_000_000, journal: file } : { journal: file }
          const client = yield* clientProcess(addressOf(yield* started), method, tool, args)
          assert.notStrictEqual(linesOf(file).at(-1), "closed")
          client.kill("SIGKILL")
          assert.strictEqual(yield* closed(file), "closed")
          yield* stillServes
        }))
    }

    it.effect("tells each connection how many calls it may have at a time", () =>
      Effect.gen(function*() {
        const address = addressOf(yield* started)
        const settings = yield* Effect.callback<http2.Settings>((resume) => {
          const session = http2.connect(`http://${address}`)
          session.on("error", () => {})
          session.once("remoteSettings", (settings) => {
            session.destroy()
            resume(Effect.succeed(settings))
          })
        })
        assert.strictEqual(settings.maxConcurrentStreams, 7)
        const { execute } = yield* connect
        const naps = yield* Effect.all(Array.from({ length: 20 }, () => execute(json("nap", { seconds: 0.01 }))), { concurrency: 20 })
        assert.strictEqual(naps.length, 20, "the others wait")
      }))

    it.effect("ends connections that do not speak HTTP/2", () =>
      Effect.gen(function*() {
        const [host, port] = addressOf(yield* started).split(":")
        const next = random(7)
        const noise = Array.from({ length: 20 }, () => Buffer.from(Array.from({ length: 200 }, () => Math.floor(next() * 256))))
        const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        const said = [
          Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
          Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
          ...noise,
          ...noise.map((frames) => Buffer.concat([preface, frames]))
        ]
        yield* Effect.forEach(said, (bytes) =>
          Effect.callback<void>((resume) => {
            const socket = dial(Number(port), host, () => socket.end(bytes))
            socket.on("error", () => {})
            socket.on("close", () => resume(Effect.void))
            socket.resume()
          }), { concurrency: 10 })
        yield* stillServes
      }))

    it.effect("answers messages that are none with a status, and never hangs", () =>
      Effect.gen(function*() {
        const address = addressOf(yield* started)
        const session = yield* Effect.acquireRelease(
          Effect.sync(() => http2.connect(`http://${address}`).on("error", () => {})),
          (session) => Effect.sync(() => session.destroy())
        )
        const framed = (message: Uint8Array, flag = 0, length = message.byteLength) => {
          const head = Buffer.alloc(5)
          head[0] = flag
          head.writeUInt32BE(length, 1)
          return Buffer.concat([head, message])
        }
        const send = (path: string, body: Uint8Array, headers: http2.OutgoingHttpHeaders = {}) =>
          Effect.callback<string>((resume) => {
            let status = "none"
            const stream = session.request({
              ":method": "POST",
              ":path": path,
              "content-type": "application/grpc",
              te: "trailers",
              authorization: `Bearer ${token}`,
              ...headers
            })
            const look = (headers: http2.IncomingHttpHeaders) =>
              void (status = String(headers["grpc-status"] ?? `http ${headers[":status"]}`))
            stream.on("response", look)
            stream.on("trailers", look)
            stream.on("error", () => {})
            stream.on("close", () => resume(Effect.succeed(status)))
            stream.resume()
            stream.end(body)
          })
        const next = random(11)
        const noise = () => Uint8Array.from({ length: 1 + Math.floor(next() * 60) }, () => Math.floor(next() * 256))
        const service = "/snakepit.v1.GatewayService"
        const call = Buffer.concat([Buffer.from([0x12, 3]), Buffer.from("add")]) // tool = "add"
        for (const method of ["Execute", "ExecuteStream", "ExecuteWithInputs", "ListTools"]) {
          const bodies = [
            new Uint8Array(),
            framed(call, 1), // said to be compressed
            framed(call, 0, 0xffff_ffff),
            framed(call, 0, 100), // cut short
            Buffer.concat([framed(call), framed(call)]),
            ...Array.from({ length: 30 }, () => framed(noise())),
            ...Array.from({ length: 10 }, () => noise())
          ]
          for (const body of bodies) {
            const status = yield* send(`${service}/${method}`, body)
            const fine = method === "ListTools" && status === "0" // unknown fields of a message are left out
            assert.isTrue(fine || (status !== "none" && status !== "0"), `${method} ${Buffer.from(body).toString("hex")}: ${status}`)
          }
        }
        const bomb = gzipSync(Buffer.alloc(100_000_000)) // 100 kB that become 100 MB
        assert.strictEqual(yield* send(`${service}/Execute`, framed(bomb, 1), { "grpc-encoding": "gzip" }), "8")
        assert.strictEqual(yield* send(`${service}/Nothing`, framed(call)), "12")
        assert.strictEqual(yield* send(`${service}/Execute`, framed(call), { "content-type": "text/plain" }), "http 415")
        assert.strictEqual(yield* send(`${service}/Execute`, framed(call), { authorization: "x".repeat(4000) }), "16")
        yield* stillServes
      }))
  })

  it.live("takes so many connections and no more, and takes the next when one is gone", () =>
    Effect.gen(function*() {
      const gateway = { listen: "127.0.0.1:0", token, maxConnections: 2 } as const
      const services = yield* Layer.build(Snakepit.layer(withGateway(gateway, { size: 1 })))
      const told: Array<Event.Event> = []
      yield* Context.get(services, EventBus.EventBus).tap("snakepit.gateway.drop", (event) => told.push(event))
      const address = addressOf(yield* Effect.provide(started, services))
      const add = json("add", { a: 1, b: 2 })
      const own = yield* Scope.fork(yield* Effect.scope)
      const clients = yield* Effect.all([1, 2].map(() => Scope.provide(GatewayClient.connect(address, { token }), own)))
      for (const { execute } of clients) assert.strictEqual(valueOf((yield* execute(add)).value), 3)
      const third = yield* GatewayClient.connect(address, { token })
      assert.strictEqual((yield* Effect.flip(third.execute(add))).status, "UNAVAILABLE")
      yield* Scope.close(own, Exit.void)
      const served = yield* Effect.promise(() =>
        until(() => Effect.runPromise(Effect.exit(third.execute(add, 2_000))), Exit.isSuccess, 20_000)
      )
      assert.isTrue(Exit.isSuccess(served))
      const dropped = yield* Effect.promise(() => until(() => told[0], (first) => first !== undefined))
      assert.include(dropped?.attributes, { address })
      assert.strictEqual(dropped?.measurements["limit"], 2)
      assert.isAtLeast(dropped!.measurements["connections"]!, 1)
    }).pipe(Effect.scoped))
})
