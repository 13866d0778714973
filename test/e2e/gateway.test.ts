/** The gateway before real Python workers: what clients get, what they cannot do, and that its own troubles stay its own. */
import { assert, describe, it, layer } from "@effect/vitest"
import * as grpc from "@grpc/grpc-js"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { connect as dial, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Event, EventBus, Payload, Pool, Snakepit, Tree } from "snakepit"
import type { GatewayValue } from "../../packages/bridge/gen/snakepit/v1/gateway_pb.ts"
import * as Certificates from "./fixtures/Certificates.ts"
import * as GatewayClient from "./fixtures/GatewayClient.ts"
import { addressOf, connect, started, token, valueOf, withGateway } from "./fixtures/GatewayProgram.ts"
import { journal, linesOf } from "./fixtures/Journal.ts"
import { atRest, until } from "./fixtures/Program.ts"
import { Tools } from "./fixtures/Tools.ts"

const { json } = GatewayClient

describe("a gateway on loopback", () => {
  layer(Snakepit.layer(withGateway({ listen: "127.0.0.1:0", token }, { credit: 8, maxPayload: 100_000 })), {
    excludeTestServices: true,
    timeout: "30 seconds"
  })((it) => {
    it.effect("runs a tool, with MessagePack or with JSON", () =>
      Effect.gen(function*() {
        const { execute } = yield* connect
        const { codec } = yield* Pool.Pools
        const { value } = yield* execute({
          tool: "add",
          arguments: { case: "payload", value: Payload.whole(codec.encode({ a: 20, b: 22 })) }
        })
        assert.strictEqual(codec.decode(value.value as Uint8Array), 42)
        const large = { tool: "add", arguments: { case: "json", value: "{\"a\":9007199254740993,\"b\":2}" } } as const
        assert.deepStrictEqual((yield* execute(large)).value, { case: "json", value: "9007199254740995" })
        assert.isNull(codec.decode((yield* execute({ tool: "nothing" })).value.value as Uint8Array))
      }))

    it.effect("streams elements, and stops the tool for a client that does not read", () =>
      Effect.gen(function*() {
        const { collect, executeStream } = yield* connect
        const { refused, values } = yield* collect(json("count", { n: 500 }))
        assert.isUndefined(refused)
        assert.deepStrictEqual(values.map(valueOf), Array.from({ length: 500 }, (_, i) => i))

        const file = yield* journal
        const call = executeStream(json("slow_count", { n: 10_000_000, journal: file }))
        call.on("error", () => {})
        const first = yield* Effect.callback<unknown>((resume) => {
          call.once("data", (response) => {
            call.pause()
            resume(Effect.succeed(response))
          })
        })
        assert.strictEqual(valueOf((first as GatewayValue).value), 0)
        const stood = yield* Effect.promise(() => atRest(() => linesOf(file).length))
        assert.isBelow(stood, 50_000, "what fits into buffers on the way: thousands, of so few bytes")
        call.cancel()
        const closed = yield* Effect.promise(() => until(() => linesOf(file).at(-1), (last) => last === "closed"))
        assert.strictEqual(closed, "closed")
      }))

    it.effect("lists the tools of the pools", () =>
      Effect.gen(function*() {
        const { listTools } = yield* connect
        const { pools } = yield* listTools()
        assert.deepStrictEqual(pools.map(({ name, up }) => ({ name, up })), [{ name: "default", up: true }])
        const tool = (name: string) => pools[0]!.tools.find((tool) => tool.name === name)
        assert.include(tool("count"), { streams: true, description: "Count to `n`." })
        assert.include(tool("add"), { streams: false, description: "Add two numbers." })
        assert.strictEqual((yield* Effect.flip(listTools("gpu"))).error?.tag, "PoolNotFound")
      }))

    it.effect("answers each failure with a status and all that is known of it", () =>
      Effect.gen(function*() {
        const { collect, execute } = yield* connect
        const refusal = (request: Parameters<typeof execute>[0]) => Effect.flip(execute(request))
        const raised = yield* refusal(json("fail", { token: "x" }))
        assert.strictEqual(raised.status, "UNKNOWN")
        assert.include(raised.error, { tag: "PythonError", executed: "failed", tool: "fail", shortened: false })
        assert.include(raised.error?.exception, { type: "ValueError", message: "bad token x" })
        assert.strictEqual(raised.error?.exception?.cause?.type, "KeyError")
        assert.deepStrictEqual(raised.error?.exception?.notes, ["tokens are listed in the manual"])

        const expected: ReadonlyArray<readonly [Parameters<typeof execute>[0], string, string, string]> = [
          [json("ad", {}), "NOT_FOUND", "ToolNotFound", "no"],
          [{ ...json("add", {}), pool: "gpu" }, "NOT_FOUND", "PoolNotFound", "no"],
          [json("add", [1, 2]), "INVALID_ARGUMENT", "InvalidPayload", "no"],
          [json("add", { a: 1 }), "INVALID_ARGUMENT", "InvalidPayload", "no"],
          [json("count", { n: 1 }), "INVALID_ARGUMENT", "WrongMethod", "no"],
          [{ tool: "echo", arguments: { case: "payload", value: new Uint8Array(150_000) } }, "INVALID_ARGUMENT", "PayloadTooLarge", "no"],
          [json("die", { code: 3 }), "ABORTED", "WorkerCrashed", "unknown"]
        ]
        for (const [request, status, tag, executed] of expected) {
          const refused = yield* refusal(request)
          assert.strictEqual(refused.status, status, refused.details)
          assert.include(refused.error, { tag, executed })
          assert.strictEqual(refused.outcome, executed === "no" ? "not_executed" : executed)
          assert.isTrue(refused.error!.message.startsWith(refused.details.replace(/…$/, "")))
        }
        assert.include((yield* refusal(json("ad", {}))).details, "Did you mean \"add\"?")
        const beyond = yield* refusal({ tool: "echo", arguments: { case: "payload", value: new Uint8Array(400_000) } })
        assert.strictEqual(beyond.status, "RESOURCE_EXHAUSTED", "refused by gRPC itself, before it was read")
        assert.strictEqual((yield* collect(json("add", { a: 1, b: 2 }))).refused?.error?.tag, "WrongMethod")
      }))

    it.effect("names the argument that does not fit, in whichever form it came", () =>
      Effect.gen(function*() {
        const { execute } = yield* connect
        const { codec } = yield* Pool.Pools
        const payload = (value: Uint8Array) => ({ tool: "add", arguments: { case: "payload", value } } as const)
        for (
          const [request, named] of [
            [json("add", { a: 1, b: "two" }), "parameter 'b': Expected `int`, got `str`"],
            [payload(Payload.whole(codec.encode({ a: "one", b: 2 }))), "parameter 'a': Expected `int`, got `str`"],
            [json("add", { a: 1, c: 2 }), "missing b; unknown c"],
            [{ tool: "add", arguments: { case: "json", value: "{\"a\": 1," } }, "JSON at position"],
            [payload(Uint8Array.of(0xc1)), "MessagePack data is malformed"],
            [payload(Uint8Array.of(0x82, 0xa1)), "truncated"],
            [payload(Payload.whole(codec.encode([1, 2]))), "Expected `object`, got `array`"]
          ] as const
        ) {
          const refused = yield* Effect.flip(execute(request))
          assert.include(refused, { status: "INVALID_ARGUMENT", outcome: "not_executed" }, refused.details)
          assert.include(refused.error, { tag: "InvalidPayload" })
          assert.include(refused.details, named)
        }
      }))

    it.effect("carries the session and the deadline into Python, and sends a session to the worker that has served it", () =>
      Effect.gen(function*() {
        const { execute } = yield* connect
        const told = (request: Partial<Parameters<typeof execute>[0]>, within?: number) =>
          Effect.map(
            execute({ ...json("circumstances", {}), ...request }, within),
            ({ value }) => valueOf(value) as { readonly session: string | null; readonly left: number; readonly pid: number }
          )
        assert.isNull((yield* told({})).session)
        const first = yield* told({ session: "reader-7" }, 5_000)
        assert.strictEqual(first.session, "reader-7")
        assert.isAtMost(first.left, 5)
        assert.isAbove(first.left, 0)
        assert.isAbove((yield* told({})).left, 5, "the pool's own limit")
        for (let again = 0; again < 10; again++) {
          yield* told({})
          assert.strictEqual((yield* told({ session: "reader-7" })).pid, first.pid)
        }
      }))

    it.effect("tries again what its worker says is idempotent", () =>
      Effect.gen(function*() {
        const { execute } = yield* connect
        const file = yield* journal
        assert.strictEqual(valueOf((yield* execute(json("succeed_at_second", { journal: file }))).value), "done")
        assert.deepStrictEqual(linesOf(file), ["run", "run"])
      }))

    it.effect("cancels the tool when its client goes, or its client's deadline passes", () =>
      Effect.gen(function*() {
        const { execute } = yield* connect
        const services = yield* Effect.context<Pool.Pools>()
        const counts = Effect.map(Pool.ledger(), (ledger) => ledger!)
        const reaches = (count: "accepted" | "cancelled", bound: number) =>
          Effect.promise(() =>
            until(() => Effect.runPromise(Effect.provide(Effect.map(counts, (ledger) => ledger[count]), services)), (n) => n >= bound)
          )
        const { accepted, cancelled } = yield* counts
        const call = yield* Effect.forkChild(execute(json("nap", { seconds: 0.3 })), { startImmediately: true })
        yield* reaches("accepted", accepted + 1)
        yield* Fiber.interrupt(call)
        const late = yield* Effect.flip(execute(json("nap", { seconds: 1 }), 500))
        assert.strictEqual(late.status, "DEADLINE_EXCEEDED")
        assert.strictEqual(yield* reaches("cancelled", cancelled + 2), cancelled + 2)
      }))

    it.effect("answers nobody without its token, but says whether it is well", () =>
      Effect.gen(function*() {
        const address = addressOf(yield* started)
        for (const wrong of [undefined, token.slice(1), `${token}x`, ""]) {
          const { client, collect, execute, listTools } = yield* GatewayClient.connect(address, wrong === undefined ? {} : { token: wrong })
          for (const refused of [yield* Effect.flip(execute(json("add", { a: 1, b: 2 }))), yield* Effect.flip(listTools())]) {
            assert.strictEqual(refused.status, "UNAUTHENTICATED")
            assert.include(refused.error, { tag: "Unauthenticated", executed: "no" })
            assert.notInclude(refused.details, token)
          }
          assert.strictEqual((yield* collect(json("count", { n: 1 }))).refused?.status, "UNAUTHENTICATED")
          const list = yield* Effect.flip(GatewayClient.raw(client, "/grpc.health.v1.Health/List", new Uint8Array()))
          assert.strictEqual(list.status, "UNAUTHENTICATED", "it would tell the names of the pools")
        }
        const { client } = yield* GatewayClient.connect(address)
        const watched = yield* Effect.callback<number>((resume) => {
          const bytes = (data: Buffer) => data
          const watch = client.makeServerStreamRequest("/grpc.health.v1.Health/Watch", bytes, bytes, Buffer.alloc(0))
          watch.on("data", () => resume(Effect.succeed(0)))
          watch.on("error", ({ code }: grpc.ServiceError) => resume(Effect.succeed(code)))
        })
        assert.strictEqual(watched, grpc.status.UNAUTHENTICATED, "it would stay for ever")
        const health = (service: string) => {
          const name = Buffer.from(service)
          return GatewayClient.raw(client, "/grpc.health.v1.Health/Check", Buffer.concat([Buffer.from([0x0a, name.length]), name]))
        }
        const serving = Buffer.from([0x08, 1])
        for (const service of ["", "snakepit.v1.GatewayService", "pools/default"]) {
          const status = yield* Effect.promise(() => until(() => Effect.runPromise(health(service)), (status) => status.equals(serving)))
          assert.deepStrictEqual(status, serving, service)
        }
        assert.strictEqual((yield* Effect.flip(health("pools/gpu"))).status, "NOT_FOUND")
      }))

    it.effect("tells what it serves by reflection, and nothing of the wire to its workers' service", () =>
      Effect.gen(function*() {
        const { client } = yield* connect
        const metadata = new grpc.Metadata()
        metadata.set("authorization", `Bearer ${token}`)
        const answers = yield* Effect.callback<string>((resume) => {
          const bytes = (data: Buffer) => data
          const call = client.makeBidiStreamRequest("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", bytes, bytes, metadata)
          const heard: Array<Buffer> = []
          call.on("data", (answer: Buffer) => heard.push(answer))
          call.on("error", (error: Error) => resume(Effect.die(error)))
          call.on("end", () => resume(Effect.succeed(Buffer.concat(heard).toString("latin1"))))
          const ask = (field: number, text: string) =>
            call.write(Buffer.concat([Buffer.from([field << 3 | 2, text.length]), Buffer.from(text)]))
          ask(7, "*") // list_services
          ask(4, "snakepit.v1.GatewayService") // file_containing_symbol
          call.end()
        })
        assert.include(answers, "snakepit.v1.GatewayService")
        assert.include(answers, "grpc.health.v1.Health")
        assert.include(answers, "snakepit/v1/gateway.proto")
        assert.include(answers, "google/protobuf/struct.proto")
      }))
  })
})

