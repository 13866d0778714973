/** A CPU profile of the host while one side is measured: to be opened in a browser's tools, and summed up by package. */
import { mkdirSync, writeFileSync } from "node:fs"
import { type Profiler, Session } from "node:inspector/promises"
import { fileURLToPath } from "node:url"
import type { Closing, Side } from "./Bench.ts"

/** Opens the side that is worth a look. */
export type Profiled = (closing: Closing) => Promise<Side>

const folder = fileURLToPath(new URL("../var/bench/", import.meta.url)) // git does not see it
const samplingMicros = 200 // a call takes some: thousands of samples in a second say where

/** Measures the side twice, the second time under the profiler; writes the profile and prints what it sums up to. */
export const report = async (profiled: Profiled, file: string, say: (line: string) => void): Promise<void> => {
  const closes: Array<() => Promise<void>> = []
  const session = new Session()
  try {
    const side = await profiled((close) => closes.unshift(close))
    say("warming up …")
    await side()
    session.connect()
    await session.post("Profiler.enable")
    await session.post("Profiler.setSamplingInterval", { interval: samplingMicros })
    await session.post("Profiler.start")
    const values = await side()
    const { profile } = await session.post("Profiler.stop")
    mkdirSync(folder, { recursive: true })
    writeFileSync(`${folder}${file}`, JSON.stringify(profile))
    console.log(Object.entries(values).map(([name, value]) => `${name}: ${value}`).join(" · "))
    console.log(render(sum(profile)))
    console.log(`the whole profile: ${folder}${file}`)
  } finally {
    session.disconnect()
    for (const close of closes) await close()
  }
}

/** Shares of the time that the host was not idle, the largest first. */
export interface Summary {
  readonly busy: number
  readonly packages: ReadonlyArray<readonly [name: string, share: number]>
  readonly functions: ReadonlyArray<readonly [name: string, share: number]>
}

/** What of the profile's time was spent in which package's own code, and in which functions. `busy` is the share of the whole time. */
export const sum = ({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Summary => {
  const frames = new Map(nodes.map(({ callFrame, id }) => [id, callFrame]))
  const packages = new Map<string, number>()
  const functions = new Map<string, number>()
  const add = (to: Map<string, number>, name: string, micros: number) => to.set(name, (to.get(name) ?? 0) + micros)
  let whole = 0
  let busy = 0
  samples.forEach((id, n) => {
    const micros = timeDeltas[n] ?? 0
    const { functionName, lineNumber, url } = frames.get(id)!
    if (url === "node:inspector") return // the profiler itself
    whole += micros
    if (functionName === "(idle)") return
    busy += micros
    const from = packageOf(url, functionName)
    add(packages, from, micros)
    add(
      functions,
      url === "" ? functionName : `${functionName || "(anonymous)"} (${from}, ${url.split("/").at(-1)}:${lineNumber + 1})`,
      micros
    )
  })
  const shares = (of: Map<string, number>) =>
    [...of].map(([name, micros]) => [name, micros / busy] as const).toSorted(([, a], [, b]) => b - a)
  return { busy: busy / whole, packages: shares(packages), functions: shares(functions) }
}

/** `node:net` is node, `…/packages/pool/src/Pool.ts` is snakepit's pool, `…/node_modules/@grpc/grpc-js/…` is @grpc/grpc-js. */
const packageOf = (url: string, functionName: string): string => {
  if (url === "") return functionName.startsWith("(") ? functionName : "(built in)"
  if (url.startsWith("node:")) return "node"
  const [, installed] = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url) ?? []
  const [, own] = /\/packages\/([^/]+)\//.exec(url) ?? []
  return installed ?? (own === undefined ? "bench" : `packages/${own}`)
}

const render = ({ busy, functions, packages }: Summary): string => {
  const line = ([name, share]: readonly [string, number]) => `  ${(share * 100).toFixed(1).padStart(5)} %  ${name}`
  return [
    `the host was busy ${(busy * 100).toFixed(0)} % of the time; of that, self time by package:`,
    ...packages.filter(([, share]) => share >= 0.005).map(line),
    "and by function:",
    ...functions.slice(0, 20).map(line)
  ].join("\n")
}
