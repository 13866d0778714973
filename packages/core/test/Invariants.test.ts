import { assert, describe, it } from "@effect/vitest"
import { Simulation } from "@snakepit/core"
import { Invariants, TreePlan } from "@snakepit/core/testing"

type Entry = Simulation.Entry
type Timeline = Simulation.Timeline

const { Line } = Simulation
const child = (id: string, facts: Partial<TreePlan.ChildPlan> = {}): TreePlan.ChildPlan => ({
  id,
  restart: "permanent",
  significant: false,
  shutdown: 5000,
  startMillis: 0,
  stopMillis: 0,
  ...facts
})
const plan = (facts: Partial<TreePlan.StaticPlan> = {}): TreePlan.StaticPlan => ({
  id: "app",
  strategy: "rest_for_one",
  autoShutdown: "never",
  limit: { maxRestarts: 1, withinMillis: 1000 },
  delay: 100,
  restart: "permanent",
  shutdown: "infinity",
  children: [child("a"), child("b"), child("c")],
  ...facts
})
const nested = (inner: Partial<TreePlan.StaticPlan> = {}): TreePlan.StaticPlan =>
  plan({ strategy: "one_for_one", children: [plan({ id: "data", ...inner }), child("web")] })

const fails = Line.Exit({ path: "app/b", how: "failed" })
const wait = Line.Wait({ millis: 500 })
const end = Line.Shutdown()

const play = (tree: TreePlan.SupervisorPlan, ...script: ReadonlyArray<TreePlan.Line>): Timeline => TreePlan.simulate({ tree, script })
const check = (tree: TreePlan.SupervisorPlan, timeline: Timeline) => Invariants.check(TreePlan.make(tree), timeline)

/** The timeline without the entries so described, or with others in their place. */
const edit = (timeline: Timeline, change: (entry: Entry, index: number) => Entry | ReadonlyArray<Entry>): Timeline => ({
  ...timeline,
  entries: timeline.entries.flatMap(change)
})
const without = (timeline: Timeline, is: (entry: Entry) => boolean): Timeline => edit(timeline, (entry) => is(entry) ? [] : entry)
const twice = (timeline: Timeline, is: (entry: Entry) => boolean): Timeline => edit(timeline, (entry) => is(entry) ? [entry, entry] : entry)

type Step = Extract<Entry, { _tag: "Step" }>
const steps = (timeline: Timeline, change: (step: Step) => Partial<Step>): Timeline =>
  edit(timeline, (entry) => entry._tag === "Step" ? { ...entry, ...change(entry) } : entry)
const commands = (timeline: Timeline, change: (command: Step["commands"][number], step: Step) => Step["commands"]): Timeline =>
  steps(timeline, (step) => ({ commands: step.commands.flatMap((command) => change(command, step)) }))

const isEvent = (verb: string) => (entry: Entry): boolean => entry._tag === "Event" && entry.event.name.endsWith(`.${verb}`)
const isMoment = (path: string, moment: Simulation.Moment) => (entry: Entry): boolean =>
  entry._tag === "Child" && entry.path === path && entry.moment === moment
const told = (timeline: Timeline, verb: string, facts: { readonly [fact: string]: string | number }): Timeline =>
  edit(timeline, (entry) => {
    if (entry._tag !== "Event" || !isEvent(verb)(entry)) return entry
    const { attributes, measurements } = entry.event
    const changed = Object.fromEntries(Object.entries(facts).filter(([fact]) => fact in measurements)) as { [fact: string]: number }
    return { ...entry, event: { ...entry.event, measurements: { ...measurements, ...changed }, attributes: { ...attributes, ...facts } } }
  })

const dynamic = (maxChildren: number): TreePlan.DynamicPlan => ({
  id: "app",
  limit: "unlimited",
  delay: 0,
  restart: "permanent",
  shutdown: "infinity",
  template: child("child"),
  initial: ["k0"],
  maxChildren
})
const stubborn = plan({
  strategy: "one_for_one",
  children: [plan({ id: "data", shutdown: 60, children: [child("db", { stopMillis: 500 })] })]
})

const crash = play(plan(), fails, wait, end)
const significant = (autoShutdown: TreePlan.StaticPlan["autoShutdown"]) =>
  plan({ autoShutdown, children: [child("a"), child("b", { restart: "transient", significant: autoShutdown !== "never" })] })
const leaves = Line.Exit({ path: "app/b", how: "normal" })
const terminate = Line.TerminateChild({ path: "app/b" })
const restart = Line.RestartChild({ path: "app/b" })

