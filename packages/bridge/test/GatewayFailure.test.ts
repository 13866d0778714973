/** How errors cross the gateway: whole where they fit, and never larger than metadata may be. */
import { fromBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { status } from "@grpc/grpc-js"
import { CallError, Pool } from "@snakepit/pool"
import { Cause } from "effect"
import { toUSVString } from "node:util"
import { GatewayErrorSchema } from "../gen/snakepit/v1/gateway_pb.ts"
import * as Failure from "../src/gateway/Failure.ts"

const about = { pool: "default", tool: "fit" }
const told = (failure: Failure.Failure) => {
  const { code, details, metadata } = Failure.toStatus(failure)
  const [bytes] = metadata.get(Failure.detailsKey) as [Buffer]
  const [outcome] = metadata.get(Failure.outcomeKey)
  return { code, details, outcome, bytes: bytes.byteLength, error: fromBinary(GatewayErrorSchema, bytes) }
}

const exception = (more: Partial<CallError.PythonException> = {}): CallError.PythonException => ({
  type: "ValueError",
  bases: ["Exception"],
  message: "no such model",
  frames: [{ file: "/models/fit.py", line: 12, function: "fit", source: "raise ValueError(name)" }],
  notes: ["while fitting"],
  cause: undefined,
  implicit: false,
  members: [],
  ...more
})
const raised = (more: Partial<CallError.PythonException> = {}) =>
  new CallError.PythonError({ ...about, executed: "failed", worker: "default/0", exception: exception(more) })

describe("a failure through the gateway", () => {
  it("has a status, and everything that the typed error knows", () => {
    const { code, details, error } = told(new CallError.QueueFull({ ...about, executed: "no", capacity: 1000 }))
    assert.strictEqual(code, status.RESOURCE_EXHAUSTED)
    assert.include(details, "holds 1000 calls")
    assert.include(error, { tag: "QueueFull", executed: "no", pool: "default", tool: "fit", shortened: false })
    assert.strictEqual(error.message, details)
    assert.deepStrictEqual(error.facts, { capacity: 1000 })
  })

  it("keeps lists and flags among its facts", () => {
    assert.deepStrictEqual(told(new CallError.ToolNotFound({ ...about, executed: "no", available: ["a", "b"] })).error.facts, {
      available: ["a", "b"]
    })
    const unknown = { ...about, executed: "unknown", worker: "default/0", began: true, ended: false, reason: "cut" } as const
    assert.deepStrictEqual(told(new CallError.OutcomeUnknown(unknown)).error.facts, {
      worker: "default/0",
      began: true,
      ended: false,
      reason: "cut"
    })
  })

  it("of a pool that is not there did not run", () => {
    const { code, error } = told(new Pool.PoolNotFound({ pool: "gpu", available: ["default"] }))
    assert.strictEqual(code, status.NOT_FOUND)
    assert.include(error, { tag: "PoolNotFound", executed: "no", pool: "gpu" })
  })

  it("carries a Python exception with its cause", () => {
    const { code, error } = told(raised({ cause: exception({ type: "KeyError", message: "'linear'" }) }))
    assert.strictEqual(code, status.UNKNOWN)
    assert.strictEqual(error.executed, "failed")
    assert.include(error.exception, { type: "ValueError", message: "no such model" })
    assert.deepStrictEqual(error.exception?.notes, ["while fitting"])
    assert.include(error.exception?.frames[0], { file: "/models/fit.py", line: 12 })
    assert.strictEqual(error.exception?.cause?.type, "KeyError")
    assert.deepStrictEqual(error.facts, { worker: "default/0" })
  })

  it("is shortened to what metadata may take: the innermost frames and the nearest causes stay", () => {
    const frames = Array.from({ length: 200 }, (_, line) => ({ file: `/deep/${"x".repeat(40)}.py`, line, function: "f", source: "f()" }))
    const deep = Array.from({ length: 12 }).reduce<CallError.PythonException>((cause) => exception({ cause, frames }), exception())
    for (
      const failure of [
        raised({ frames }),
        raised(deep),
        raised({ message: "m".repeat(100_000), notes: Array.from({ length: 1000 }, () => "n".repeat(1000)) }),
        raised({ members: Array.from({ length: 20 }, () => deep) }),
        new CallError.ToolNotFound({ ...about, executed: "no", available: Array.from({ length: 5000 }, (_, i) => `tool_number_${i}`) })
      ]
    ) {
      const { bytes, details, error } = told(failure)
      assert.isAtMost(bytes, 4608)
      assert.isAtMost(details.length, 1024)
      assert.isTrue(error.shortened)
      assert.strictEqual(error.tag, failure._tag)
    }
    assert.strictEqual(told(raised({ frames })).error.exception?.frames.at(-1)?.line, 199)
    assert.isDefined(told(raised(deep)).error.exception?.cause)
  })

  it("has a status message that may travel, whatever letters are in it", () => {
    for (const letters of ["é", "蛇", "🐍", "\ud83d", "a🐍"]) {
      for (const times of [1, 300, 5000]) {
        const { bytes, details, error } = told(raised({ message: letters.repeat(times) }))
        assert.isAtMost(encodeURI(details).length, 1024) // which throws at half a pair
        assert.isAtMost(Math.ceil(bytes / 3) * 4 + 1024, 8192 - 512, "with room for what gRPC itself says")
        assert.include(error.message, toUSVString(letters))
      }
    }
  })

  it("says in a word what may have become of the tool", () => {
    assert.strictEqual(told(new CallError.QueueFull({ ...about, executed: "no", capacity: 1 })).outcome, "not_executed")
    assert.strictEqual(told(new Pool.PoolNotFound({ pool: "gpu", available: [] })).outcome, "not_executed")
    assert.strictEqual(told(raised()).outcome, "failed")
    assert.strictEqual(told(new Failure.GatewayStopped({ executed: "unknown" })).outcome, "unknown")
  })

  it("that is an interruption is the gateway's stop, and a defect is its fault: neither says that nothing ran", () => {
    assert.strictEqual(Failure.ofCause(Cause.interrupt(1))._tag, "GatewayStopped")
    assert.strictEqual(Failure.ofCause(Cause.die(new Error("a secret")))._tag, "GatewayFault")
    const { code, details, error } = told(Failure.ofCause(Cause.die(new Error("a secret"))))
    assert.strictEqual(code, status.INTERNAL)
    assert.strictEqual(error.executed, "unknown")
    assert.notInclude(details, "a secret")
    assert.strictEqual(told(Failure.ofCause(Cause.interrupt(1))).code, status.UNAVAILABLE)
  })
})
