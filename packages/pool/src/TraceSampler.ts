/**
 * Whether a call begins a trace that has no caller's span to say so: decided once, where the trace would begin. Calls are counted, and the number is hashed:
 * a share of all, in no rhythm that calls could have too, without a random number for each.
 */
import type { PoolConfig } from "./PoolConfig.ts"

type Tracing = PoolConfig["tracing"]

const range = 0x1_0000_0000 // of 32 bits

/** The bits of a number, each of them a matter of all: MurmurHash3's last step, after a stride that parts neighbours. */
const mixed = (value: number): number => {
  let hash = Math.imul(value, 0x9e3779b9)
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b)
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35)
  return (hash ^ hash >>> 16) >>> 0
}

export class TraceSampler {
  private count: number
  /** By tool, of these settings. */
  private ratios = new Map<string, number>()
  private tracing: Tracing | undefined

  /** `seed`: any 32 bits; pools that begin with the same choose the same calls. */
  constructor(seed: number) {
    this.count = seed >>> 0
  }

  /** Whether the next call that begins a trace of its own does so. */
  chooses(tracing: Tracing, tool: string): boolean {
    this.count = this.count + 1 >>> 0
    return mixed(this.count) < range * this.ratioOf(tracing, tool)
  }

  private ratioOf(tracing: Tracing, tool: string): number {
    if (tracing.tools === undefined) return tracing.ratio
    if (this.tracing !== tracing || this.ratios.size >= most) {
      this.tracing = tracing
      this.ratios = new Map()
    }
    let ratio = this.ratios.get(tool)
    if (ratio === undefined) {
      ratio = Object.entries(tracing.tools).find(([pattern]) => fits(pattern, tool))?.[1] ?? tracing.ratio
      this.ratios.set(tool, ratio)
    }
    return ratio
  }
}

/** Tools remembered. 1000: more than adapters have; clients may name what there is not. */
const most = 1000

const fits = (pattern: string, tool: string): boolean => {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
  return new RegExp(`^${parts.join(".*")}$`).test(tool)
}
