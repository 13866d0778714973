import { assert, describe, it } from "@effect/vitest"
import {
  Child,
  Contract,
  DynamicSupervisor,
  GiveUpAt,
  Preview,
  RestartPolicy,
  Semantics,
  Simulation,
  Supervisor,
  SupervisorEvent,
  Tree,
  Why
} from "@snakepit/core"
import { Effect, Schedule, Schema } from "effect"

const { Line } = Simulation

const small = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
const RestartTypes = Schema.Literals(["permanent", "permanent", "transient", "temporary"])

/** One supervisor of a line of them, and its children that do not crash. */
const Level = Schema.Struct({
  strategy: Schema.Literals(["one_for_one", "one_for_all", "rest_for_one", "dynamic"]),
  maxRestarts: small(6), // 6: unlimited
  within: Schema.Literals([100, 1000, 2000, 5000, 60_000]),
  delay: small(6),
  semantics: small(4),
  restart: RestartTypes,
  autoShutdown: Schema.Literals(["never", "never", "any", "all"]),
  before: Schema.Array(RestartTypes).check(Schema.isMaxLength(1)),
  after: Schema.Array(RestartTypes).check(Schema.isMaxLength(1))
})

/** From the root down, to a leaf. */
const Tower = Schema.Struct({
  levels: Schema.NonEmptyArray(Level).check(Schema.isMaxLength(4)),
  leaf: Schema.Struct({ restart: RestartTypes, significant: Schema.Boolean })
})
type Tower = typeof Tower.Type

const delays: ReadonlyArray<Schedule.Schedule<unknown, RestartPolicy.ChildExit>> = [
  Schedule.spaced(0),
  Schedule.spaced("20 millis"),
  Schedule.exponential("10 millis"),
  Schedule.exponential("10 millis", 1.5),
  Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("1 second")]),
  Schedule.spaced(0).pipe(Schedule.upTo({ times: 2 })),
  RestartPolicy.defaultDelay
]

const semantics: ReadonlyArray<Semantics.Semantics | undefined> = [
  undefined,
  Semantics.otp,
  Semantics.production,
  { ...Semantics.otp, delay: "policy" },
  { ...Semantics.production, window: "whole seconds", giveUp: "shutdown" }
]

const events = SupervisorEvent.of("app_supervisor", "root")
const never = Effect.succeed(Effect.never)

const quiet = (id: string, restart: Child.Options["restart"], significant = false): Child.Any =>
  Child.makeUnchecked(id, { start: never, restart, significant: significant && restart !== "permanent" }, undefined)

const commonOf = (level: typeof Level.Type) => {
  const isUnlimited = level.maxRestarts === 6 // never without a delay: virtual time would not pass
  return {
    plane: "control",
    because: "it is generated",
    limitBecause: "it is generated",
    events,
    restartType: level.restart,
    semantics: isUnlimited ? Semantics.production : semantics[level.semantics],
    restart: RestartPolicy.make({
      intensity: isUnlimited ? "unlimited" : { maxRestarts: level.maxRestarts, within: level.within },
      delay: delays[isUnlimited ? 1 : level.delay]
    }),
    autoShutdown: level.autoShutdown,
    strategy: level.strategy === "dynamic" ? "one_for_one" : level.strategy
  } as const
}

const supervisorOf = (level: typeof Level.Type, id: string, child: (key: string) => Child.Any): Supervisor.Any => {
  const common = commonOf(level)
  const placed = (key: string): Child.Any => {
    const made = child(key)
    return { ...made, significant: made.significant && level.strategy !== "dynamic" && level.autoShutdown !== "never" }
  }
  if (level.strategy === "dynamic") {
    const { autoShutdown: _, strategy: __, ...flags } = common
    const options: DynamicSupervisor.Options = { ...flags, child: placed, initial: Effect.succeed(["<key>"]) }
    return DynamicSupervisor.make<string, any>(id, options)
  }
  return Supervisor.make<string, any>(id, {
    ...common,
    children: [
      ...level.before.map((restart, index) => quiet(`before${index}`, restart)),
      placed("next"),
      ...level.after.map((restart, index) => quiet(`after${index}`, restart))
    ]
  })
}

const build = ({ leaf, levels }: Tower): Supervisor.Any => {
  const [root, ...others] = levels
  const below = others.reduceRight<(id: string) => Child.Any>(
    (child, level) => (id) => supervisorOf(level, id, child),
    (id) => quiet(id, leaf.restart, leaf.significant)
  )
  return supervisorOf(root, "app", below)
}

const flatten = ({ children }: Preview.Preview): ReadonlyArray<Preview.ChildPreview> =>
  children.flatMap((child) => child.supervisor === undefined ? [child] : [child, ...flatten(child.supervisor)])

