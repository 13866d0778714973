/** `npm start` and `npm test` around programs that end well, badly or not at all. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import * as Tally from "../../scripts/tally.mjs"
import type { Checkout } from "./Fixture.ts"
import { makeCheckout, until } from "./Fixture.ts"

/** What stands here for the comparison with the catalogue. */
const allSeen = "export {}"

let here: Checkout
beforeAll(async () => {
  here = makeCheckout()
  here.write("scripts/unseenEvents.ts", allSeen)
  const ended = await here.run("setup.mjs")
  if (ended.code !== 0) throw new Error(ended.stderr)
})
afterAll(() => here.dispose())

const lastLine = (text: string) => text.trimEnd().split("\n").at(-1)

describe("npm start", () => {
  const job = (source: string) => here.write("examples/digits/src/main.ts", source)

  test("hands over arguments, stdout, the Python and the exit code; says its own on stderr", async () => {
    job(
      "console.log(JSON.stringify([process.argv.slice(2), process.env.SNAKEPIT_PYTHON, process.execArgv] as const)); process.exitCode = 7"
    )
    const ended = await here.run("start.mjs", { args: ["--json", "a b"] })
    expect(ended.code).toBe(7)
    expect(JSON.parse(ended.stdout)).toEqual([
      ["--json", "a b"],
      here.file(".venv", "bin", "python"),
      ["--disable-warning=ExperimentalWarning", "--conditions=source"]
    ])
    expect(ended.stderr).toMatch(/^setup: npm packages … ok \(already there\)\n/)
  })

  test.each([["SIGINT"], ["SIGTERM"], ["SIGHUP"]] as const)("passes %s on once and ends as the job ends", async (signal) => {
    job(
      `let n = 0; process.on("${signal}", () => { n++; setTimeout(() => { console.log("got", n); process.exit(4) }, 100) }); console.log("up"); setInterval(() => {}, 1000)`
    )
    const running = here.start("start.mjs")
    await until("the job", () => running.stdout().includes("up"))
    running.kill(signal)
    expect(await running.ended).toMatchObject({ code: 4, stdout: "up\ngot 1\n", alive: [] })
  })

  test("a job killed by a signal ends us with 128 + its number", async () => {
    job("process.kill(process.pid, 'SIGKILL')")
    expect((await here.run("start.mjs")).code).toBe(137)
  })

  test("a program that asks for the checkout's own Python gets it, with no new environment", async () => {
    job("console.log('ok')")
    const ended = await here.run("start.mjs", { env: { SNAKEPIT_PYTHON: here.file(".venv", "bin", "python") } })
    expect(ended).toMatchObject({ code: 0, stdout: "ok\n" })
    expect(ended.stderr).toContain("Python environment … ok (already there)")
  })
})

