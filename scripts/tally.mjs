// @ts-check
/** Counts what a test runner reported. A runner that died, reported nothing or ran nothing counts as one failed test. */

/** @typedef {{ passed: number, failed: number, skipped: number, notes: ReadonlyArray<string> }} Tally */
/** How a runner ended: its exit code and the text of its report, if it wrote one. @typedef {{ code: number, report: string | undefined }} Outcome */

/** @param {string} note @returns {Tally} */
const died = (note) => ({ passed: 0, failed: 1, skipped: 0, notes: [note] })

/**
 * A runner knows of failures that are no test's: an unhandled rejection, a broken hook, a coverage limit.
 *
 * @param {string} runner
 * @param {Tally} tally
 * @param {number} code
 * @returns {Tally}
 */
const judged = (runner, tally, code) => {
  if (tally.passed + tally.failed + tally.skipped === 0) return died(`${runner} ran no test (exit code ${code})`)
  if (code !== 0 && tally.failed === 0) {
    return {
      ...tally,
      failed: 1,
      notes: [...tally.notes, `${runner} ended with exit code ${code} though no test failed: see its last lines`]
    }
  }
  return tally
}

/** @param {Outcome} outcome of Vitest with its JSON reporter @returns {Tally} */
export const ofVitest = ({ code, report }) => {
  if (report === undefined) return died(`vitest died before it could report (exit code ${code})`)
  try {
    const { numFailedTests, numPassedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(report)
    /** @type {Array<string>} files that could not be collected, or whose hooks failed: no test of theirs is counted as failed */
    const broken = testResults
      .filter((/** @type {any} */ file) =>
        file.status === "failed" && !file.assertionResults.some((/** @type {any} */ test) => test.status === "failed")
      )
      .map((/** @type {any} */ file) => `${file.name} failed as a whole`)
    const tally = {
      passed: numPassedTests,
      failed: numFailedTests + broken.length,
      skipped: numPendingTests + numTodoTests,
      notes: broken
    }
    return judged("vitest", tally, code)
  } catch (thrown) {
    return died(`vitest left a report that cannot be read: ${thrown instanceof Error ? thrown.message : thrown}`)
  }
}

/**
 * A run of all tests, with one more that failed if there are events which none of them saw.
 *
 * @param {Tally} tally
 * @param {{ code: number | null, stdout: string, stderr: string }} found one name a line
 * @returns {Tally}
 */
export const withUnseen = (tally, { code, stderr, stdout }) => {
  const names = stdout.split("\n").filter((line) => line !== "")
  if (code === 0 && names.length === 0) return tally
  const note = code === 0
    ? `no test has seen these declared events: ${names.join(", ")}`
    : `which declared events were seen cannot be said: ${stderr.trim()}`
  return { ...tally, failed: tally.failed + 1, notes: [...tally.notes, note] }
}

/** @param {Outcome} outcome of pytest with --junit-xml @returns {Tally} */
export const ofPytest = ({ code, report }) => {
  if (report === undefined) return died(`pytest died before it could report (exit code ${code})`)
  const suites = [...report.matchAll(/<testsuite\s([^>]*)>/g)].map((match) => match[1] ?? "")
  if (suites.length === 0) return died("pytest left a report that cannot be read")
  /** @param {string} name */
  const sum = (name) => suites.reduce((total, suite) => total + Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suite)?.[1] ?? 0), 0)
  const failed = sum("failures") + sum("errors")
  const skipped = sum("skipped")
  // A test whose teardown fails is counted both as a test and as an error.
  return judged("pytest", { passed: Math.max(0, sum("tests") - failed - skipped), failed, skipped, notes: [] }, code)
}

/** @param {ReadonlyArray<Tally>} tallies @returns {Tally} */
export const total = (tallies) => ({
  passed: tallies.reduce((n, tally) => n + tally.passed, 0),
  failed: tallies.reduce((n, tally) => n + tally.failed, 0),
  skipped: tallies.reduce((n, tally) => n + tally.skipped, 0),
  notes: tallies.flatMap((tally) => tally.notes)
})

/** @param {Tally} tally */
export const line = ({ failed, passed, skipped }) => `${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`
