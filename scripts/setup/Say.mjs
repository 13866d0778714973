// @ts-check
/** Lines for a person, always on stderr: stdout belongs to the job (`npm start -- --json`). */

/** @param {string} text */
const write = (text) => void process.stderr.write(text)

/** @type {boolean} a step's line is begun and waits for its end */
let open = false

const close = () => {
  if (open) write("\n")
  open = false
}

/** @param {string} text */
export const say = (text) => {
  close()
  write(`setup: ${text}\n`)
}

/**
 * One line for one step: its name at once, how it went when it is over.
 *
 * @template A
 * @param {string} name
 * @param {() => Promise<{ value: A, outcome: string }>} run
 * @returns {Promise<A>}
 */
export const step = async (name, run) => {
  close()
  write(`setup: ${name} … `)
  open = true
  try {
    const { outcome, value } = await run()
    write(open ? `${outcome}\n` : `setup: ${name} … ${outcome}\n`)
    open = false
    return value
  } finally {
    close()
  }
}

/** @param {import("./SetupError.mjs").SetupError} error */
export const sayError = (error) => {
  close()
  write(error.render())
}