/** Lets the leaf die at once, whenever it is up, until the tree ends or comes to rest; stops after `most` of its lives. */
const crash = (tree: Supervisor.Any, path: string, most: number, each: (entries: ReadonlyArray<Simulation.Entry>) => void = () => {}) => {
  const simulated = Simulation.make(tree)
  simulated.boot()
  let read = simulated.entries.length
  let starts = 1
  while (simulated.outcome._tag === "Running" && starts < most) {
    simulated.play(Line.Exit({ path, how: "failed" }))
    const news = simulated.entries.slice(read)
    read = simulated.entries.length
    each(news)
    const ups = news.filter((entry) => entry._tag === "Child" && entry.path === path && entry.moment === "up").length
    starts += ups
    if (ups > 0 || simulated.outcome._tag !== "Running") continue
    if (simulated.nextTimer === undefined) break
    simulated.play(Line.Wait({ millis: simulated.nextTimer - simulated.now }))
    const woken = simulated.entries.slice(read)
    read = simulated.entries.length
    each(woken)
    starts += woken.filter((entry) => entry._tag === "Child" && entry.path === path && entry.moment === "up").length
  }
  const end = { outcome: simulated.outcome._tag, starts, millis: simulated.endedAt }
  simulated.discard()
  return end
}

/** The leaf at the bottom of the tower. */
const leafOf = (preview: Preview.Preview): Preview.ChildPreview => {
  const next = preview.children.find(({ id }) => id === "next" || id === "<key>")!
  return next.supervisor === undefined ? next : leafOf(next.supervisor)
}

type Told = Extract<Simulation.Entry, { _tag: "Event" }>["event"]

/** The supervisor itself ends: it gave up, or shut itself down. */
const isEnd = ({ attributes, name }: Told): boolean =>
  name.endsWith(".give_up") || (name.endsWith(".terminate") && attributes["child"] === undefined)

const pathOf = ({ attributes }: Told): string => String(attributes["path"])

/** `FORESIGHT=10` runs ten times as many, in a minute or two. */
const runs = (usual: number) => ({ arbitrary: { runs: usual * Number(process.env["FORESIGHT"] ?? 1), size: 30 } })

describe("a preview", () => {
  for (const depth of [1, 2, 3, 4]) {
    it(`foretells (m + 1)^${depth} starts under ${depth} equal limits`, () => {
      for (const m of [0, 1, 2, 3, 4, 5]) {
        const level = {
          strategy: "one_for_one",
          maxRestarts: m,
          within: 60_000,
          delay: 0,
          semantics: 0,
          restart: "permanent",
          autoShutdown: "never",
          before: [],
          after: []
        } as const
        const [first, ...others] = Array.from({ length: depth }, () => level)
        const tree = build({ levels: [first!, ...others], leaf: { restart: "permanent", significant: false } })
        const { crashLoop, path } = leafOf(Preview.of(tree))
        assert.strictEqual(crashLoop!.starts, (m + 1) ** depth)
        assert.strictEqual(crash(tree, path, Infinity).starts, (m + 1) ** depth)
      }
    })
  }

  it.prop("foretells the starts, the time and the ending of a crash loop", { tower: Tower }, ({ tower }) => {
    const tree = build(tower)
    const { crashLoop, path } = leafOf(Preview.of(tree))
    const { earliest, ending, latest, starts } = crashLoop!
    assert.strictEqual(earliest, latest)
    const actual = crash(tree, path, Number.isFinite(starts) ? starts + 1 : 300)
    if (ending._tag === "Never") return assert.strictEqual(actual.outcome, "Running")
    const outcome = { GivesUp: "Failed", ShutsDown: "Stopped", StaysDown: "Running", Unknown: "" }[ending._tag]
    assert.deepStrictEqual(actual, { outcome, starts, millis: earliest })
  }, runs(100))

  it.prop("names everyone who loses a process", { tower: Tower }, ({ tower }) => {
    const tree = build(tower)
    const preview = Preview.of(tree)
    const victims = new Map(flatten(preview).map((child) => [child.path, child.victims]))
    const everything = [preview.path, ...victims.keys()]
    const { path } = leafOf(preview)
    let gaveUp: ReadonlyArray<string> = []
    crash(tree, path, 100, (entries) => {
      // a supervisor that gave up is restarted in a later step when its parent waits for a delay
      gaveUp = [...gaveUp, ...entries.flatMap((entry) => entry._tag === "Event" && isEnd(entry.event) ? [pathOf(entry.event)] : [])]
      const allowed = new Set([path, ...gaveUp].flatMap((ended) => victims.get(ended) ?? everything))
      const lost = entries.flatMap((entry) => entry._tag === "Child" && entry.moment === "down" ? [entry.path] : [])
      for (const victim of lost) assert.isTrue(allowed.has(victim), `${victim} was not foretold`)
      if (lost.length > 0) gaveUp = []
    })
  }, runs(60))

  it.prop("names nobody too much when a child is restarted", { tower: Tower }, ({ tower }) => {
    const tree = build(tower)
    const preview = Preview.of(tree)
    for (const child of flatten(preview)) {
      if (child.crashLoop === undefined || (child.path === leafOf(preview).path && tower.leaf.significant)) continue // its clean end takes more along
      const simulated = Simulation.make(tree)
      simulated.boot()
      simulated.entries.length = 0
      simulated.play(Line.Exit({ path: child.path, how: "failed" }))
      const isRestarted = simulated.entries.some((entry) => entry._tag === "Event" && entry.event.name.endsWith(".restart"))
      const isAlone = !simulated.entries.some((entry) => entry._tag === "Event" && isEnd(entry.event))
      const lost = simulated.entries.flatMap((entry) => entry._tag === "Child" && entry.moment === "down" ? [entry.path] : [])
      if (isRestarted && isAlone) assert.sameMembers(lost, [...child.victims])
      simulated.discard()
    }
  }, runs(60))
})

