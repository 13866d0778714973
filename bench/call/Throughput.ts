/** Calls of a tool that does nothing but give its 32 bytes back, against unary gRPC and against the same wire without a pool around it. */
import { divide, measurement } from "../Bench.ts"
import * as Goal from "../Goal.ts"
import * as Handwritten from "./Handwritten.ts"
import * as Load from "./Load.ts"
import * as Ours from "./Ours.ts"
import * as Unary from "./Unary.ts"

/** As many on every side. */
export const workers = 2

export const small = Buffer.alloc(32, 7)

export const throughput = measurement({
  figures: {
    "call.c64.ours": { unit: "per second", what: `calls, ${workers} workers, 64 in flight, 32 B` },
    "call.c64.unary": { unit: "per second", what: "the same by grpc-js unary and grpcio" },
    "call.c64.handwritten": { unit: "per second", what: "the same by hand on our wire, without supervision" },
    "call.c64.ours.p99": { unit: "µs", what: "p99 of these calls, ours" },
    "call.c64.unary.p99": { unit: "µs", what: "the same, unary" },
    "call.c256.ours": { unit: "per second", what: "256 in flight" },
    "call.c256.unary": { unit: "per second", what: "the same, unary" },
    "call.c1.ours": { unit: "µs", what: "p50 of a call, one in flight" },
    "call.c1.unary": { unit: "µs", what: "the same, unary" },
    "call.c1.handwritten": { unit: "µs", what: "the same, by hand on our wire" }
  },
  sides: async (closing) => {
    const application = await Ours.open(closing, { default: { size: workers } })
    const client = await application.client()
    const ours = (callers: number) => application.run(Ours.echoes(client, callers, small))
    const { echo } = await Unary.open(closing, workers)
    const unary = (callers: number) => Load.promises(callers, () => echo(small))
    const { call } = await Handwritten.open(closing, workers)
    const handwritten = (callers: number) => Load.promises(callers, () => call("echo", { data: small }))
    return [
      async () => {
        const { p99, perSecond } = await ours(64)
        return { "call.c64.ours": perSecond, "call.c64.ours.p99": p99 }
      },
      async () => {
        const { p99, perSecond } = await unary(64)
        return { "call.c64.unary": perSecond, "call.c64.unary.p99": p99 }
      },
      async () => ({ "call.c64.handwritten": (await handwritten(64)).perSecond }),
      async () => ({ "call.c256.ours": (await ours(256)).perSecond }),
      async () => ({ "call.c256.unary": (await unary(256)).perSecond }),
      async () => ({ "call.c1.ours": (await ours(1)).p50 }),
      async () => ({ "call.c1.unary": (await unary(1)).p50 }),
      async () => ({ "call.c1.handwritten": (await handwritten(1)).p50 })
    ]
  },
  ratios: {
    "call.c64.vs_unary": {
      of: (round) => divide(round["call.c64.ours"], round["call.c64.unary"]),
      goal: Goal.atLeast({ must: 15, aim: 30 })
    },
    "call.c256.vs_unary": {
      of: (round) => divide(round["call.c256.ours"], round["call.c256.unary"]),
      goal: Goal.atLeast({ must: 30, aim: 50 })
    },
    "call.c1.p50.vs_unary": {
      of: (round) => divide(round["call.c1.ours"], round["call.c1.unary"]),
      goal: Goal.atMost({ must: 0.55, aim: 0.35 })
    },
    "call.c64.vs_handwritten": {
      of: (round) => divide(round["call.c64.ours"], round["call.c64.handwritten"]),
      goal: Goal.atLeast({ must: 0.75, aim: 0.9 })
    }
  }
})
