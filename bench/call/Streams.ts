/** Elements of one Python generator, against a plain server stream of gRPC. */
import { divide, measurement } from "../Bench.ts"
import * as Goal from "../Goal.ts"
import * as Load from "./Load.ts"
import * as Ours from "./Ours.ts"
import * as Unary from "./Unary.ts"

export const streams = measurement({
  figures: {
    "stream.ours": { unit: "per second", what: "elements of 32 B of one generator, through a Stream with demand" },
    "stream.unary": { unit: "per second", what: "elements of a grpc-js server stream from grpcio" }
  },
  sides: async (closing) => {
    const application = await Ours.open(closing, { default: { size: 1 } })
    const client = await application.client()
    const { elements } = await Unary.open(closing, 1)
    return [
      async () => ({ "stream.ours": await Load.stream((note) => application.run(Ours.elements(client, note))) }),
      async () => ({ "stream.unary": await Load.stream(elements) })
    ]
  },
  ratios: {
    "stream.vs_unary_stream": {
      of: (round) => divide(round["stream.ours"], round["stream.unary"]),
      goal: Goal.atLeast({ must: 5, aim: 15 })
    }
  }
})
