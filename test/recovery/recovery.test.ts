/**
 * Every child of the live tree, killed in turn under light load on real Python workers: who goes down, who restarts it, what is told in
 * which order and what callers see must be what its contract promises. What lives on must be adopted by what comes back.
 *
 * The cases come from the contract of the application, one for each path, pools and slots taken in general; which pool and slot is harmed takes
 * turns among those that have the child. `SNAKEPIT_RECORD=<file>` kills each several times and writes what was measured there.
 */
import { assert, describe, it } from "@effect/vitest"
import { type Event, Tree } from "@snakepit/core"
import { Order, Prediction } from "@snakepit/core/testing"
import { Effect, Schedule } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Contract, Snakepit } from "snakepit"
import { afterAll, beforeAll, beforeEach } from "vitest"
import type { RecoveryRow } from "../../scripts/FailuresPage.ts"
import * as Application from "./Application.ts"
import * as Harm from "./Harm.ts"
import * as Load from "./Load.ts"
import * as Record from "./Record.ts"
import * as Telling from "./Telling.ts"

const contract = await Effect.runPromise(Snakepit.contract(Application.config, Application.options))

/** The contract's path without the name of the pool. */
const general = (path: string): string => path.replace(/^(snakepit\/pools)\/[^/]+/, `$1/${Contract.templateKey}`)

/** The contract's paths by what they are in general; the small ones first, the roots of all last. */
const cases = new Map<string, ReadonlyArray<string>>()
for (const { path } of Contract.children(contract).toReversed()) cases.set(general(path), [...cases.get(general(path)) ?? [], path])

/** One slot that lives, at one of the contract's paths. */
const concrete = (paths: ReadonlyArray<string>, turn: number): string =>
  paths[turn % paths.length]!.replace(Contract.templateKey, Application.slots[turn % Application.slots.length]!)

const isProcess = (path: string): boolean => path.endsWith("/process")

/** Whether all workers live on when the child at this path of the contract ends, so that what comes back must adopt them. */
const adopts = (path: string): boolean =>
  Telling.placeOf(path).slot === undefined && !Prediction.of(contract, path, "failed").victims.some(isProcess)

const folder = mkdtempSync(join(tmpdir(), "snakepit-load-"))
const rows: Array<RecoveryRow> = []

let app: Application.Application
let pids = new Map<string, number>()
/** How many of the events have been compared. */
let accounted = 0
let loads = 0
/** A case that failed leaves who knows what. */
let clean = false

const restart = Effect.gen(function*() {
  if (app !== undefined) yield* app.stop
  app = yield* Application.start
  assert.deepStrictEqual(app.snakepit.contract, contract)
  pids = new Map()
  yield* quiet
  accounted = app.events.length
  clean = true
})

const told = (from: number): ReadonlyArray<string> => app.events.slice(from).flatMap((event) => Telling.label(event) ?? [])

const assertNothingMore = (when: string): void => assert.deepStrictEqual(told(accounted), [], `told after its case was over, ${when}`)

/** Waits until nothing has been told for 100 ms: twice what the first delay of a restart is. */
const quiet = Effect.gen(function*() {
  const before = told(0).length
  yield* Effect.sleep("100 millis")
  return told(0).length === before
}).pipe(
  Effect.repeat({ until: (still) => still }),
  Effect.timeoutOrElse({
    duration: "10 seconds",
    orElse: () => Effect.sync(() => assert.fail(`no rest within 10 s:\n${told(accounted).join("\n")}`))
  })
)

let failed = false
beforeEach(({ onTestFailed }) =>
  onTestFailed(() => {
    failed = true
  })
)

beforeAll(() => Effect.runPromise(restart))
afterAll(async () => {
  const late = told(accounted)
  await Effect.runPromise(app.stop)
  rmSync(folder, { recursive: true, force: true })
  assert.deepStrictEqual(late, [], "told after the last case was over")
  Record.write(rows, { cases: cases.size, failed })
})