/** A supervisor over up to four leaves, what happens to them, and a delay that may be random. */
const Scene = Schema.Struct({
  level: Level,
  children: Schema.NonEmptyArray(RestartTypes).check(Schema.isMaxLength(4)),
  script: Schema.Array(Schema.Struct({
    what: Schema.Literals(["fail", "fail", "end", "failChild", "terminate", "restart", "failStarts", "wait", "wait"]),
    child: small(3),
    amount: small(200)
  })).check(Schema.isMaxLength(14))
})
type Scene = typeof Scene.Type

const sceneOf = ({ children, level }: Scene): Supervisor.Any =>
  Supervisor.make<string, any>("app", { ...commonOf(level), children: children.map((restart, index) => quiet(`c${index}`, restart)) })

const lineOf = ({ amount, child, what }: Scene["script"][number]): Simulation.Line => {
  const path = `app/c${child}`
  switch (what) {
    case "fail":
      return Line.Exit({ path, how: "failed" })
    case "end":
      return Line.Exit({ path, how: "normal" })
    case "failChild":
      return Line.FailChild({ path })
    case "terminate":
      return Line.TerminateChild({ path })
    case "restart":
      return Line.RestartChild({ path })
    case "failStarts":
      return Line.FailStarts({ path, times: amount % 3, how: "fail" })
    case "wait":
      return Line.Wait({ millis: amount })
  }
}

/** Plays on until the tree ends, or is at rest, or has woken so many times. */
const playOn = (simulated: Simulation.SimulatedTree, wakes: number) => {
  for (let woken = 0; woken < wakes && simulated.outcome._tag === "Running" && simulated.nextTimer !== undefined; woken++) {
    simulated.play(Line.Wait({ millis: simulated.nextTimer - simulated.now }))
  }
}

describe("giveUpAt", () => {
  it.prop("foretells the millisecond, in every state", { scene: Scene }, ({ scene }) => {
    const simulated = Simulation.make(sceneOf(scene))
    simulated.boot()
    for (const line of scene.script) simulated.play(lineOf(line))
    const app = simulated.supervisor("app")
    if (app === undefined) return
    const answer = app.giveUpAt("app")!
    const isAtRest = app.state.recoveries === 0
    for (const index of scene.children.keys()) simulated.play(Line.FailStarts({ path: `app/c${index}`, times: 1e9, how: "fail" }))
    if (isAtRest) {
      const crashing = answer._tag === "GivesUp"
        ? answer.crash
        : [...app.state.children.values()].find(({ facts, status }) => status._tag === "Running" && facts.restart !== "temporary")?.id
      if (crashing === undefined) return assert.deepStrictEqual(answer, GiveUpAt.GiveUpAt.Never({ because: "nothing is restarted" }))
      simulated.play(Line.Exit({ path: `app/${crashing}`, how: "failed" }))
    }
    playOn(simulated, 100)
    const end = { outcome: simulated.outcome._tag, millis: simulated.endedAt }
    simulated.discard()
    if (answer._tag === "Never") return assert.strictEqual(end.outcome, "Running")
    assert.strictEqual(answer._tag, "GivesUp")
    if (answer._tag !== "GivesUp") return
    assert.strictEqual(answer.earliest, answer.latest)
    assert.deepStrictEqual(end, { outcome: "Failed", millis: answer.earliest })
  }, runs(400))
})