describe("a gateway before a pool that is busy", () => {
  const pool = { size: 1, prefetch: 0, queue: { perTenant: 1 }, affinity: "strict_fail_fast" } as const
  layer(Snakepit.layer(withGateway({ listen: "127.0.0.1:0", token }, pool)), { excludeTestServices: true, timeout: "30 seconds" })((it) => {
    it.effect("keeps a tenant to its share of the queue, ends what waits past its caller's deadline, and insists on a session's worker", () =>
      Effect.gen(function*() {
        const { execute } = yield* connect
        const file = yield* journal
        const nap = { ...json("nap", { seconds: 1 }), session: "reader-7" }
        const running = yield* Effect.forkChild(execute(nap), { startImmediately: true })
        const services = yield* Effect.context<Pool.Pools>()
        const ledger = Effect.map(Pool.ledger(), (ledger) => ledger!)
        const accepted = (n: number) =>
          Effect.promise(() => until(() => Effect.runPromise(Effect.provide(ledger, services)), (ledger) => ledger.accepted >= n))
        yield* accepted(1)
        const note = (tenant: string, within?: number) =>
          execute({ ...json("note", { journal: file, text: tenant, seconds: 0 }), tenant }, within)
        const late = yield* Effect.forkChild(Effect.flip(note("late", 200)), { startImmediately: true })
        const first = yield* Effect.forkChild(note("a"), { startImmediately: true })
        yield* accepted(3)
        const second = yield* Effect.flip(note("a"))
        assert.include(second, { status: "RESOURCE_EXHAUSTED", outcome: "not_executed" })
        assert.deepInclude(second.error?.facts, { tenant: "a", capacity: 1 })
        const busy = yield* Effect.flip(execute({ ...json("add", { a: 1, b: 2 }), session: "reader-7" }))
        assert.include(busy, { status: "RESOURCE_EXHAUSTED", outcome: "not_executed" })
        assert.include(busy.error, { tag: "SessionBusy" })
        assert.strictEqual((yield* Fiber.join(late)).status, "DEADLINE_EXCEEDED")
        yield* Fiber.join(running)
        yield* Fiber.join(first)
        assert.deepStrictEqual(linesOf(file), ["a"], "what waited too long never ran")
      }))
  })
})

