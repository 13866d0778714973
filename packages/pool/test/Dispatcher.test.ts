/** In which order what the machine decides is carried out: on wires that note what they are given. */
import { assert, describe, it } from "@effect/vitest"
import { RegisteredName } from "@snakepit/core"
import { Clock, Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Dispatcher from "../src/control/Dispatcher.ts"
import * as Roster from "../src/control/Roster.ts"
import { PoolConfig } from "../src/PoolConfig.ts"
import * as PoolVersion from "../src/PoolVersion.ts"
import { ScriptedCodec, ScriptedTool } from "../src/testing/index.ts"
import type { Wire } from "../src/Wire.ts"
import { offerOf } from "./MachineInput.ts"

const ignored = () => {}

const wire = (name: string, said: Array<string>): Wire => ({
  pid: 1,
  tools: new Map([["echo", ScriptedTool.announced("echo")]]),
  concurrency: 1,
  submit: ({ id }) => said.push(`${name} is given attempt ${id - Roster.callOf(id) * 128} of call ${Roster.callOf(id)}`),
  cancel: ignored,
  credit: ignored,
  input: ignored,
  inputEnd: ignored,
  hostResult: ignored,
  sessionStart: ignored,
  sessionEnd: ignored,
  telemetry: ignored,
  probe: Effect.never
})

/** A pool of one worker, and what its wires and callers are told. */
const open = Effect.gen(function*() {
  const said: Array<string> = []
  const config = Schema.decodeUnknownSync(PoolConfig)({ size: 1 })
  const name = RegisteredName.make<Roster.Roster>("roster")
  const versions = PoolVersion.versions({ snapshot: 1, roll: 0, config })
  const roster = Roster.make("p", versions, yield* Clock.Clock, { digest: ScriptedCodec.digest })
  yield* RegisteredName.register(name, roster)
  const offer = (id: number, idempotent: boolean) => {
    roster.tickets.set(id, {
      tool: "echo",
      payload: new Uint8Array(),
      retry: undefined,
      trace: undefined,
      item: ignored,
      want: ignored,
      complete: () => said.push(`call ${id} completed`),
      fail: ({ _tag }) => said.push(`call ${id} failed: ${_tag}`)
    })
    Roster.offer(roster, offerOf({ id, tool: "echo", idempotent, at: roster.clock.now() }))
  }
  const { sink } = Roster.seat("p", versions, name, 0)
  return { said, sink, offer, dispatch: Effect.asVoid(Dispatcher.child(name).start) }
})

describe("a Dispatcher", () => {
  it.effect("gives what it decided to the wire that it decided on, though another has taken its place since", () =>
    Effect.gen(function*() {
      const { dispatch, offer, said, sink } = yield* open
      sink.attached(wire("the old wire", said))
      offer(1, true)
      sink.detached("it broke", false)
      sink.attached(wire("the new wire", said))
      assert.deepStrictEqual(said, [], "nobody is there to decide yet")
      yield* dispatch
      assert.deepStrictEqual(said, ["the old wire is given attempt 1 of call 1", "the new wire is given attempt 2 of call 1"])
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer())))

  it.effect("tells callers of all that a worker says in one message before it sends what waited", () =>
    Effect.gen(function*() {
      const { dispatch, offer, said, sink } = yield* open
      yield* dispatch
      sink.attached(wire("the wire", said))
      for (const id of [1, 2, 3]) offer(id, false)
      said.length = 0
      sink.started(128 + 1)
      sink.done(128 + 1, new Uint8Array(), 1)
      assert.deepStrictEqual(said, [], "its message is not over")
      yield* Effect.promise(() => Promise.resolve())
      assert.deepStrictEqual(said, ["call 1 completed", "the wire is given attempt 1 of call 2"])
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer())))
})
