/** Real files, in a folder of the test's own. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as DataFolder from "../src/process/DataFolder.ts"
import * as JournalFile from "../src/process/JournalFile.ts"
import * as RunJournal from "../src/process/RunJournal.ts"

const header: RunJournal.Header = { runId: "run-1", machine: "", bootId: "b", pidNamespace: "n", pid: 1, startTicks: 2 }

const opened = (
  use: (journal: JournalFile.JournalFile, say: (line: RunJournal.Line) => void, troubles: Array<string>, folder: string) => void
) => {
  const folder = mkdtempSync(join(tmpdir(), "snakepit-journal-"))
  const entries = new Map<string, RunJournal.ProcessEntry>()
  const troubles: Array<string> = []
  const journal = JournalFile.make({ folder, header, entries, onTrouble: (detail) => troubles.push(detail) })
  try {
    use(
      journal,
      (line) => {
        RunJournal.apply(entries, line)
        journal.append(line)
      },
      troubles,
      folder
    )
  } finally {
    journal.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

const idsIn = (path: string) => [...(RunJournal.parse(readFileSync(path, "utf8")) as RunJournal.RunJournal).entries.keys()]

describe("JournalFile", () => {
  it("is written with each change, for this user alone", () =>
    opened((journal, say) => {
      say({ reserved: "a", pool: "p" })
      assert.deepStrictEqual(idsIn(journal.path), ["a"])
      assert.strictEqual(statSync(journal.path).mode & 0o077, 0)
    }))

  it("does not grow over months of recycling", () =>
    opened((journal, say) => {
      for (let generation = 0; generation < 3_000; generation++) {
        say({ reserved: `a#${generation}`, pool: "p" })
        say({ started: `a#${generation}`, pid: generation + 1, startTicks: generation })
        say({ gone: `a#${generation}` })
      }
      say({ reserved: "last", pool: "p" })
      assert.isBelow(statSync(journal.path).size, 32_768) // 260 lines of at most 100 bytes
      assert.deepStrictEqual(idsIn(journal.path), ["last"])
    }))

  it("that somebody deleted is written anew with all that the run knows", () =>
    opened((journal, say) => {
      say({ reserved: "a", pool: "p" })
      rmSync(journal.path)
      say({ reserved: "b", pool: "p" })
      assert.deepStrictEqual(idsIn(journal.path), ["a", "b"])
    }))

  it("that somebody moved away is written anew, and so is one that another was put in place of", () =>
    opened((journal, say) => {
      say({ reserved: "a", pool: "p" })
      renameSync(journal.path, `${journal.path}.corrupt`)
      say({ reserved: "b", pool: "p" })
      assert.deepStrictEqual(idsIn(journal.path), ["a", "b"])
      writeFileSync(`${journal.path}.other`, "")
      renameSync(`${journal.path}.other`, journal.path)
      say({ reserved: "c", pool: "p" })
      assert.deepStrictEqual(idsIn(journal.path), ["a", "b", "c"])
    }))

  it("that is touched says that its host lives, and is there again when it was not", () =>
    opened((journal, say) => {
      say({ reserved: "a", pool: "p" })
      utimesSync(journal.path, 1, 1)
      journal.touch()
      assert.isAbove(statSync(journal.path).mtimeMs, Date.now() - 60_000)
      rmSync(journal.path)
      journal.touch()
      assert.deepStrictEqual(idsIn(journal.path), ["a"])
    }))

  it("that cannot be written is told once, and heals", () =>
    opened((journal, say, troubles, folder) => {
      say({ reserved: "a", pool: "p" })
      rmSync(join(folder, "runs"), { recursive: true })
      writeFileSync(join(folder, "runs"), "in the way")
      say({ reserved: "b", pool: "p" })
      say({ reserved: "c", pool: "p" })
      assert.lengthOf(troubles, 1)
      rmSync(join(folder, "runs"))
      say({ reserved: "d", pool: "p" })
      assert.deepStrictEqual(idsIn(journal.path), ["a", "b", "c", "d"])
      journal.remove()
      assert.deepStrictEqual(readdirSync(join(folder, "runs")), [])
    }))
})

describe("DataFolder", () => {
  const surroundings = { env: {}, home: "/home/ada", temporary: "/tmp", uid: 7 }

  it("is what was asked for alone, else in the state folder, else in the temporary one", () => {
    const env = { SNAKEPIT_DATA_DIR: "/data", XDG_STATE_HOME: "/state" }
    assert.deepStrictEqual(DataFolder.candidates("/mine", { ...surroundings, env }), ["/mine"])
    assert.deepStrictEqual(DataFolder.candidates(undefined, { ...surroundings, env }), ["/data"])
    assert.deepStrictEqual(DataFolder.candidates(undefined, { ...surroundings, env: { XDG_STATE_HOME: "/state" } }), [
      "/state/snakepit",
      "/tmp/snakepit-data-7"
    ])
    assert.deepStrictEqual(DataFolder.candidates(undefined, surroundings), ["/home/ada/.local/state/snakepit", "/tmp/snakepit-data-7"])
  })

  it("that was asked for and cannot be used is an error with the folder and a next step", () => {
    const parent = mkdtempSync(join(tmpdir(), "snakepit-data-"))
    try {
      writeFileSync(join(parent, "file"), "")
      const exit = Effect.runSyncExit(DataFolder.make(join(parent, "file", "below")))
      assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes("SNAKEPIT_DATA_DIR"))
      mkdirSync(join(parent, "open", "runs"), { recursive: true })
      chmodSync(join(parent, "open", "runs"), 0o777)
      assert.isTrue(Exit.isFailure(Effect.runSyncExit(DataFolder.make(join(parent, "open")))))
      mkdirSync(join(parent, "wide"), { mode: 0o700 })
      chmodSync(join(parent, "wide"), 0o770)
      assert.isTrue(Exit.isFailure(Effect.runSyncExit(DataFolder.make(join(parent, "wide")))))
      assert.deepStrictEqual(Effect.runSync(DataFolder.make(join(parent, "good"))), { folder: join(parent, "good") })
      symlinkSync(join(parent, "good"), join(parent, "link"))
      assert.deepStrictEqual(Effect.runSync(DataFolder.make(join(parent, "link"))), { folder: join(parent, "link") })
      assert.strictEqual(statSync(join(realpathSync(parent), "good", "runs")).mode & 0o777, 0o700)
    } finally {
      rmSync(parent, { recursive: true, force: true })
    }
  })

  const entry = (mode: number, uid = 7, link = false): DataFolder.Owned => ({ mode, uid, isSymbolicLink: () => link })
  const exposures: ReadonlyArray<readonly [string, Record<string, DataFolder.Owned>, RegExp | undefined]> = [
    ["below a folder that only groups may write to, whoever owns what", { "/": entry(0o755, 0), "/home": entry(0o775, 5) }, undefined],
    ["in the temporary folder, our own", { "/": entry(0o755, 0), "/home": entry(0o1777, 0), "/home/ada": entry(0o700) }, undefined],
    ["not there yet", { "/": entry(0o755, 0), "/home": entry(0o1777, 0) }, undefined],
    [
      "somebody was there first",
      { "/": entry(0o755, 0), "/home": entry(0o1777, 0), "/home/ada": entry(0o700, 8) },
      /\/home\/ada belongs to/
    ],
    ["a link of somebody's", { "/": entry(0o755, 0), "/home": entry(0o1777, 0), "/home/ada": entry(0o777, 8, true) }, /belongs to/],
    ["a link of our own", { "/": entry(0o755, 0), "/home": entry(0o1777, 0), "/home/ada": entry(0o777, 7, true) }, undefined],
    ["everybody may rename it", { "/": entry(0o755, 0), "/home": entry(0o777, 0), "/home/ada": entry(0o700) }, /rename what is in \/home$/],
    ["our own, and others may rename it", { "/": entry(0o755, 0), "/home": entry(0o1777, 0), "/home/ada": entry(0o770) }, /in \/home\/ada$/]
  ]
  it.each(exposures)("is judged by the folders above it: %s", (_, parts, expected) => {
    const found = DataFolder.exposure("/home/ada/data", 7, (path) => parts[path])
    if (expected === undefined) assert.isUndefined(found)
    else assert.match(found ?? "", expected)
  })
})