/** A tower, and harm to anything in it. */
const Harm = Schema.Struct({
  tower: Tower,
  script: Schema.Array(Schema.Struct({
    what: Schema.Literals([
      "fail",
      "fail",
      "end",
      "failChild",
      "terminate",
      "restart",
      "failStarts",
      "ignoreStarts",
      "startTakes",
      "stopTakes",
      "wait",
      "wait",
      "shutdown"
    ]),
    target: small(11),
    amount: small(120)
  })).check(Schema.isMaxLength(16))
})

const harmOf = (paths: ReadonlyArray<string>, { amount, target, what }: (typeof Harm.Type)["script"][number]): Simulation.Line => {
  const path = paths[target % paths.length]!
  switch (what) {
    case "ignoreStarts":
      return Line.FailStarts({ path, times: 1, how: "ignore" })
    case "startTakes":
      return Line.StartTakes({ path, millis: amount })
    case "stopTakes":
      return Line.StopTakes({ path, millis: amount })
    case "failStarts":
      return Line.FailStarts({ path, times: amount % 4, how: "fail" })
    case "shutdown":
      return amount > 100 ? Line.Shutdown() : Line.Wait({ millis: amount })
    case "fail":
    case "end":
      return Line.Exit({ path, how: what === "fail" ? "failed" : "normal" })
    case "failChild":
      return Line.FailChild({ path })
    case "terminate":
      return Line.TerminateChild({ path })
    case "restart":
      return Line.RestartChild({ path })
    case "wait":
      return Line.Wait({ millis: amount })
  }
}

/** What a chain may begin with, by the status that the tree shows. */
const firstLinks: { readonly [Status in Tree.NodeStatus]: ReadonlyArray<Why.Link["_tag"]> } = {
  starting: ["Starting"],
  running: ["Exited"], // its end waits to be looked at
  waiting: ["Exited", "Victim"],
  stopping: ["Exited", "Victim", "Stopping", "SupervisorEnded"],
  down: ["Down", "Queued", "SupervisorEnded"]
}

const blaming: ReadonlySet<Why.Link["_tag"]> = new Set(["ParentDown", "Victim", "Queued"])

const parentOf = (path: string) => path.slice(0, path.lastIndexOf("/"))

const checkWhy = (root: Why.Node & { readonly snapshot: () => Tree.SupervisorNode }, path: string) => {
  const nodes = new Map(Tree.flatten(root.snapshot()).map((node) => [node.path, node]))
  const node = nodes.get(path)
  const why = Why.of(root, path)
  if (why === "unknown") {
    let above = parentOf(path)
    while (!nodes.has(above) && above !== root.path) above = parentOf(above)
    return assert.isTrue(node === undefined && (above === root.path || nodes.get(above)!.supervisor !== undefined), `${path} is known`)
  }
  if (why === "running") return assert.strictEqual(node?.status, "running")
  const [first, ...others] = why
  if (node === undefined) {
    assert.deepStrictEqual(first, Why.Link.ParentDown({ path }))
    assert.isFalse(others[0]!.path.startsWith(`${path}/`))
  } else {
    assert.include(firstLinks[node.status], first._tag)
    assert.strictEqual(first.path, first._tag === "SupervisorEnded" ? parentOf(path) : path)
    if (first._tag === "Down") assert.strictEqual(node.because, first.because)
  }
  for (const [index, link] of why.entries()) {
    const isLast = index === why.length - 1
    assert.strictEqual(blaming.has(link._tag), !isLast, Why.render(why))
    if (link._tag === "Victim" || link._tag === "Queued") assert.strictEqual(parentOf(why[index + 1]!.path), parentOf(link.path))
    if (link._tag === "Exited" && link.until !== undefined) assert.include(["waiting", "stopping"], nodes.get(link.path)?.status)
  }
}

describe("why", () => {
  it.prop("gives each child that is not running one chain, which ends where it began", { harm: Harm }, ({ harm }) => {
    const tree = build(harm.tower)
    const paths = Contract.flatten(tree.contract).flatMap(({ contract, path }) => contract.children.map(({ id }) => `${path}/${id}`))
    const simulated = Simulation.make(tree)
    simulated.boot()
    const root = simulated.supervisor("app")!
    for (const line of harm.script) {
      simulated.play(harmOf(paths, line))
      for (const path of paths) checkWhy(root, path)
    }
    for (const path of ["app", ...paths]) {
      if (simulated.supervisor(path) !== undefined) assert.isDefined(root.giveUpAt(path), `${path} is up`)
    }
    simulated.discard()
    for (const path of paths) checkWhy(root, path)
  }, runs(200))
})