describe("npm test", () => {
  const report = "const file = process.argv.find((a) => a.startsWith('--outputFile.json=')).slice(18);"
  const summary = (passed: number, failed: number, pending: number, files: ReadonlyArray<unknown> = []) =>
    JSON.stringify({ numPassedTests: passed, numFailedTests: failed, numPendingTests: pending, numTodoTests: 0, testResults: files })

  const vitest = (source: string) => {
    mkdirSync(here.file("node_modules", "vitest"), { recursive: true })
    writeFileSync(here.file("node_modules", "vitest", "vitest.mjs"), `import fs from "node:fs"; ${source}`)
  }
  const vitestSays = (text: string, code = 0) =>
    vitest(`${report} fs.writeFileSync(file, ${JSON.stringify(text)}); process.exitCode = ${code}`)

  const pytest = (source: string) =>
    here.write("python/src/pytest.py", `import sys, os\nfile = [a for a in sys.argv if a.startswith("--junit-xml=")][0][12:]\n${source}\n`)
  const suite = (tests: number, failures: number, errors: number, skipped: number) =>
    `open(file, "w").write('<?xml version="1.0"?><testsuites name="t"><testsuite name="pytest" errors="${errors}" failures="${failures}" skipped="${skipped}" tests="${tests}" time="1"></testsuite></testsuites>')`

  test("counts both languages in its last line", async () => {
    vitestSays(summary(3, 0, 0))
    pytest(suite(4, 0, 0, 0))
    const ended = await here.run("test.mjs")
    expect(lastLine(ended.stdout)).toBe("7 passed, 0 failed")
    expect(ended).toMatchObject({ code: 0, alive: [] })
    vitestSays(summary(3, 0, 2))
    pytest(suite(4, 0, 0, 1))
    expect(lastLine((await here.run("test.mjs")).stdout)).toBe("6 passed, 0 failed, 3 skipped")
  })

  test("fails with either of them", async () => {
    vitestSays(summary(3, 0, 0))
    pytest(`${suite(4, 1, 0, 0)}\nsys.exit(1)`)
    expect(await here.run("test.mjs")).toMatchObject({ code: 1, stdout: expect.stringMatching(/\n6 passed, 1 failed\n$/) })
    vitestSays(summary(2, 1, 0), 1)
    pytest(suite(4, 0, 0, 0))
    expect(await here.run("test.mjs")).toMatchObject({ code: 1, stdout: expect.stringMatching(/\n6 passed, 1 failed\n$/) })
  })

  test("a runner that dies counts as a failed test, and says so", async () => {
    pytest(suite(4, 0, 0, 0))
    vitest("process.kill(process.pid, 'SIGKILL')")
    expect(await here.run("test.mjs")).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/FAILED: vitest died before it could report \(exit code 137\)\n[^]*\n4 passed, 1 failed\n$/)
    })
    vitestSays(summary(3, 0, 0))
    pytest("os.abort()")
    expect(await here.run("test.mjs")).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/FAILED: pytest died before it could report \(exit code 134\)\n[^]*\n3 passed, 1 failed\n$/)
    })
  })

  test("an event that no test has seen counts as a failed test, when all have run", async () => {
    vitest(
      `${report} fs.writeFileSync(file, ${
        JSON.stringify(summary(3, 0, 0))
      }); fs.writeFileSync(process.env.SNAKEPIT_EVENTS_SEEN + "/a.txt", "a.seen\\nb.seen")`
    )
    pytest(suite(4, 0, 0, 0))
    here.write(
      "scripts/unseenEvents.ts",
      `import { readFileSync } from "node:fs"
       const seen: ReadonlyArray<string> = readFileSync(process.argv[2] + "/a.txt", "utf8").split("\\n")
       for (const name of ["a.seen", "c.never"]) if (!seen.includes(name)) console.log(name)`
    )
    expect(await here.run("test.mjs")).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/FAILED: no test has seen these declared events: c\.never\n[^]*\n7 passed, 1 failed\n$/)
    })
    expect(lastLine((await here.run("test.mjs", { args: ["core"] })).stdout)).toBe("3 passed, 0 failed")
    here.write("scripts/unseenEvents.ts", "throw new Error('it is broken')")
    expect(await here.run("test.mjs")).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/FAILED: which declared events were seen cannot be said: [^]*it is broken[^]*\n7 passed, 1 failed\n$/)
    })
    here.write("scripts/unseenEvents.ts", allSeen)
  })

  test("no test run is a failed one", async () => {
    vitestSays(summary(3, 0, 0))
    pytest(`${suite(0, 0, 0, 0)}\nsys.exit(5)`)
    expect(await here.run("test.mjs")).toMatchObject({ code: 1, stdout: expect.stringMatching(/\n3 passed, 1 failed\n$/) })
    rmSync(join(here.file("python", "src"), "pytest.py"))
    expect(await here.run("test.mjs")).toMatchObject({ code: 1, stdout: expect.stringMatching(/\n3 passed, 1 failed\n$/) })
  })

  test("words are a filter for Vitest, and leave pytest out unless --python is said", async () => {
    vitest(
      `${report} fs.writeFileSync(file, JSON.stringify({ numPassedTests: process.argv.includes("core") && !process.argv.includes("--python") ? 1 : 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [] }))`
    )
    pytest(suite(4, 0, 0, 0))
    expect(lastLine((await here.run("test.mjs", { args: ["core"] })).stdout)).toBe("1 passed, 0 failed")
    expect(lastLine((await here.run("test.mjs", { args: ["core", "--python"] })).stdout)).toBe("5 passed, 0 failed")
  })

  test("SIGTERM ends the runner and what it left", async () => {
    vitest(
      "import { spawn } from 'node:child_process'; process.on('SIGTERM', () => process.exit(0)); spawn('/bin/sleep', ['60'], { stdio: 'ignore' }); console.log('up'); setInterval(() => {}, 1000)"
    )
    const running = here.start("test.mjs")
    await until("the runner", () => running.stdout().includes("up"))
    running.kill("SIGTERM")
    expect(await running.ended).toMatchObject({ code: 143, alive: [] })
  })
})

describe("Tally", () => {
  test("a file that fails as a whole counts once, and an exit code that no test explains counts", () => {
    const broken = { status: "failed", name: "a.test.ts", assertionResults: [] }
    const report = JSON.stringify({ numPassedTests: 2, numFailedTests: 0, numPendingTests: 0, numTodoTests: 1, testResults: [broken] })
    expect(Tally.ofVitest({ code: 1, report })).toMatchObject({ passed: 2, failed: 1, skipped: 1, notes: ["a.test.ts failed as a whole"] })
    const fine = JSON.stringify({ numPassedTests: 2, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [] })
    expect(Tally.ofVitest({ code: 1, report: fine })).toMatchObject({ passed: 2, failed: 1 })
    expect(Tally.ofVitest({ code: 0, report: "{" })).toMatchObject({ passed: 0, failed: 1 })
  })

  test("pytest's errors are failures", () => {
    const report = "<testsuites><testsuite name=\"pytest\" errors=\"1\" failures=\"2\" skipped=\"3\" tests=\"10\"></testsuite></testsuites>"
    expect(Tally.ofPytest({ code: 1, report })).toMatchObject({ passed: 4, failed: 3, skipped: 3 })
    expect(Tally.ofPytest({ code: 0, report: "" })).toMatchObject({ failed: 1 })
  })
})
