/** What an incident is made of: from the real engine's decisions, and from records as workers leave them. */
import { assert, describe, it } from "@effect/vitest"
import { type Event, Simulation } from "@snakepit/core"
import { TreePlan } from "@snakepit/core/testing"
import { Incident, IncidentPage, Ink } from "@snakepit/telemetry"
import { began, events as drawn } from "./Drawn.ts"

const child = { restart: "permanent", significant: false, shutdown: 5000, startMillis: 0, stopMillis: 0 } as const
const limit = (maxRestarts: number) => ({ maxRestarts, withinMillis: 60_000 })
const supervisor = { autoShutdown: "never", delay: 100, restart: "permanent", shutdown: "infinity" } as const

/** A pool with a worker below an application; the worker's supervisor allows no restart. */
const plan: TreePlan.SupervisorPlan = {
  ...supervisor,
  id: "app",
  strategy: "one_for_one",
  limit: limit(1),
  children: [{
    ...supervisor,
    id: "worker",
    strategy: "rest_for_one",
    limit: limit(0),
    children: [{ id: "process", ...child }, { id: "channel", ...child }]
  }]
}

const crash = Simulation.Line.Exit({ path: "app/worker/process", how: "failed" })

const told = (script: ReadonlyArray<Simulation.Line>): ReadonlyArray<Event.Event> =>
  Simulation.simulate(TreePlan.make(plan), script).entries.flatMap((entry) => entry._tag === "Event" ? [entry.event] : [])

describe("an incident", () => {
  it("is the chain of decisions from the first exit up, and is over when the last of them has what it restarted", () => {
    const events = told([crash, Simulation.Line.Wait({ millis: 1000 })])
    const [id, ...others] = Incident.ids(events)
    assert.isEmpty(others)
    const incident = Incident.gather(events, id!)!
    assert.deepInclude(incident, { path: "app/worker/process", outcome: "recovered", recoveredAfterMillis: 100 })
    assert.deepStrictEqual(incident.decisions.filter(({ child }) => child !== "").map(({ by, child, verb }) => [by, verb, child]), [
      ["app/worker", "give_up", "process"],
      ["app", "restart", "worker"],
      ["app", "recover", "worker"]
    ])
  })

  it("is open while a restart waits, and given up when nobody above restarts any more", () => {
    const open = told([crash])
    assert.strictEqual(Incident.gather(open, Incident.ids(open)[0]!)!.outcome, "open")
    const over = told([crash, Simulation.Line.Wait({ millis: 1000 }), crash])
    const [, second] = Incident.ids(over)
    assert.strictEqual(Incident.gather(over, second!)!.outcome, "gave up")
    assert.isUndefined(Incident.gather(over, "another"))
  })

  it("takes in what the worker showed since it was last well, and not what was before", () => {
    const verdict = (at: number, verdict: string): Event.Event => ({
      name: "snakepit.watchdog.verdict",
      at: began + at,
      measurements: { missed: 1 },
      attributes: { pool: "default", slot: 1, generation: 0, verdict, was: "alive" }
    })
    const before = [verdict(10_000, "busy"), verdict(10_500, "alive"), verdict(12_900, "hung")]
    const incident = Incident.gather([...before, ...drawn], "1-0")!
    assert.deepStrictEqual(incident.steps.map(({ at, event, lane }) => [at - began, lane, event.name]), [
      [12_900, "worker", "snakepit.watchdog.verdict"],
      [13_000, "worker", "snakepit.process.exit"],
      [13_001, "worker", "snakepit.worker.detach"],
      [13_002, "worker supervisor", "snakepit.worker_supervisor.restart"]
    ])
    assert.deepInclude(incident, { at: began + 13_000, pool: "default", slot: 1, generation: 0, cause: "a segmentation fault (SIGSEGV)" })
    assert.deepInclude(incident.evidence, { exitClass: "Segfault", endedBy: "itself", pid: 4712 })
  })

  it("is drawn within any width, with a lane for each who acted", () => {
    const incident = Incident.gather(drawn, "1-0")!
    for (const columns of [60, 80, 100, 200]) {
      for (const line of IncidentPage.render(incident, columns)) {
        assert.strictEqual(Ink.width(line.map(({ text }) => text).join("")), columns)
      }
    }
    const page = IncidentPage.render(incident, 100).map(Ink.toPlain)
    assert.match(page[0]!, /^incident 1-0 {2}2026-01-02 03:04:18\.000 UTC {2}default\/1 generation 0 {2}not over when the record ends$/)
    assert.include(page, "      ms  worker supervisor")
    assert.isTrue(page.some((line) => /^ {6}\+0 {2}● +process\.exit {2}default\/1 {2}the cause, pid 4712/.test(line)), page.join("\n"))
    assert.include(page, "no call was touched")
  })
})
