/** Messages that a broken or hostile peer could send: valid ones that were damaged, and bytes that never were one. */

/** A generator of numbers in [0, 1) that a seed repeats: mulberry32. */
export const chance = (seed: number): () => number => {
  let state = seed
  return () => {
    state = state + 0x6d2b79f5 | 0
    let t = Math.imul(state ^ state >>> 15, 1 | state)
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t
    return ((t ^ t >>> 14) >>> 0) / 4_294_967_296
  }
}

/** So many damaged forms of a message. */
export const variants = (message: Uint8Array, seed: number, count: number): ReadonlyArray<Buffer> => {
  const random = chance(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  return Array.from({ length: count }, () => {
    if (random() < 0.1) return Buffer.from(Array.from({ length: below(40) }, () => below(256)))
    let bytes = [...message]
    for (let times = 1 + below(3); times > 0; times--) {
      const at = below(bytes.length)
      switch (below(5)) {
        case 0:
          bytes[at] = below(256)
          break
        case 1:
          bytes.splice(at, 1)
          break
        case 2:
          bytes.splice(at, 0, below(256))
          break
        case 3:
          bytes = bytes.slice(0, at)
          break
        case 4:
          bytes.splice(at, 0, ...Array.from({ length: 1 + below(10) }, () => 0x80 | below(128))) // a number without an end
      }
    }
    return Buffer.from(bytes)
  })
}
