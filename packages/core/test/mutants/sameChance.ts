/** Before each test file: generated cases are the same in every run, so that what kills a mutant today kills it tomorrow. */
let state = 0x5eed

Math.random = () => { // mulberry32
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}
