/** How much is sent ahead, of workers whose tools take a known time: the machine in a loop with a simulated channel. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Dispatch from "../src/control/Dispatch.ts"
import * as DispatchMachine from "../src/control/DispatchMachine.ts"
import * as Pace from "../src/control/Pace.ts"
import { PoolConfig, type PoolConfigInput } from "../src/PoolConfig.ts"
import { ScriptedCodec, ScriptedTool } from "../src/testing/index.ts"
import { offerOf, wireOf } from "./MachineInput.ts"

/** A pool of one worker. */
class Bench {
  readonly state: Dispatch.DispatchState
  readonly sent: Array<number> = []
  now = 1000
  private ids = 0

  constructor(config: PoolConfigInput = {}) {
    this.state = Dispatch.make("p", Schema.decodeUnknownSync(PoolConfig)({ size: 1, ...config }), ScriptedCodec.digest)
    this.say({ _tag: "Attached", slot: 0, wire: wireOf(["quick", "slow"].map((name) => ScriptedTool.announced(name)), config.concurrency) })
  }

  say(event: Dispatch.Event): void {
    for (const command of DispatchMachine.transition(this.state, event, this.now)) if (command._tag === "Send") this.sent.push(command.id)
  }

  offer(tool: string, tenant = ""): void {
    this.say({ _tag: "Offer", offer: offerOf({ id: ++this.ids, tool, tenant, at: this.now }) })
  }

  /** The oldest call on the worker ends, after it has run so long. */
  done(micros: number): void {
    this.say({ _tag: "Done", slot: 0, id: this.sent.shift()!, payload: new Uint8Array(), micros })
  }

  /** The worker learns what its tools take, one call at a time. */
  learn(tool: string, micros: number, calls = 10): this {
    for (let call = 0; call < calls; call++) {
      this.offer(tool)
      this.done(micros)
    }
    return this
  }

  /** How many of two hundred calls are on the worker. */
  fill(tool: string): number {
    for (let call = 0; call < 200; call++) this.offer(tool)
    return this.sent.length
  }
}

describe("prefetch: auto", () => {
  it("sends nothing behind a call of a tool that is not known", () => {
    assert.strictEqual(new Bench().fill("quick"), 1)
    assert.strictEqual(new Bench().learn("quick", 5, 3).fill("quick"), 1)
  })

  it("sends nothing behind a call of a slow tool", () => {
    assert.strictEqual(new Bench().learn("slow", 5000).fill("slow"), 1)
    const bench = new Bench().learn("slow", 5000).learn("quick", 5)
    bench.offer("slow")
    assert.strictEqual(bench.fill("quick"), 1)
  })

  it("sends as much of a quick tool as covers two round trips, and no more than 128 calls", () => {
    assert.strictEqual(new Bench().learn("quick", 100).fill("quick"), 3) // a quarter of a millisecond at least
    assert.strictEqual(new Bench().learn("quick", 1).fill("quick"), 1 + Pace.mostAhead)
  })

  it("sends more where the way is longer, up to two milliseconds' worth", () => {
    const bench = new Bench()
    for (let call = 0; call < 64; call++) {
      bench.offer("quick")
      bench.now += call % 2 // half a millisecond in the mean
      bench.done(100)
    }
    assert.isAtLeast(bench.fill("quick"), 7)
    assert.isAtMost(bench.fill("quick"), 1 + Pace.longestMillis / 0.1)
  })

  it("sends less while tenants share the pool, and as much as before when one has it alone again", () => {
    const bench = new Bench().learn("quick", 1)
    bench.offer("quick", "other")
    bench.now += 1
    assert.strictEqual(bench.fill("quick"), 1 + Pace.mostAheadShared)
    bench.now += Pace.sharedMillis
    bench.done(1)
    assert.strictEqual(bench.sent.length, 1 + Pace.mostAhead)
  })

  it("sends each of a worker's threads its share", () => {
    assert.strictEqual(new Bench({ concurrency: 4 }).fill("quick"), 4)
    assert.strictEqual(new Bench({ concurrency: 4 }).learn("quick", 100).fill("quick"), 4 * 2.5 + 1)
  })

  it("sends nothing behind a call that is late, whatever its tool is known for", () => {
    const bench = new Bench().learn("quick", 5, 64)
    bench.offer("quick")
    bench.now += Pace.longestMillis + 1
    assert.strictEqual(bench.fill("quick"), 1)
    bench.done(3000)
    assert.isAbove(bench.sent.length, 1)
  })

  it("finds in dozens of calls that a tool has turned slow, and forgets it again", () => {
    const bench = new Bench().learn("quick", 5, 100)
    assert.isAbove(Pace.budget(bench.state.pace), Pace.costOf(bench.state.pace, "quick"))
    bench.learn("quick", 5000, 12)
    assert.isBelow(Pace.budget(bench.state.pace), Pace.costOf(bench.state.pace, "quick"))
    assert.isAbove(bench.learn("quick", 5, 400).fill("quick"), 10)
  })

  it("knows no more tools than there may be", () => {
    const pace = Pace.make()
    for (let tool = 0; tool < 2000; tool++) Pace.ran(pace, `module:f${tool}`, 0.01)
    assert.strictEqual(pace.tools.size, 1024)
  })
})

describe("prefetch: a number", () => {
  it("is kept to, whatever the tool", () => {
    assert.strictEqual(new Bench({ prefetch: 0 }).learn("quick", 1).fill("quick"), 1)
    assert.strictEqual(new Bench({ prefetch: 3 }).fill("slow"), 4)
    assert.strictEqual(new Bench({ prefetch: 3, concurrency: 2 }).fill("slow"), 5)
  })
})