/** Everything that is told, and a wait for it. */
const recorder = Effect.gen(function*() {
  const bus = yield* EventBus.EventBus
  const events: Array<Event.Event> = []
  yield* bus.tap("*", (event) => events.push(event))
  return {
    events,
    heard: (name: string, fits: (event: Event.Event) => boolean = () => true) =>
      Effect.promise(() => until(() => events.find((event) => event.name === name && fits(event)), (event) => event !== undefined, 20_000))
  }
})

const generationOf = (tree: Tree.SupervisorNode, path: string) => Tree.flatten(tree).find((node) => node.path === path)

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "snakepit-gateway-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

/** Why an application's gateway does not listen. */
const whyNot = Effect.fnUntraced(function*(gateway: Parameters<typeof withGateway>[0]) {
  const services = yield* Layer.build(Snakepit.layer(withGateway(gateway)))
  const { root } = Context.get(services, Snakepit.Snakepit)
  return yield* Effect.promise(() =>
    until(
      () => Effect.runPromise(root.why("snakepit/bridge/gateway")).then((why) => JSON.stringify(why)),
      (why) => why.includes("GatewayFailed")
    )
  )
}, Effect.scoped)

describe("the troubles of a gateway", () => {
  it.live("are its own when it is killed: its calls end UNAVAILABLE, their tools are cancelled, and no pool notices", () =>
    Effect.gen(function*() {
      const { events, heard } = yield* recorder
      const { root, tree } = yield* Snakepit.Snakepit
      const { collect, execute } = yield* connect
      const file = yield* journal
      const tools = yield* Pool.client(Tools)
      const own = yield* Effect.forkChild(tools.nap({ seconds: 1 }), { startImmediately: true })
      const streamed = yield* Effect.forkChild(collect(json("slow_count", { n: 100_000_000, journal: file })), { startImmediately: true })
      yield* Effect.promise(() => until(() => linesOf(file).length, (lines) => lines > 0))
      const waiting = yield* Effect.forkChild(Effect.flip(execute(json("nap", { seconds: 30 }))), { startImmediately: true })
      yield* Effect.sleep("100 millis")
      const before = yield* tree
      const bridge = yield* root.at("snakepit/bridge")
      yield* bridge.failChild("gateway", new Error("the test ends it"))
      const unary = yield* Fiber.join(waiting)
      assert.strictEqual(unary.status, "UNAVAILABLE")
      assert.include(unary.error, { tag: "GatewayStopped", executed: "unknown" })
      const { refused, values } = yield* Fiber.join(streamed)
      assert.strictEqual(refused?.error?.tag, "GatewayStopped", `${refused?.status}: ${refused?.details} after ${values.length}`)
      assert.strictEqual(yield* Effect.promise(() => until(() => linesOf(file).at(-1), (last) => last === "closed")), "closed")
      yield* heard("snakepit.bridge_supervisor.recover")
      assert.strictEqual(yield* Fiber.join(own), "rested")
      const after = yield* tree
      assert.strictEqual(generationOf(after, "snakepit/bridge/gateway")?.generation, 1)
      for (const was of Tree.flatten(before).filter(({ path }) => !path.startsWith("snakepit/bridge"))) {
        assert.deepInclude(generationOf(after, was.path), { generation: was.generation, restarts: was.restarts })
      }
      const restarted = yield* heard("snakepit.gateway.start")
      const again = yield* GatewayClient.connect(addressOf(restarted!), { token })
      assert.strictEqual(valueOf((yield* again.execute(json("add", { a: 20, b: 22 }))).value), 42)
      assert.strictEqual((yield* Pool.ledger())?.twice, 0)
      assert.notInclude(JSON.stringify(events), token)
    }).pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(withGateway({ listen: "127.0.0.1:0", token })))))

  it.live("are its own when its port is taken: the application comes up, and the gateway when the port is free", () =>
    Effect.gen(function*() {
      const squatter = createServer()
      const port = yield* Effect.callback<number>((resume) => {
        squatter.listen(0, "127.0.0.1", () => resume(Effect.succeed((squatter.address() as { port: number }).port)))
      })
      const services = yield* Layer.build(Snakepit.layer(withGateway({ listen: `127.0.0.1:${port}`, token })))
      yield* Effect.gen(function*() {
        const { events, heard } = yield* recorder
        const tools = yield* Pool.client(Tools)
        assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
        const restart = yield* heard("snakepit.bridge_supervisor.restart")
        assert.match(String(restart?.attributes["cause"]), /the gateway cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\)/)
        const { root, tree } = yield* Snakepit.Snakepit
        assert.notStrictEqual(generationOf(yield* tree, "snakepit/bridge/gateway")?.status, "running")
        assert.include(JSON.stringify(yield* root.why("snakepit/bridge/gateway")), "EADDRINUSE")
        assert.isUndefined(events.find(({ name }) => name === "snakepit.bridge_supervisor.recover"), "it was not up in between")
        yield* Effect.callback<void>((resume) => {
          squatter.close(() => resume(Effect.void))
        })
        const start = yield* heard("snakepit.gateway.start")
        assert.strictEqual(addressOf(start!), `127.0.0.1:${port}`)
        yield* heard("snakepit.bridge_supervisor.recover")
        const { execute } = yield* GatewayClient.connect(addressOf(start!), { token })
        assert.strictEqual(valueOf((yield* execute(json("add", { a: 1, b: 2 }))).value), 3)
      }).pipe(Effect.provide(services))
    }).pipe(Effect.scoped))

  it.live("are its own however often it crashes: nobody gives up, and no pool notices", () =>
    Effect.gen(function*() {
      const { events, heard } = yield* recorder
      const { root, tree } = yield* Snakepit.Snakepit
      yield* connect
      const before = yield* tree
      const bridge = yield* root.at("snakepit/bridge")
      for (let crash = 1; crash <= 5; crash++) { // more than any budget that is not set
        yield* bridge.failChild("gateway", new Error(`crash ${crash}`))
        yield* heard("snakepit.bridge_supervisor.recover", ({ attributes }) => attributes["generation"] === crash)
      }
      const after = yield* tree
      for (const was of Tree.flatten(before).filter(({ path }) => path !== "snakepit/bridge/gateway")) {
        assert.include(generationOf(after, was.path), { generation: was.generation, status: "running" })
      }
      assert.isUndefined(events.find(({ name }) => name.endsWith(".give_up")))
      const { execute } = yield* connect
      assert.strictEqual(valueOf((yield* execute(json("add", { a: 20, b: 22 }))).value), 42)
    }).pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(withGateway({ listen: "127.0.0.1:0", token })))))

  it.live("end the application that says so: at its start, and when the gateway's budget and the root's are spent", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      const listen = `unix:${join(folder, "gateway")}`
      const gateway = { listen, onGiveUp: "escalate", restart: { maxRestarts: 1 } } as const
      chmodSync(folder, 0o755) // others may enter: it does not listen there
      const refused = yield* Effect.flip(Effect.scoped(Layer.build(Snakepit.layer(withGateway(gateway)))))
      assert.strictEqual(refused.at.path, "snakepit/bridge/gateway")
      assert.include(refused.at.error, { _tag: "GatewayFailed", code: "EXPOSED" })

      chmodSync(folder, 0o700)
      yield* Effect.gen(function*() {
        const { events, heard } = yield* recorder
        const { gaveUp, root } = yield* Snakepit.Snakepit
        const bridge = yield* root.at("snakepit/bridge")
        yield* bridge.failChild("gateway", new Error("a crash"))
        yield* heard("snakepit.bridge_supervisor.recover")
        assert.isUndefined(events.find(({ name }) => name.endsWith(".give_up")), "its budget allows one")
        chmodSync(folder, 0o755)
        yield* bridge.failChild("gateway", new Error("another"))
        const end = yield* Effect.flip(gaveUp)
        assert.strictEqual(end._tag, "TreeGaveUp")
        const gaveUpAt = events.filter(({ name }) => name.endsWith(".give_up")).map(({ name }) => name)
        assert.deepStrictEqual(gaveUpAt, ["snakepit.bridge_supervisor.give_up", "snakepit.root_supervisor.give_up"])
        assert.include(end.message, "the gateway cannot listen")
        assert.include(end.message, "snakepit/bridge/gateway")
      }).pipe(Effect.provide(Snakepit.layer(withGateway(gateway))))
    }).pipe(Effect.scoped))

  it.live("are refused beforehand when it would be in reach of others without a token", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(Snakepit.layer(withGateway({ listen: "0.0.0.0:0" })))))
      assert.strictEqual(error.at.error._tag, "ConfigInvalid")
      assert.include(error.message, "other machines can reach 0.0.0.0:0")
    }))
})

