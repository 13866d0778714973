/** Percentiles of measured times, in milliseconds, by nearest rank: each is a time that was measured. */
export interface Spread {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export const of = (millis: ReadonlyArray<number>): Spread | undefined => {
  if (millis.length === 0) return undefined
  const sorted = [...millis].sort((a, b) => a - b)
  const at = (share: number) => round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!)
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

const round = (millis: number): number => Math.round(millis * 10) / 10
