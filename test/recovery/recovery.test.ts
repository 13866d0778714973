/**
 * Every child of the live tree, killed in turn under light load on real Python workers: who goes down, who restarts it, what is told in
 * which order and what callers see must be what its contract promises.
 *
 * The cases come from the contracts, one for each path; which pool and slot stands for a template takes turns. `SNAKEPIT_RECORD=<file>`
 * writes what was measured there.
 */
import { assert, describe, it } from "@effect/vitest"
import { type Event, Tree } from "@snakepit/core"
import { Order, Prediction } from "@snakepit/core/testing"
import { Effect, Schedule } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Contract, Snakepit } from "snakepit"
import { afterAll, beforeAll } from "vitest"
import * as Application from "./Application.ts"
import * as Harm from "./Harm.ts"
import * as Load from "./Load.ts"
import * as Record from "./Record.ts"
import * as Telling from "./Telling.ts"

const contract = await Effect.runPromise(Snakepit.contract(Application.options))
const cases = Contract.children(contract).toReversed() // the small ones first, the roots of all last
const folder = mkdtempSync(join(tmpdir(), "snakepit-load-"))
const rows: Array<Record.Row> = []

let app: Application.Application
let pids = new Map<string, number>()
const restart = Effect.gen(function*() {
  if (app !== undefined) yield* app.stop
  app = yield* Application.start
  pids = new Map()
})

beforeAll(() => Effect.runPromise(restart))
afterAll(async () => {
  await Effect.runPromise(app.stop)
  rmSync(folder, { recursive: true, force: true })
  Record.write(rows)
})

/** One that lives, for the template. */
const concrete = (path: string, turn: number): string => {
  const keys = [Application.pools[turn % Application.pools.length]!, Application.slots[turn % Application.slots.length]!]
  return path.replaceAll(Contract.templateKey, () => keys.shift()!)
}

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

const told = (from: number): ReadonlyArray<string> => app.events.slice(from).flatMap((event) => Telling.label(event) ?? [])

const kill = Effect.fnUntraced(function*(template: string, turn: number, first: "nap" | "note") {
  const path = concrete(template, turn)
  const above = path.slice(0, path.lastIndexOf("/"))
  const find = (tree: Tree.SupervisorNode, at: string): Tree.SupervisorNode | undefined =>
    tree.path === at ? tree : Tree.flatten(tree).find((child) => child.path === at)?.supervisor
  if (find(yield* app.snakepit.tree, above)!.budgetLeft < 1) yield* restart
  const before = yield* app.snakepit.tree
  assert.deepStrictEqual(Contract.compare(contract, before), [])
  const processes = Application.processes(app, before, pids)
  const { harm, how, means } = Harm.of(app, path, processes.get(path))
  const promise = Prediction.of(Contract.bind(contract, before), path, how)
  const expected = Telling.of(promise.steps, Application.slots)

  const end = yield* Load.begin(app, folder, `${path.replaceAll("/", ".")}-${first}`, first)
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

  const seen = told(from)
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
    if (call.idempotent) continue
    assert.strictEqual(call.executed, 1, "a call that is not idempotent runs once")
  }
  return Record.row({ template, means, promise, decision, noticedMillis, recoveredMillis, ended })
})

describe("a child that is killed goes down with whom its contract names, and comes back", () => {
  it.live.each(cases.map(({ path }, turn) => ({ path, turn })))("$path", ({ path, turn }) =>
    Effect.gen(function*() {
      const ofOneSlot = path.includes(`/fleet/${Contract.templateKey}`)
      const one = yield* kill(path, turn, "nap")
      const row = ofOneSlot ? Record.merge([one, yield* kill(path, turn, "note")]) : one
      // each slot has had either call once, so the harm must have met both
      if (/\/(process|channel|<key>)$/.test(path)) assert.notDeepEqual(row.once, ["completed"], "no call was lost: there was no load")
      rows.push(row)
    }))
})