describe("a gateway on a Unix socket", () => {
  it.live("is for this user alone, takes the place of what a killed host left, and leaves nothing", () =>
    Effect.gen(function*() {
      const folder = join(yield* temporary, "made")
      const socket = join(folder, "gateway.sock")
      // what a killed host leaves: the socket's file, and nobody behind it
      mkdirSync(folder, { mode: 0o700 })
      yield* Effect.promise(() =>
        import("node:child_process").then(({ execFileSync }) => {
          execFileSync("python3", ["-c", "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])", socket])
        })
      )
      assert.isTrue(existsSync(socket))
      const scope = yield* Scope.make()
      const services = yield* Layer.buildWithScope(Snakepit.layer(withGateway({ listen: `unix:${socket}` })), scope)
      const event = yield* Effect.provide(started, services)
      assert.include(event.attributes, { address: `unix:${socket}`, security: "socket of this user alone" })
      assert.strictEqual(statSync(socket).mode & 0o777, 0o600)
      const { execute } = yield* GatewayClient.connect(`unix:${socket}`)
      assert.strictEqual(valueOf((yield* execute(json("add", { a: 1, b: 2 }))).value), 3)

      const second = yield* Layer.buildWithScope(Snakepit.layer(withGateway({ listen: `unix:${socket}` })), scope)
      const why = yield* Effect.promise(() =>
        until(
          () =>
            Effect.runPromise(Context.get(second, Snakepit.Snakepit).root.why("snakepit/bridge/gateway")).then((why) =>
              JSON.stringify(why)
            ),
          (why) => why.includes("EADDRINUSE")
        )
      )
      assert.include(why, `somebody serves ${socket}`)
      assert.strictEqual(valueOf((yield* execute(json("add", { a: 1, b: 2 }))).value), 3, "the first one goes on")
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(existsSync(socket))
    }).pipe(Effect.scoped))

  it.live("does not listen where others could reach in, nor in place of a file", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      const file = join(folder, "precious")
      writeFileSync(file, "data")
      assert.include(yield* whyNot({ listen: `unix:${file}` }), "is there, and is no socket")
      assert.strictEqual(readFileSync(file, "utf8"), "data")
      chmodSync(folder, 0o755)
      assert.include(yield* whyNot({ listen: `unix:${join(folder, "socket")}` }), "is open to others (mode 0755)")
    }).pipe(Effect.scoped))
})