const isUp = (tree: Tree.SupervisorNode) => Tree.flatten(tree).every(({ status }) => status === "running")

/** Waits for an event that was told after `from`. */
const awaitEvent = (from: number, what: string, fits: (event: Event.Event) => boolean) =>
  Effect.callback<Event.Event>((resume) => {
    const look = () => {
      const found = app.events.slice(from).find(fits)
      if (found === undefined) return
      app.listeners.delete(look)
      resume(Effect.succeed(found))
    }
    app.listeners.add(look)
    look()
    return Effect.sync(() => app.listeners.delete(look))
  }).pipe(Effect.timeoutOrElse({
    duration: "20 seconds",
    orElse: () => Effect.sync(() => assert.fail(`no ${what} within 20 s, only\n${told(from).join("\n")}`))
  }))

/** Whether its supervisor has a restart left; where times are measured, whether it would be the first. */
const isReady = (tree: Tree.SupervisorNode, path: string): boolean => {
  const above = path.slice(0, path.lastIndexOf("/"))
  const all = Tree.flatten(tree)
  const { budgetLeft, intensity } = above === tree.path ? tree : all.find((child) => child.path === above)!.supervisor!
  if (Record.repetitions === 1) return budgetLeft >= 1
  return intensity === "unlimited" ? all.find((child) => child.path === path)!.restarts === 0 : budgetLeft === intensity.maxRestarts
}

const noLoad = Effect.succeed<ReadonlyArray<Load.Ended>>([])

/** Kills the child at `path` of the live tree, on both pools under a load that begins with `first`, and compares all that comes of it. */
const kill = Effect.fnUntraced(
  function*(path: string, first: "nap" | "note" | "no load") {
    if (!clean || !isReady(yield* app.snakepit.tree, path)) yield* restart
    clean = false
    const before = yield* app.snakepit.tree
    assert.deepStrictEqual(Contract.compare(contract, before), [])
    const processes = Application.processes(app, before, pids)
    const { harm, how, means } = Harm.of(app, path, processes.get(path))
    const promise = Prediction.of(Contract.bind(contract, before), path, how)
    const expected = Telling.of(promise.steps, Application.slots)

    const end = first === "no load" ? noLoad : yield* Load.begin(app, folder, `${path.replaceAll("/", ".")}-${++loads}`, first)
    assertNothingMore("before the next")
    const from = app.events.length
    const began = performance.now()
    yield* harm
    const id = path.slice(promise.by.length + 1)
    const decided = (verb: string) => ({ attributes, name }: Event.Event) =>
      name.endsWith(`_supervisor.${verb}`) && attributes["path"] === promise.by && attributes["child"] === id
    const decision = yield* awaitEvent(from, "decision", decided(promise.restarts ? "restart" : "leave"))
    const noticedMillis = performance.now() - began
    if (promise.restarts) yield* awaitEvent(from, "recovery", decided("recover"))
    const recoveredMillis = performance.now() - began
    const ended = yield* end
    for (const pool of Application.pools) assert.strictEqual(yield* app.tools[pool].add({ a: 20, b: 22 }), 42)

    yield* quiet
    const seen = told(from)
    accounted = app.events.length
    assert.isUndefined(Order.difference(expected, seen), `what was told:\n  ${seen.join("\n  ")}\n`)

    const after = yield* app.snakepit.tree
    assert.isTrue(isUp(after), Tree.render(after))
    const is = new Map(Tree.flatten(after).map((child) => [child.path, child]))
    for (const was of Tree.flatten(before)) {
      const { generation, restarts } = is.get(was.path)!
      const standing = [was.path, generation, restarts]
      const ownRestarts = was.restarts + (was.path === path ? 1 : 0)
      if (!promise.victims.includes(was.path)) assert.deepStrictEqual(standing, [was.path, was.generation, was.restarts])
      else if (promise.group.includes(was.path)) assert.deepStrictEqual(standing, [was.path, was.generation + 1, ownRestarts])
      else assert.deepStrictEqual(standing, [was.path, 0, 0])
    }

    const living = Application.processes(app, after, pids)
    assert.sameMembers([...living.keys()], [...processes.keys()])
    for (const [at, identity] of processes) {
      if (promise.victims.includes(at)) assert.notDeepEqual(living.get(at), identity, `${at} is still the same process`)
      else assert.deepStrictEqual(living.get(at), identity, `${at} is another process`)
    }
    const strays = yield* Application.strays(app, living).pipe(
      Effect.repeat({ until: (left) => left.length === 0, schedule: Schedule.spaced(10), times: 300 })
    )
    assert.deepStrictEqual(strays, [], "processes that stand for no child")

    for (const call of ended) {
      assert.include(Load.allowed(call, promise.victims), call.outcome, JSON.stringify(call))
      if (!call.idempotent) assert.strictEqual(call.executed, Load.executions(call), JSON.stringify(call))
    }
    clean = true
    return { living, sample: Record.sample({ means, promise, decision, noticedMillis, recoveredMillis, ended }) }
  }
)

