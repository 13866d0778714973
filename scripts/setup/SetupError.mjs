// @ts-check
/**
 * What can go wrong while setting up, as one error with what a person needs: what happened, where, why, what next.
 *
 * Exit codes (sysexits.h):
 *
 * | code        | name         | meaning                                                                            |
 * | ----------- | ------------ | ---------------------------------------------------------------------------------- |
 * | 69          | unavailable  | something needed is missing or unreachable: Python, venv, npm, Node, a registry    |
 * | 70          | software     | a fault of the set-up itself, or a failure it does not recognise                   |
 * | 73          | cantCreate   | a file cannot be written: read-only checkout, no rights, disk full                 |
 * | 75          | tempFail     | another set-up of this checkout did not finish in time                             |
 * | 78          | config       | a setting or a file of the project is wrong: SNAKEPIT_PYTHON, package-lock.json    |
 * | 129,130,143 | interrupted  | ended by SIGHUP, SIGINT, SIGTERM                                                   |
 */
export const ExitCode = Object.freeze({
  unavailable: 69,
  software: 70,
  cantCreate: 73,
  tempFail: 75,
  config: 78
})

/** @typedef {{ what: string, where: string, cause: string, next: string, exitCode: number, detail?: string }} SetupFailure */

export class SetupError extends Error {
  /** @param {SetupFailure} failure */
  constructor(failure) {
    super(failure.what)
    this.name = "SetupError"
    this.failure = failure
  }

  get exitCode() {
    return this.failure.exitCode
  }

  render() {
    const { cause, detail, next, what, where } = this.failure
    const tail = detail === undefined || detail === "" ? "" : `\n${detail.replace(/^/gm, "  | ")}`
    return `snakepit: ${what}\n  where: ${where}\n  likely cause: ${cause}\n  next step: ${next}${tail}\n`
  }
}

/**
 * Any thrown value as a SetupError, so that nobody is ever shown a stack trace.
 *
 * @param {unknown} thrown
 * @param {string} where
 * @returns {SetupError}
 */
export const fromThrown = (thrown, where) => {
  if (thrown instanceof SetupError) return thrown
  const error = /** @type {NodeJS.ErrnoException} */ (thrown instanceof Error ? thrown : new Error(String(thrown)))
  const place = error.path ?? where
  switch (error.code) {
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new SetupError({
        what: `no right to write (${error.code})`,
        where: place,
        cause: "the folder is read-only for this user, or files in it belong to another user",
        next: "work in a folder of your own: clone the repository there and run the same command",
        exitCode: ExitCode.cantCreate
      })
    case "ENOSPC":
    case "EDQUOT":
      return new SetupError({
        what: "the disk is full",
        where: place,
        cause: `no room left, or a quota is used up (${error.code})`,
        next: "free about 2 GB there and run the same command again",
        exitCode: ExitCode.cantCreate
      })
    default:
      return new SetupError({
        what: `unexpected failure: ${error.message}`,
        where: place,
        cause: "a fault of the set-up itself, or of this machine",
        next: "run the same command again; if it stays, file an issue with these lines",
        exitCode: ExitCode.software
      })
  }
}
