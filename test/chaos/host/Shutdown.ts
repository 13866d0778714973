/** The steps of a shutdown, by name; at a chosen one the host stops itself, for the runner to kill it exactly there. */

/** Longer than the runner takes to see it stopped; should nobody kill it, the host goes on and the run fails. */
const patienceMillis = 20_000

/** Where to stop, and how long after it. */
export interface StopAt {
  readonly step: string
  readonly afterMillis: number
}

/** Returns what is told of each step. */
export const steps = ({ afterMillis, step }: StopAt): (step: string) => void => {
  let isOver = false
  return (now) => {
    if (isOver || now !== step) return
    isOver = true
    if (afterMillis === 0) freeze()
    else setTimeout(freeze, afterMillis)
  }
}

const freeze = (): void => {
  process.kill(process.pid, "SIGSTOP")
  // other threads may take the signal a moment later: this one does nothing until then
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, patienceMillis)
}