describe("a gateway with mutual TLS", () => {
  const { ca, issue } = Certificates.makeAuthority("an authority")
  const files = Effect.map(temporary, (folder) => {
    const write = (name: string, text: string) => {
      writeFileSync(join(folder, name), text, { mode: 0o600 })
      return join(folder, name)
    }
    const server = issue("server")
    return { cert: write("server.pem", server.cert), key: write("server.key", server.key), ca: write("ca.pem", ca) }
  })
  const asClient = ({ cert, key }: Certificates.Certificate) =>
    grpc.credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert))

  it.live("answers clients whose certificate its authority has signed, and no others", () =>
    Effect.gen(function*() {
      const services = yield* Layer.build(Snakepit.layer(withGateway({ listen: "127.0.0.1:0", tls: yield* files })))
      const event = yield* Effect.provide(started, services)
      assert.strictEqual(event.attributes["security"], "client certificate over TLS")
      const { execute } = yield* GatewayClient.connect(addressOf(event), { credentials: asClient(issue("client")) })
      assert.strictEqual(valueOf((yield* execute(json("add", { a: 1, b: 2 }))).value), 3)
      const [host, port] = addressOf(event).split(":")
      for (const noise of [Buffer.from("GET / HTTP/1.1\r\n\r\n"), Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]), Buffer.alloc(0)]) {
        yield* Effect.callback<void>((resume) => {
          const socket = dial(Number(port), host, () => socket.end(noise))
          socket.on("error", () => {})
          socket.on("close", () => resume(Effect.void))
          socket.resume()
        })
      }
      const others = Certificates.makeAuthority("an authority") // of the same name
      for (
        const credentials of [
          grpc.credentials.createSsl(Buffer.from(ca)),
          asClient(others.issue("client")),
          grpc.credentials.createInsecure()
        ]
      ) {
        const stranger = yield* GatewayClient.connect(addressOf(event), { credentials })
        assert.strictEqual((yield* Effect.flip(stranger.execute(json("add", { a: 1, b: 2 }), 5_000))).status, "UNAVAILABLE")
      }
      assert.strictEqual(valueOf((yield* execute(json("add", { a: 1, b: 2 }))).value), 3)
    }).pipe(Effect.scoped))

  it.live("does not listen with a certificate that is missing, broken or of another key, and says which file", () =>
    Effect.gen(function*() {
      const tls = yield* files
      const broken = join(yield* temporary, "broken.pem")
      writeFileSync(broken, "no certificate")
      for (
        const [wrong, what] of [
          [{ ...tls, cert: `${tls.cert}.gone` }, "ENOENT"],
          [{ ...tls, cert: broken }, "PEM"],
          [{ ...tls, cert: tls.ca }, "mismatch"]
        ] as const
      ) {
        assert.include(yield* whyNot({ listen: "127.0.0.1:0", tls: wrong }), what)
      }
    }).pipe(Effect.scoped))
})
