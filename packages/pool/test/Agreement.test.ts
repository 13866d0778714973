/** What the contract of a tool says against what workers announce of it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Agreement } from "../src/Agreement.ts"
import * as Dispatch from "../src/control/Dispatch.ts"
import * as DispatchMachine from "../src/control/DispatchMachine.ts"
import { type CallError, Tool } from "../src/index.ts"
import { PoolConfig } from "../src/PoolConfig.ts"
import { ScriptedCodec, ScriptedTool } from "../src/testing/index.ts"
import { offerOf, wireOf } from "./MachineInput.ts"
import { openTools } from "./OpenTools.ts"

const numbers = { payload: { n: Schema.Int }, success: Schema.Int }

class Tools extends RpcGroup.make(
  Rpc.make("kept", numbers).annotate(Tool.Contract, { "argument n": "01", result: "02" }),
  Rpc.make("changed", numbers).annotate(Tool.Contract, { "argument n": "01", result: "02" }),
  Rpc.make("unknown", numbers).annotate(Tool.Contract, { "argument n": "01", result: "02" }),
  Rpc.make("byHand", numbers),
  Rpc.make("streams", numbers),
  Rpc.make("returns", { ...numbers, stream: true }),
  Rpc.make("takes", { payload: { n: Tool.InputStream(Schema.Int) }, success: Schema.Int })
) {}

const run = ({ n }: { readonly n: number }) => n
const tools = {
  kept: { run, contract: { "argument n": "01", result: "02" } },
  changed: { run, contract: { "argument n": "01", result: "03" } },
  unknown: { run },
  byHand: { run, contract: { "argument n": "01", result: "02" } },
  streams: function*() {
    yield 1
  },
  returns: run,
  takes: run
}

const agreementOf = (parts: Record<string, string>) => new Agreement({ pool: "p", tool: "t", streams: false, input: undefined, parts })

const facts = (error: CallError.CallError) => {
  assert(error._tag === "ContractMismatch", error._tag)
  assert.strictEqual(error.executed, "no")
  return [error.tool, error.field, error.expected, error.received]
}

describe("a contract", () => {
  it.effect("that does not fit its tool is refused with what differs, nothing is sent, and other tools are called", () =>
    Effect.gen(function*() {
      const { clientOf, scripted } = yield* openTools(tools)
      const client = yield* clientOf(Tools)
      const errors = [
        yield* Effect.flip(client.changed({ n: 1 })),
        yield* Effect.flip(client.streams({ n: 1 })),
        yield* Effect.flip(Stream.runDrain(client.returns({ n: 1 }))),
        yield* Effect.flip(client.takes({ n: Stream.empty }))
      ]
      assert.deepStrictEqual(errors.map(facts), [
        ["changed", "result", "02", "03"],
        ["streams", "stream", "false", "true"],
        ["returns", "stream", "true", "false"],
        ["takes", "input", "n", "none"]
      ])
      for (const error of errors) assert.include(error.message, "make it anew (snakepit codegen)")
      assert.deepStrictEqual(scripted.journal, [])
      assert.strictEqual(yield* client.kept({ n: 1 }), 1)
    }))

  it.effect("is not compared where one side has no hashes", () =>
    Effect.gen(function*() {
      const { clientOf } = yield* openTools(tools)
      const client = yield* clientOf(Tools)
      assert.deepStrictEqual([yield* client.unknown({ n: 1 }), yield* client.byHand({ n: 2 })], [1, 2])
    }))

  it("is compared when its call is sent: it was accepted before any worker was there, or before the adapter was changed", () => {
    const state = Dispatch.make("p", Schema.decodeUnknownSync(PoolConfig)({ size: 1 }), ScriptedCodec.digest)
    const announced = (result: string) => wireOf([{ ...ScriptedTool.announced("t"), contract: { result } }])
    const agreement = agreementOf({ result: "2" })
    const say = (event: Dispatch.Event) =>
      DispatchMachine.transition(state, event, 0).flatMap((command) =>
        command._tag === "Send"
          ? [`${command.id} is sent`]
          : command._tag === "Fail"
          ? [`${command.id}: ${command.error._tag}, ${command.error.executed}`]
          : []
      )
    const offer = (id: number) => say({ _tag: "Offer", offer: offerOf({ id, tool: "t", at: 0, agreement }) })
    const attach = (result: string) => say({ _tag: "Attached", slot: 0, wire: announced(result) })
    const detach = () => say({ _tag: "Detached", slot: 0, reason: "it ended", ended: true })

    assert.deepStrictEqual(offer(1), [])
    assert.deepStrictEqual(attach("3"), ["1: ContractMismatch, no"])
    assert.deepStrictEqual(offer(2), ["2: ContractMismatch, no"])
    assert.deepStrictEqual([detach(), attach("2")], [[], []])
    assert.deepStrictEqual([offer(3), offer(4)], [["3 is sent"], []])
    assert.deepStrictEqual(detach(), ["3: OutcomeUnknown, unknown"])
    assert.deepStrictEqual(attach("3"), ["4: ContractMismatch, no"])
  })
})

describe("an agreement", () => {
  it("names the first part that differs: of the contract, then what Python has in addition", () => {
    const differs = (parts: Record<string, string>, contract: Record<string, string>) => {
      const mismatch = agreementOf(parts).mismatch({ ...ScriptedTool.announced("t"), contract })
      return mismatch && [mismatch.field, mismatch.expected, mismatch.received]
    }
    assert.isUndefined(differs({ "argument a": "1", result: "2" }, { result: "2", "argument a": "1" }))
    assert.deepStrictEqual(differs({ "argument a": "1", result: "2" }, { "argument b": "1", result: "3" }), ["argument a", "1", "none"])
    assert.deepStrictEqual(differs({ result: "2" }, { "argument b": "1", result: "2" }), ["argument b", "none", "1"])
    assert.deepStrictEqual(differs({ result: "2", promises: "1" }, { result: "2" }), ["promises", "1", "none"])
  })

  it("compares once what is announced, and again when that is another", () => {
    let looks = 0
    const announced = (result: string) => ({
      ...ScriptedTool.announced("t"),
      get streams() {
        looks++
        return false
      },
      contract: { result }
    })
    const [agreement, first, second] = [agreementOf({ result: "2" }), announced("3"), announced("2")]
    for (let call = 0; call < 3; call++) assert.strictEqual(agreement.mismatch(first)?.field, "result")
    assert.strictEqual(looks, 1)
    for (let call = 0; call < 3; call++) assert.isUndefined(agreement.mismatch(second))
    assert.strictEqual(looks, 2)
  })
})
