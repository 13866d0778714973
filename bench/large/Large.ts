/** Bytes there and back, one call at a time on one worker, against unary gRPC. */
import { divide, type Figure, type Measurement, measurement, type Values } from "../Bench.ts"
import * as Load from "../call/Load.ts"
import * as Ours from "../call/Ours.ts"
import * as Unary from "../call/Unary.ts"
import * as Goal from "../Goal.ts"
import type { Profiled } from "../Profile.ts"

const sizes = { "64kb": 64 << 10, "1mb": 1 << 20, "16mb": 16 << 20 } as const
type Size = keyof typeof sizes

const figures = Object.fromEntries(
  (Object.keys(sizes) as Array<Size>).flatMap((size): Array<[string, Figure]> => [
    [`large.${size}.ours`, { unit: "ms", what: `p50 of an echo of ${size.toUpperCase()}, one at a time` }],
    [`large.${size}.unary`, { unit: "ms", what: "the same by grpc-js unary and grpcio" }]
  ])
) as { readonly [_ in `large.${Size}.${"ours" | "unary"}`]: Figure }

const speed = (size: Size) => (round: Values<keyof typeof figures>) => divide(round[`large.${size}.unary`], round[`large.${size}.ours`])

const echo = measurement({
  figures,
  sides: async (closing) => {
    const application = await Ours.open(closing, { default: { size: 1, maxPayload: 2 * sizes["16mb"] } })
    const client = await application.client()
    const { echo } = await Unary.open(closing, 1)
    return (Object.entries(sizes) as Array<[Size, number]>).flatMap(([size, bytes]) => {
      const data = Buffer.alloc(bytes, 7)
      return [
        async () => ({ [`large.${size}.ours`]: (await application.run(Ours.mirrored(client, 1, data))).p50 / 1000 }),
        async () => ({ [`large.${size}.unary`]: (await Load.promises(1, () => echo(data))).p50 / 1000 })
      ]
    })
  },
  ratios: {
    "large.64kb.vs_unary": { of: speed("64kb") },
    "large.1mb.vs_unary": { of: speed("1mb") },
    "large.16mb.vs_unary": { of: speed("16mb"), goal: Goal.atLeast({ must: 8, aim: 15 }) }
  }
})

export const measurements: ReadonlyArray<Measurement> = [echo]

export const facts = {}

/** 16 MB at a time, ours. */
export const profiled: Profiled = async (closing) => {
  const application = await Ours.open(closing, { default: { size: 1, maxPayload: 2 * sizes["16mb"] } })
  const client = await application.client()
  const data = Buffer.alloc(sizes["16mb"], 7)
  return async () => ({ "large.16mb.ours": (await application.run(Ours.mirrored(client, 1, data))).p50 / 1000 })
}
