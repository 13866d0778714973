import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { type Contract, type Event, Simulation } from "@snakepit/core"
import { Policy } from "@snakepit/telemetry"
import * as SqliteStore from "@snakepit/telemetry/history/sqlite/SqliteStore"
import * as RecordedTree from "@snakepit/telemetry/intensity/RecordedTree"
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Snakepit } from "snakepit"
import * as IntensityCommand from "../src/cli/IntensityCommand.ts"

const now = 0 // of a simulation
const hour = 3_600_000
const pools = "snakepit/pools"
const fleet = `${pools}/default/fleet`

/** What the application's own tree tells when the processes of two slots end now and then. */
const events = (contract: Contract.Contract): ReadonlyArray<Event.Event> => {
  const keys: { readonly [path: string]: ReadonlyArray<string> } = { [pools]: ["default"], [fleet]: ["0", "1"] }
  const tree = RecordedTree.make(contract, {
    restartOf: (_, own) => Policy.toRestartPolicy(Policy.ofContract(own), own),
    initialOf: (path) => keys[path] ?? []
  })
  const wait = Simulation.Line.Wait({ millis: hour })
  const exit = (slot: number) => Simulation.Line.Exit({ path: `${fleet}/${slot}/process`, how: "failed" })
  const { entries } = Simulation.simulate(tree, [wait, exit(0), wait, exit(0), wait, exit(1), wait], { hear: () => {} }) // a history watches
  return entries.flatMap((entry) => entry._tag === "Event" ? [entry.event] : [])
}

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
    yield* store.append("one", events(contract).map((event, position) => ({ position, event })))
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
      const { failed, text } = yield* printed("review", "--file", file, "--since", "1970-01-01", "--html", page)
      assert.isFalse(failed)
      assert.match(text, /snakepit\/pools\/<key>\/fleet\/<key> {2}3 in 30 seconds\n {2}trains {3}3 \(3 exits, the longest 1\)/)
      assert.match(text, /reason {3}3 × Failed: failed/)
      assert.include(readFileSync(page, "utf8"), "snakepit/pools/&lt;key&gt;/fleet/&lt;key&gt;")
      assert.strictEqual(statSync(page).mode & 0o777, 0o600)
      const report = JSON.parse((yield* printed("review", "--file", file, "--since", "1970-01-01", "--json")).text)
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
      const page = join(file, "..", "replay.html")
      const one = yield* printed("replay", "--file", file, "--incident", incidents[2].id, "--json", "--html", page)
      assert.include(readFileSync(page, "utf8"), "Incidents replayed under the recorded policy")
      assert.strictEqual(statSync(page).mode & 0o777, 0o600)
      assert.deepStrictEqual(JSON.parse(one.text).incidents.map(({ child }: { readonly child: string }) => child), [`${fleet}/1/process`])
    }), 60_000)

  it.live("says what it cannot read", () =>
    Effect.gen(function*() {
      const file = yield* filled
      const wrong: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
        [["replay", "--file", file, "--policy", "often"], /"often" is no restart policy/],
        [["replay", "--file", file, "--incident", "nope"], /no incident "nope" is told there/],
        [
          ["replay", "--file", file, "--policy", "1 in 1 second", "--path", "snakepit/pools/defualt/fleet"],
          /Did you mean "snakepit\/pools\/default\/fleet"/
        ],
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