/** Each fault planted into the timeline of a run that kept every law, and the rule that must find it. */
const faults: ReadonlyArray<readonly [Invariants.Rule, string, TreePlan.SupervisorPlan, Timeline]> = [
  ["isolation", "a sibling outside the victims goes down", plan({ strategy: "one_for_one" }), crash],
  ["isolation", "a victim stays up", plan({ strategy: "one_for_all" }), crash],
  [
    "isolation",
    "a sibling of the supervisor that restarts goes down",
    nested(),
    commands(
      play(nested(), Line.Exit({ path: "app/data/b", how: "failed" })),
      (command, { path }) =>
        command._tag === "AskDelay" && path === "app/data" ? [command, { _tag: "Stop", id: "a", generation: 0 }] : [command]
    )
  ],
  [
    "isolation",
    "a supervisor stops that nobody stopped",
    nested(),
    commands(play(nested(), end), (command) => command._tag === "Stop" && command.id === "data" ? [] : [command])
  ],
  [
    "isolation",
    "a life that nobody commanded",
    plan(),
    commands(crash, (command) => command._tag === "Start" && command.id === "c" ? [] : [command])
  ],
  [
    "order",
    "the boot starts the second first",
    plan({ children: [child("b"), child("a"), child("c")] }),
    play(plan())
  ],
  [
    "order",
    "a start before the one before has acknowledged",
    plan(),
    commands(play(plan()), (command) => command._tag === "Start" && command.id === "a" ? [command, { ...command, id: "b" }] : [command])
  ],
  ["order", "a group comes back in another order", plan({ children: [child("a"), child("c"), child("b")] }), crash],
  [
    "order",
    "the stop begins in front",
    plan(),
    commands(play(plan(), end), (command) => command._tag === "Stop" && command.id === "c" ? [{ ...command, id: "a" }] : [command])
  ],
  ["budget", "one restart too many", plan({ limit: { maxRestarts: 0, withinMillis: 1000 } }), crash],
  [
    "budget",
    "the window is a millisecond longer than the run believes",
    plan({ limit: { maxRestarts: 1, withinMillis: 501 } }),
    play(plan({ limit: { maxRestarts: 1, withinMillis: 500 } }), fails, wait, fails)
  ],
  ["budget", "giving up with a restart left", plan({ limit: { maxRestarts: 2, withinMillis: 1000 } }), play(plan(), fails, wait, fails)],
  [
    "budget",
    "giving up a millisecond after the budget is free again",
    plan({ limit: { maxRestarts: 1, withinMillis: 500 } }),
    play(plan({ limit: { maxRestarts: 1, withinMillis: 501 } }), fails, wait, fails)
  ],
  [
    "restart type",
    "a transient child is restarted after a normal end",
    plan({ children: [child("a"), child("b", { restart: "transient" })] }),
    play(plan({ children: [child("a"), child("b")] }), leaves, wait)
  ],
  [
    "restart type",
    "a temporary child is restarted",
    plan({ children: [child("a"), child("b", { restart: "temporary" }), child("c")] }),
    crash
  ],
  [
    "restart type",
    "an exit is reported as another",
    plan(),
    steps(crash, ({ event }) => event._tag === "ChildExited" ? { event: { ...event, reason: { _tag: "Normal" } } } : {})
  ],
  [
    "event",
    "a permanent child is left",
    plan(),
    play(plan({ children: [child("a"), child("b", { restart: "temporary" }), child("c")] }), fails)
  ],
  [
    "delay",
    "a restart before its delay is over",
    plan(),
    steps(crash, ({ event }) => event._tag === "DelayKnown" ? { event: { ...event, delayMillis: 101 } } : {})
  ],
  [
    "stranded",
    "a restart that never comes",
    plan(),
    { ...without(play(plan(), fails, wait), ({ at }) => at >= 100), tree: undefined, millis: 500 }
  ],
  [
    "stranded",
    "a restart that comes late",
    plan(),
    edit(play(plan(), fails, wait), (entry) => entry.at === 100 ? { ...entry, at: 101 } as Entry : entry)
  ],
  [
    "operator",
    "a terminated child comes back unasked",
    plan(),
    steps(play(plan(), terminate, restart), ({ event }) => event._tag === "RestartChild" ? { event: { _tag: "Settled" } } : {})
  ],
  [
    "operator",
    "a child is forgotten that nobody deleted",
    plan(),
    commands(crash, (command) => command._tag === "AskDelay" ? [command, { _tag: "Forget", id: "b" }] : [command])
  ],
  [
    "operator",
    "a temporary child is kept after its end",
    plan({ children: [child("a", { restart: "temporary" })] }),
    commands(
      play(plan({ children: [child("a", { restart: "temporary" })] }), Line.Exit({ path: "app/a", how: "failed" })),
      (command) => command._tag === "Forget" ? [] : [command]
    )
  ],
  [
    "operator",
    "a child beyond maxChildren",
    dynamic(1),
    play(dynamic(2), { _tag: "StartChild", path: "app/k1" })
  ],
  ["auto-shutdown", "it stops for a child that does not count", significant("never"), play(significant("any"), leaves)],
  ["auto-shutdown", "it goes on without its significant child", significant("all"), play(significant("never"), leaves)],
  [
    "double life",
    "two lives at once",
    plan(),
    commands(crash, (command) => command._tag === "Stop" && command.id === "c" ? [{ ...command, _tag: "Start", generation: 1 }] : [command])
  ],
  [
    "double life",
    "a generation is left out",
    plan(),
    commands(crash, (command) => command._tag === "Start" && command.generation === 1 ? [{ ...command, generation: 2 }] : [command])
  ],
  ["double life", "a child begins while the one before it is not down", plan(), without(crash, isMoment("app/b", "down"))],
  ["double life", "it is down and down again", plan(), twice(crash, isMoment("app/c", "down"))],
  ["leak", "a child outlives its tree", plan(), without(play(plan(), end), isMoment("app/a", "down"))],
  ["leak", "it is reported as down and is not", plan(), without(crash, isMoment("app/c", "down"))],
  [
    "leak",
    "a supervisor whose time is over goes on",
    stubborn,
    without(
      play(stubborn, Line.TerminateChild({ path: "app/data" }), Line.Wait({ millis: 100 })),
      (entry) => entry._tag === "Step" && entry.event._tag === "Kill"
    )
  ],
  [
    "leak",
    "the supervisor ends and a child is up",
    plan(),
    steps(play(plan(), end), ({ event }) => event._tag === "ChildStopped" ? { event: { _tag: "Settled" } } : {})
  ],
  ["event", "a decision without an event", plan(), without(crash, isEvent("restart"))],
  ["event", "a decision told twice", plan(), twice(crash, isEvent("recover"))],
  [
    "event",
    "a termination that is not told",
    plan(),
    without(
      commands(
        play(plan(), terminate),
        (command) => command._tag === "Tell" && command.decision._tag === "TerminateChild" ? [] : [command]
      ),
      isEvent("terminate")
    )
  ],
  ["event", "an event of another incident", plan(), told(crash, "restart", { incident: "other" })],
  ["event", "an event of another generation", plan(), told(crash, "restart", { generation: 7 })],
  ["event", "an event of another child", plan(), told(crash, "recover", { child: "a" })],
  ["event", "an event of another supervisor", plan(), told(crash, "restart", { path: "app/data" })],
  ["event", "an event with a wrong budget", plan(), told(crash, "restart", { budgetLeft: 1 })],
  [
    "event",
    "a wrong budget in decision and event alike",
    plan(),
    told(
      commands(crash, (command) =>
        command._tag === "Tell" && command.decision._tag === "Restart"
          ? [{ ...command, decision: { ...command.decision, budgetLeft: 5 } }]
          : [command]),
      "restart",
      { budgetLeft: 5 }
    )
  ],
  [
    "event",
    "an exit that nothing is decided about",
    plan(),
    without(
      commands(
        play(plan({ children: [child("b", { restart: "transient" })] }), leaves),
        (command) => command._tag === "Tell" && command.decision._tag === "Leave" ? [] : [command]
      ),
      isEvent("leave")
    )
  ],
  [
    "reply",
    "a supervisor that keeps a call to itself",
    plan(),
    commands(play(plan(), terminate), (command) => command._tag === "Reply" ? [] : [command])
  ],
  ["reply", "a call without an answer", plan(), without(play(plan(), terminate), ({ _tag }) => _tag === "Reply")],
  ["reply", "a call with two answers", plan(), twice(play(plan(), terminate), ({ _tag }) => _tag === "Reply")],
  ["record", "a snapshot of another moment", plan(), { ...play(plan(), fails, wait), tree: play(plan(), fails).tree }],
  ["record", "a timeline of another tree", { ...plan(), id: "other" }, crash]
]

