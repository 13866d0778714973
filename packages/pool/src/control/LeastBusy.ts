/**
 * Which of the slots that can take a call has the fewest; of several the first. One bit for each slot and number of calls, so that a
 * change and a question cost the same whatever the size of the pool.
 */

export interface LeastBusy {
  /** By number of calls: the slots that have so many, as bits. */
  readonly levels: Array<Int32Array>
  /** How many slots are in each level. */
  readonly counts: Array<number>
  /** The level of each slot; -1: it can take none. */
  at: Int32Array
  words: number
  /** Slots that can take a call. */
  slots: number
}

export const make = (size: number): LeastBusy => ({
  levels: [],
  counts: [],
  at: new Int32Array(size).fill(-1),
  words: (size + 31) >> 5, // 32 slots a word
  slots: 0
})

/** Makes room for `size` slots; the new ones can take no call yet. */
export const grow = (busy: LeastBusy, size: number): void => {
  const { at, levels } = busy
  busy.at = new Int32Array(size).fill(-1)
  busy.at.set(at)
  busy.words = (size + 31) >> 5
  for (const [level, bits] of levels.entries()) {
    levels[level] = new Int32Array(busy.words)
    levels[level].set(bits)
  }
}

/** Says that `slot` has `calls` and can take another; `calls` -1: it cannot. */
export const set = (busy: LeastBusy, slot: number, calls: number): void => {
  const { at, counts, levels } = busy
  const before = at[slot]!
  if (before === calls) return
  const word = slot >> 5
  const bit = 1 << (slot & 31)
  if (before >= 0) {
    levels[before]![word]! ^= bit
    counts[before]!--
    busy.slots--
  }
  at[slot] = calls
  if (calls < 0) return
  while (levels.length <= calls) {
    levels.push(new Int32Array(busy.words))
    counts.push(0)
  }
  levels[calls]![word]! |= bit
  counts[calls]!++
  busy.slots++
}

/** The least busy slot; -1 when none can take a call. */
export const first = ({ counts, levels, slots }: LeastBusy): number => {
  if (slots === 0) return -1
  let level = 0
  while (counts[level] === 0) level++
  const bits = levels[level]!
  let word = 0
  while (bits[word] === 0) word++
  const lowest = bits[word]! & -bits[word]!
  return word * 32 + 31 - Math.clz32(lowest)
}
