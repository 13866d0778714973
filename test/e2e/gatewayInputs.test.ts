/** Streams of inputs through the gateway into real Python tools. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Payload, Pool, Snakepit } from "snakepit"
import * as GatewayClient from "./fixtures/GatewayClient.ts"
import { connect, token, valueOf, withGateway } from "./fixtures/GatewayProgram.ts"
import { journal, linesOf } from "./fixtures/Journal.ts"
import { atRest, until } from "./fixtures/Program.ts"

const { answered, calling, input, json, message } = GatewayClient

const written = (file: string, done: (lines: ReadonlyArray<string>) => boolean) =>
  Effect.promise(() => until(() => linesOf(file), done, 20_000))

describe("a tool that takes a stream of inputs, through the gateway", () => {
  layer(Snakepit.layer(withGateway({ listen: "127.0.0.1:0", token }, { credit: 8, maxPayload: 100_000 })), {
    excludeTestServices: true,
    timeout: "30 seconds"
  })((it) => {
    it.effect("gives its one result, in JSON or in MessagePack, of any number of inputs", () =>
      Effect.gen(function*() {
        const { executeWithInputs } = yield* connect
        const { codec } = yield* Pool.Pools
        const call = executeWithInputs()
        const pending = yield* Effect.forkChild(answered(call), { startImmediately: true })
        call.write(calling("total", { start: 5 }))
        for (let n = 1; n <= 1000; n++) {
          call.write(n % 2 === 0 ? input(n) : message({ case: "payload", value: Payload.whole(codec.encode(n)) }))
        }
        call.end()
        const { refused, values } = yield* Fiber.join(pending)
        assert.isUndefined(refused)
        assert.deepStrictEqual(values.map(valueOf), [500_505])

        const none = executeWithInputs()
        none.end(calling("total", { start: 5 }))
        assert.deepStrictEqual((yield* answered(none)).values.map(valueOf), [5])
      }))

    it.effect("answers while inputs come, and ends when they do", () =>
      Effect.gen(function*() {
        const { executeWithInputs } = yield* connect
        const file = yield* journal
        const call = executeWithInputs()
        const next = () =>
          Effect.callback<GatewayClient.Value>((resume) => void call.once("data", (value) => resume(Effect.succeed(value))))
        call.write(calling("running", { journal: file }))
        for (const [n, sum] of [[1, 1], [2, 3], [3, 6]] as const) {
          call.write(input(n))
          assert.strictEqual(valueOf((yield* next()).value), sum)
        }
        call.end()
        assert.deepStrictEqual(yield* answered(call), { values: [], refused: undefined })
        assert.deepStrictEqual(linesOf(file), ["1", "2", "3", "closed"])
      }))

    it.effect("stops a client that sends more than it takes, and is closed when the client cancels", () =>
      Effect.gen(function*() {
        const { executeWithInputs } = yield* connect
        const file = yield* journal
        const call = executeWithInputs()
        const over = yield* Effect.forkChild(answered(call), { startImmediately: true })
        call.write(calling("take_slowly", { journal: file }))
        const large = message({ case: "json", value: JSON.stringify("x".repeat(90_000)) })
        let sent = 0
        const send = (): void => {
          if (sent < 1000) call.write(large, () => (sent++, send()))
        }
        send()
        assert.deepStrictEqual(yield* written(file, (lines) => lines.length > 0), ["90000"])
        assert.isBelow(yield* Effect.promise(() => atRest(() => sent)), 200, "messages of 90 kB")
        call.cancel()
        assert.strictEqual((yield* Fiber.join(over)).refused?.status, "CANCELLED")
        assert.strictEqual((yield* written(file, (lines) => lines.at(-1) === "closed")).at(-1), "closed")
      }))

    it.effect("is told when the client's inputs fail, and so is the client once the tool is over", () =>
      Effect.gen(function*() {
        const { executeWithInputs } = yield* connect
        const file = yield* journal
        const call = executeWithInputs()
        call.write(calling("running", { journal: file }))
        call.write(input(1))
        call.end(message({ case: "failure", value: "the sensor is gone" }))
        const { refused, values } = yield* answered(call)
        assert.deepStrictEqual(values.map(valueOf), [1])
        assert.include(refused, { status: "ABORTED", outcome: "unknown" })
        assert.include(refused?.error, { tag: "InputsFailed", executed: "unknown", tool: "running" })
        const [, failed, closed] = yield* written(file, (lines) => lines.at(-1) === "closed")
        assert.include(failed, "the sensor is gone")
        assert.strictEqual(closed, "closed")
      }))

    it.effect("ends with its caller's deadline", () =>
      Effect.gen(function*() {
        const { executeWithInputs } = yield* connect
        const waiting = yield* journal
        const late = executeWithInputs(300)
        late.write(calling("running", { journal: waiting }))
        assert.strictEqual((yield* answered(late)).refused?.status, "DEADLINE_EXCEEDED")
        assert.strictEqual((yield* written(waiting, (lines) => lines.at(-1) === "closed")).at(-1), "closed")
      }))

    it.effect("refuses what does not belong there, and says what does", () =>
      Effect.gen(function*() {
        const { collect, execute, executeWithInputs } = yield* connect
        const ends = (...messages: ReadonlyArray<GatewayClient.Message>) =>
          Effect.suspend(() => {
            const call = executeWithInputs()
            for (const each of messages) call.write(each)
            call.end()
            return Effect.map(answered(call), ({ refused }) => refused!)
          })
        const file = yield* journal
        const empty = message({ case: undefined })
        const cases: ReadonlyArray<readonly [ReadonlyArray<GatewayClient.Message>, string, string, string]> = [
          [[], "INVALID_ARGUMENT", "InvalidMessage", "no"],
          [[empty], "INVALID_ARGUMENT", "InvalidMessage", "no"],
          [[input(1)], "INVALID_ARGUMENT", "InvalidMessage", "no"],
          [[calling("running", { journal: file }), empty], "INVALID_ARGUMENT", "InvalidMessage", "unknown"],
          [[calling("total", {}), input(1), calling("total", {})], "INVALID_ARGUMENT", "InvalidMessage", "unknown"],
          [[calling("add", { a: 1, b: 2 })], "INVALID_ARGUMENT", "WrongMethod", "no"],
          [[calling("count", { n: 1 })], "INVALID_ARGUMENT", "WrongMethod", "no"],
          [[calling("no_such_tool", {})], "NOT_FOUND", "ToolNotFound", "no"],
          [[calling("total", []), input(1)], "INVALID_ARGUMENT", "InvalidPayload", "no"],
          [[calling("total", { start: "x" }), input(1)], "INVALID_ARGUMENT", "InvalidPayload", "no"],
          [[calling("total", {}), message({ case: "json", value: "{" })], "ABORTED", "InvalidInput", "unknown"],
          [[calling("total", {}), input("x".repeat(150_000))], "ABORTED", "InvalidInput", "unknown"],
          [[calling("total", {}), message({ case: "payload", value: Uint8Array.of(0xc1) })], "UNKNOWN", "PythonError", "failed"],
          [[calling("total", {}), input("three")], "UNKNOWN", "PythonError", "failed"]
        ]
        for (const [messages, status, tag, executed] of cases) {
          const refused = yield* ends(...messages)
          assert.include(refused.error, { tag, executed }, refused.details)
          assert.strictEqual(refused.status, status, refused.details)
        }
        const plain = yield* Effect.flip(execute(json("total", {})))
        assert.include(plain.error, { tag: "WrongMethod", executed: "no" })
        assert.include(plain.details, "takes a stream of inputs: call ExecuteWithInputs")
        assert.strictEqual((yield* collect(json("running", { journal: file }))).refused?.error?.tag, "WrongMethod")
      }))
  })
})
