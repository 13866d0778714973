import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@snakepit/core"
import * as SqliteStore from "@snakepit/telemetry/history/sqlite/SqliteStore"
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Snakepit } from "snakepit"
import * as IntensityCommand from "../src/cli/IntensityCommand.ts"

const now = Date.parse("2026-11-26T08:00:00Z")
const fleet = "snakepit/pools/default/fleet"

const told = (
  subject: string,
  verb: string,
  at: number,
  path: string,
  more: Event.Event["attributes"] = {},
  measured = {}
): Event.Event => ({
  name: `snakepit.${subject}_supervisor.${verb}`,
  at: now + at,
  measurements: measured,
  attributes: { path, "snakepit.layer": "execution", ...more }
})

/** A slot whose process is killed now and then, and comes up again. */
const slot = (key: string, times: ReadonlyArray<number>): ReadonlyArray<Event.Event> => {
  const path = `${fleet}/${key}`
  const child = { child: "process", generation: 0 }
  return times.flatMap((at) => {
    const incident = `${key}-${at}`
    const ended = { ...child, reason: "Failed", cause: "killed by SIGKILL", stage: "running", incident }
    return [
      told("worker", "restart", at, path, ended, { delayMillis: 0, budgetLeft: 2, victims: 0 }),
      told("worker", "recover", at + 400, path, { ...child, incident }, { tookMillis: 400 })
    ]
  })
}

const hour = 3_600_000
const events = [
  ...["0", "1"].map((key) => told("worker", "start", 0, `${fleet}/${key}`, {}, { children: 3 })),
  told("fleet", "start", 1, fleet, {}, { children: 2 }),
  told("root", "start", 2, "snakepit", {}, { children: 4 }),
  ...[...slot("0", [hour, 2 * hour]), ...slot("1", [3 * hour])]
]

const filled = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "intensity-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const file = join(folder, "history.sqlite")
  const contract = yield* Snakepit.contract()
  yield* Effect.scoped(Effect.gen(function*() {
    const store = yield* SqliteStore.open(file, false)
    yield* store.begin({ id: "one", startedAt: now, host: "here", process: "", contract })
    yield* store.append("one", events.map((event, position) => ({ position, event })))
    yield* store.end("one", now + 4 * hour)
  }))
  return file
})

/** What a command line prints, and whether it fails. */
const printed = Effect.fnUntraced(function*(...args: ReadonlyArray<string>) {
  const lines: Array<string> = []
  const say = (...texts: ReadonlyArray<unknown>) => void lines.push(texts.join(" "))
  const failed = yield* Command.runWith(IntensityCommand.intensity, { version: "0" })(args).pipe(
    Effect.provideService(Console.Console, { ...globalThis.console, log: say, error: say }),
    Effect.provide(NodeServices.layer),
    Effect.match({ onFailure: () => true, onSuccess: () => false })
  )
  return { text: lines.join("\n"), failed }
})

describe("snakepit intensity", () => {
  it.live("reviews a history: as text, as JSON, as a page for its user alone", () =>
    Effect.gen(function*() {
      const file = yield* filled
      const page = join(file, "..", "review.html")
      const { failed, text } = yield* printed("review", "--file", file, "--since", "2026-11-01", "--html", page)
      assert.isFalse(failed)
      assert.match(text, /snakepit\/pools\/<key>\/fleet\/<key> {2}3 in 30 seconds\n {2}trains {3}3 \(3 exits, the longest 1\)/)
      assert.match(text, /reason {3}3 × Failed: killed by SIGKILL/)
      assert.include(readFileSync(page, "utf8"), "snakepit/pools/&lt;key&gt;/fleet/&lt;key&gt;")
      assert.strictEqual(statSync(page).mode & 0o777, 0o600)
      const report = JSON.parse((yield* printed("review", "--file", file, "--since", "2026-11-01", "--json")).text)
      assert.deepInclude(report.supervisors[0], { exits: 3, headroom: 2, gaveUp: { wrongly: 0, rightly: 0, unknown: 0 } })
      assert.strictEqual(report.supervisors[0].advice.verdict, "too few")
    }), 60_000)

  it.live("replays incidents, under the policy that they had and under another", () =>
    Effect.gen(function*() {
      const file = yield* filled
      assert.include((yield* printed("replay", "--file", file)).text, "With the recorded policy 3 of 3 decide as recorded; 0 escalated.")
      const slots = "snakepit/pools/<key>/fleet/<key>"
      const stricter = yield* printed("replay", "--file", file, "--policy", "0 in 5 seconds", "--path", slots, "--json")
      const { incidents, totals } = JSON.parse(stricter.text)
      assert.deepInclude(totals, { incidents: 3, wouldEscalate: 3 })
      assert.deepStrictEqual(incidents[0].again.gaveUp, [{ path: `${fleet}/0`, at: now + hour }])
      const one = yield* printed("replay", "--file", file, "--incident", `1-${3 * hour}`, "--json")
      assert.deepStrictEqual(JSON.parse(one.text).incidents.map(({ child }: { readonly child: string }) => child), [`${fleet}/1/process`])
    }), 60_000)

  it.live("says what it cannot read", () =>
    Effect.gen(function*() {
      const file = yield* filled
      const wrong: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
        [["replay", "--file", file, "--policy", "often"], /"often" is no restart policy/],
        [["review", "--file", file, "--patience", "a while"], /--patience "a while" is no time/],
        [["review", "--file", file, "--since", "soon"], /--since "soon" is no time/],
        [["review", "--file", file, "--html", join(file, "in", "it")], /could not be written/],
        [["review", "--file", `${file}.not`], /there is no such file/]
      ]
      for (const [args, said] of wrong) {
        const { failed, text } = yield* printed(...args)
        assert.isTrue(failed, args.join(" "))
        assert.match(text, said)
      }
    }), 60_000)
})