/** What came back works with the workers that it has found: one that is killed now is replaced, registered and told. */
const replace = Effect.fnUntraced(function*(path: string, turn: number) {
  const pool = Telling.placeOf(path).pool ?? Application.pools[turn % Application.pools.length]!
  const worker = `snakepit/pools/${pool}/fleet/${Application.slots[turn % Application.slots.length]!}/process`
  const { living } = yield* kill(worker, "no load")
  const { pid, startTicks } = living.get(worker)!
  assert.isTrue(
    app.journal().some((started) => started.pid === pid && started.startTicks === startTicks),
    `the run's journal has no entry of process ${pid}`
  )
  const logged = app.log.recent("snakepit.process.start").pipe(
    Effect.map((events) => events.find(({ attributes }) => attributes["pid"] === pid)),
    Effect.repeat({ until: (event) => event !== undefined, schedule: Schedule.spaced(5) }),
    Effect.timeout("5 seconds")
  )
  assert.strictEqual((yield* logged)!.attributes["start"], "fork")
})

describe("a child that is killed goes down with whom its contract names, and comes back", () => {
  it.live.each([...cases].map(([path, paths], turn) => ({ path, paths, turn })))(
    "$path",
    ({ path, paths, turn }) =>
      Effect.gen(function*() {
        const at = concrete(paths, turn)
        const ofOneSlot = Telling.placeOf(at).slot !== undefined
        const one = yield* kill(at, "nap")
        const samples: [Record.Sample, ...Array<Record.Sample>] = [one.sample]
        if (adopts(paths[0]!)) yield* replace(at, turn)
        while (samples.length < Math.max(Record.repetitions, ofOneSlot ? 2 : 1)) {
          samples.push((yield* kill(at, ofOneSlot && samples.length % 2 === 1 ? "note" : "nap")).sample)
        }
        const row = Record.row(path, samples)
        // each slot has had either call once, so the harm must have met both
        if (/\/(process|<key>)$/.test(path)) assert.notDeepEqual(row.once, ["completed"], "no call was lost: there was no load")
        rows.push(row)
      }),
    60_000 * Record.repetitions
  )
})

describe("workers are adopted", () => {
  it("by everything in Foundation, telemetry, bridge and the control of their pool, which has been tried above", () => {
    const adopting = [...cases].filter(([, paths]) => adopts(paths[0]!)).map(([path]) => path.slice(path.lastIndexOf("/") + 1))
    assert.sameMembers(adopting, [
      "dispatcher",
      "launcher",
      "forkserver",
      "worker_starter",
      "lifecycle",
      "spares",
      "sampler",
      "control",
      "config_server",
      "process_registry",
      "session_store",
      "foundation",
      "event_log",
      "history",
      "event_feed",
      "metrics_endpoint",
      "otlp_traces",
      "otlp_logs",
      "otlp_metrics",
      "telemetry",
      "gateway",
      "ingest",
      "bridge"
    ])
  })
})