describe("the checker of the laws", () => {
  it("finds nothing in runs that keep them", () => {
    const runs: ReadonlyArray<readonly [TreePlan.SupervisorPlan, ReadonlyArray<TreePlan.Line>]> = [
      [plan(), [fails, wait, end]],
      [plan(), [fails, wait, fails]],
      [nested(), [Line.FailStarts({ path: "app/data/b", times: 9, how: "fail" }), Line.Exit({ path: "app/data/b", how: "defect" }), wait]],
      [significant("any"), [leaves]],
      [significant("never"), [leaves, restart, terminate, restart, end]]
    ]
    for (const [tree, script] of runs) assert.deepStrictEqual(check(tree, play(tree, ...script)), [])
  })

  for (const [rule, what, tree, timeline] of faults) {
    it(`finds under "${rule}": ${what}`, () => {
      assert.include(check(tree, timeline).map((violation) => violation.rule), rule)
    })
  }

  it("knows who may outlive the tree: who was told as abandoned, and who is stopped brutally", () => {
    const stubborn = plan({ children: [child("a", { stopMillis: "forever" }), child("b", { stopMillis: "forever", shutdown: "brutal" })] })
    const timeline = play(stubborn, end, Line.Wait({ millis: 5000 }))
    assert.deepStrictEqual(check(stubborn, timeline), [])
    assert.strictEqual(timeline.outcome._tag, "Stopped")
    const silent = commands(
      without(timeline, isEvent("abandon")),
      (command) => command._tag === "Tell" && command.decision._tag === "Abandon" ? [] : [command]
    )
    assert.include(check(stubborn, silent).map(({ rule }) => rule), "leak")
  })

  it("says where and when", () => {
    const [first] = check(plan({ limit: { maxRestarts: 0, withinMillis: 1000 } }), play(plan(), wait, fails))
    assert.strictEqual(
      Invariants.describe(first!),
      "500 ms, budget: app/b is granted a restart, number 1 of 0 allowed within 1000 ms"
    )
  })
})
