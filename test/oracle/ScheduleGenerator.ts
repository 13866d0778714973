/**
 * Schedules at random: the same seed and index give the same schedule on every machine. And smaller schedules from one that failed.
 */
import { supervisorsOf } from "./Schedule.ts"
import type {
  AutoShutdown,
  ChangeDynamic,
  ChangeStatic,
  DynamicSupervisor,
  Exit,
  FailStarts,
  Keep,
  Leaf,
  Node,
  Operation,
  Reason,
  Restart,
  Schedule,
  Shutdown,
  StaticSupervisor,
  Strategy,
  Supervisor
} from "./Schedule.ts"

export interface GeneratorOptions {
  /** Whether flags and specs are changed live. */
  readonly changes: boolean
}

/** Numbers from a seed: splitmix32 fills the state of sfc32. */
class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number, index: number) {
    let state = (seed ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0
    const next = (): number => {
      state = (state + 0x9e3779b9) >>> 0
      let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
      return (mixed ^ (mixed >>> 15)) >>> 0
    }
    this.#a = next()
    this.#b = next()
    this.#c = next()
    for (let warmUp = 0; warmUp < 12; warmUp++) this.#next()
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) >>> 0
    this.#counter = (this.#counter + 1) >>> 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) >>> 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) >>> 0
    return sum
  }

  /** From 0 to n - 1. */
  below(n: number): number {
    return Math.floor(this.#next() / 0x1_0000_0000 * n)
  }

  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  chance(percent: number): boolean {
    return this.below(100) < percent
  }

  pick<A>(values: ReadonlyArray<A>): A {
    return values[this.below(values.length)] as A
  }

  /** Each value as often as its weight says. */
  weighted<A>(values: ReadonlyArray<readonly [weight: number, value: A]>): A {
    let left = this.below(values.reduce((sum, [weight]) => sum + weight, 0))
    const found = values.find(([weight]) => (left -= weight) < 0) as readonly [number, A]
    return found[1]
  }
}

const maxDepth = 3
const maxNodes = 24
/** No generated id gets that far. */
const noChild = 255

const restarts: ReadonlyArray<readonly [number, Restart]> = [[4, "permanent"], [4, "transient"], [2, "temporary"]]
const strategies: ReadonlyArray<Strategy> = ["one_for_one", "one_for_all", "rest_for_one"]
const autoShutdowns: ReadonlyArray<readonly [number, AutoShutdown]> = [[6, "never"], [2, "any"], [3, "all"]]
const intensities: ReadonlyArray<readonly [number, number]> = [[1, 0], [2, 1], [3, 2], [4, 3], [5, 4], [7, 5]]
/** A root that is down ends the story: those of the root are chosen to live longer. */
const rootIntensities: ReadonlyArray<readonly [number, number]> = [[1, 0], [1, 1], [2, 2], [4, 3], [6, 4], [12, 5]]
const rootAutoShutdowns: ReadonlyArray<readonly [number, AutoShutdown]> = [[10, "never"], [1, "any"], [2, "all"]]
const reasons: ReadonlyArray<readonly [number, Reason]> = [[6, "crash"], [3, "normal"], [2, "shutdown"], [1, "shutdown_term"], [3, "kill"]]
const patiences: ReadonlyArray<number> = [0, 1, 100, 250, 500, 999, 1000, 1001, 1500, 2000, 5000]
const ticks: ReadonlyArray<number> = [50, 100, 250, 500, 999, 1000, 1001, 1500, 1999, 2000, 2001, 3000]

/** What is known of the tree while operations are thought up: not what is alive, only what was ever mentioned. */
interface Known {
  readonly supervisor: Supervisor
  /** Children of a static supervisor, keys of a dynamic one. */
  readonly children: Array<number>
  readonly leaves: Array<number>
  autoShutdown: AutoShutdown
}

class Generator {
  readonly #random: Random
  readonly #options: GeneratorOptions
  #lastId = 0
  #nodes = 0

  constructor(seed: number, index: number, options: GeneratorOptions) {
    this.#random = new Random(seed, index)
    this.#options = options
  }

  schedule(): Schedule {
    const random = this.#random
    const root = random.chance(12) ? this.#dynamic(false) : this.#static(1, false)
    const known = supervisorsOf(root).map((supervisor): Known => ({
      supervisor,
      children: supervisor.kind === "static" ? supervisor.children.map(({ id }) => id) : [],
      leaves: supervisor.kind === "static" ? supervisor.children.filter(({ kind }) => kind === "leaf").map(({ id }) => id) : [],
      autoShutdown: supervisor.kind === "static" ? supervisor.autoShutdown : "never"
    }))
    const before = random.chance(8) ? [this.#failStarts(known)] : []
    const length = random.between(10, 50)
    const operations: Array<Operation> = []
    while (operations.length < length) operations.push(...this.#operations(known))
    return { root, before, operations }
  }

  #id(): number {
    return ++this.#lastId
  }

  #facts(autoShutdown: AutoShutdown): { readonly id: number; readonly restart: Restart; readonly significant: boolean } {
    const restart = this.#random.weighted(restarts)
    const significant = autoShutdown !== "never" && restart !== "permanent" && this.#random.chance(50)
    return { id: this.#id(), restart, significant }
  }

  #leaf(autoShutdown: AutoShutdown): Leaf {
    const random = this.#random
    const facts = this.#facts(autoShutdown)
    const obeys = random.chance(75)
    const shutdown = random.weighted<Shutdown>([[2, "brutal"], [obeys ? 2 : 0, "infinity"], [5, random.pick(patiences)]])
    return { kind: "leaf", ...facts, shutdown, obeys }
  }

  #limits(of = intensities): { readonly intensity: number; readonly period: number } {
    return { intensity: this.#random.weighted(of), period: this.#random.between(1, 5) }
  }

  #supervisorFacts(autoShutdown: AutoShutdown) {
    const random = this.#random
    const shutdown: Shutdown = random.chance(85) ? "infinity" : random.chance(50) ? "brutal" : random.pick(patiences)
    return { ...this.#facts(autoShutdown), shutdown }
  }

  #dynamic(nested: AutoShutdown | false): DynamicSupervisor {
    const facts = nested === false ? this.#rootFacts() : this.#supervisorFacts(nested)
    const limits = this.#limits(nested === false ? rootIntensities : intensities)
    return { kind: "dynamic", ...facts, ...limits, template: this.#leaf("never") }
  }

  #static(depth: number, nested: AutoShutdown | false): StaticSupervisor {
    const random = this.#random
    const facts = nested === false ? this.#rootFacts() : this.#supervisorFacts(nested)
    const limits = this.#limits(nested === false ? rootIntensities : intensities)
    const autoShutdown = random.weighted(nested === false ? rootAutoShutdowns : autoShutdowns)
    const size = random.weighted([[1, 0], [2, 1], [4, 2], [5, 3], [4, 4], [3, 5]])
    const killable = facts.shutdown !== "infinity" // what stands below one that was killed stops by itself, beside its successor
    const children = Array.from({ length: size }, () => killable ? this.#leaf(autoShutdown) : this.#node(depth + 1, autoShutdown))
    return { kind: "static", ...facts, strategy: random.pick(strategies), autoShutdown, ...limits, children }
  }

  /** Of the root only its id and its own settings matter. */
  #rootFacts() {
    return { id: this.#id(), restart: "permanent", significant: false, shutdown: "infinity" } as const
  }

  #node(depth: number, autoShutdown: AutoShutdown): Node {
    this.#nodes++
    if (depth > maxDepth || this.#nodes > maxNodes || this.#random.chance(68)) return this.#leaf(autoShutdown)
    return this.#random.chance(30) ? this.#dynamic(autoShutdown) : this.#static(depth, autoShutdown)
  }

  /** Mostly one; sometimes several that make each other interesting. */
  #operations(known: ReadonlyArray<Known>): ReadonlyArray<Operation> {
    const random = this.#random
    const any = random.pick(known)
    const dynamics = known.filter(({ supervisor }) => supervisor.kind === "dynamic")
    const statics = known.filter(({ supervisor }) => supervisor.kind === "static")
    const populated = known.filter(({ leaves }) => leaves.length > 0)
    const where = (there: ReadonlyArray<Known>, weight: number, make: (of: Known) => ReadonlyArray<Operation>) =>
      [there.length > 0 ? weight : 0, () => make(random.pick(there))] as const
    const make = random.weighted<() => ReadonlyArray<Operation>>([
      [12, () => [{ op: "Tick", ms: random.pick(ticks) }]],
      [8, () => [this.#terminate(any, known)]],
      [9, () => [{ op: "Restart", ...this.#child(any, known) }]],
      [5, () => [{ op: "Delete", ...this.#child(any, known) }]],
      [6, () => [this.#failStarts(known)]],
      [this.#options.changes ? 4 : 0, () => [this.#change(any)]],
      where(populated, 28, ({ leaves }) => [{ op: "Exit", ...this.#exit(leaves) }]),
      where(populated, 8, (of) => [this.#together(of)]),
      where(populated, 6, (of) => [this.#failStarts([of]), { op: "Exit", ...this.#exit(of.leaves) }]),
      where(populated, 3, (of) => this.#callsInARestart(of, known)),
      where(statics, 6, (of) => [this.#start(of)]),
      where(dynamics, 12, (of) => [this.#startInstance(of)])
    ])
    return make()
  }

  #exit(leaves: ReadonlyArray<number>): Omit<Exit, "op"> {
    return { leaf: this.#random.pick(leaves), reason: this.#random.weighted(reasons) }
  }

  #together({ leaves, supervisor }: Known): Operation {
    const candidates = [...leaves]
    const exits = Array.from({ length: Math.min(candidates.length, this.#random.between(2, 4)) }, () => {
      const exit = this.#exit(candidates)
      candidates.splice(candidates.indexOf(exit.leaf), 1)
      return exit
    })
    return { op: "Together", sup: supervisor.id, exits }
  }

  /**
   * While one child's stop keeps the supervisor busy, another ends, which will not start again, and calls about that come: the supervisor
   * then answers them between two attempts.
   */
  #callsInARestart(of: Known, known: ReadonlyArray<Known>): ReadonlyArray<Operation> {
    const random = this.#random
    const sup = of.supervisor.id
    const child = random.pick(of.leaves)
    const scripted = of.supervisor.kind === "dynamic" ? of.supervisor.template.id : child
    const ops = ["Restart", "Delete", "Terminate"] as const
    return [
      { op: "Terminate", sup, child: random.pick(of.leaves) },
      { op: "FailStarts", id: scripted, times: random.between(1, 3), how: "error" },
      { op: "Exit", leaf: child, reason: "crash" },
      ...Array.from({ length: random.between(1, 3) }, () => ({ op: random.pick(ops), sup, child })),
      random.chance(30) ? this.#terminate(of, known) : { op: "Tick", ms: random.pick(ticks) }
    ]
  }

  /** Of a child that there is not where there is none at all: that does nothing. */
  #failStarts(known: ReadonlyArray<Known>): FailStarts {
    const random = this.#random
    const ids = known.flatMap(({ children, supervisor }) => supervisor.kind === "dynamic" ? [supervisor.template.id] : children)
    return {
      op: "FailStarts",
      id: ids.length > 0 ? random.pick(ids) : noChild,
      times: random.weighted([[4, 1], [3, 2], [2, 3], [1, 4]]),
      how: random.chance(75) ? "error" : "ignore"
    }
  }

  /** Mostly a child of that supervisor. */
  #child({ children, supervisor }: Known, known: ReadonlyArray<Known>): { readonly sup: number; readonly child: number } {
    const random = this.#random
    const own = supervisor.kind === "dynamic" || (children.length > 0 && random.chance(93)) // a stranger's process has no key
    const candidates = own ? children : known.flatMap(({ children }) => children)
    return { sup: supervisor.id, child: candidates.length > 0 ? random.pick(candidates) : noChild }
  }

  #terminate(of: Known, known: ReadonlyArray<Known>): Operation {
    const { child, sup } = this.#child(of, known)
    const byTemplate = of.supervisor.kind === "dynamic" && this.#random.chance(8)
    return { op: "Terminate", sup, child: byTemplate ? of.supervisor.template.id : child }
  }

  #start(of: Known): Operation {
    const child = this.#leaf(of.autoShutdown)
    if (of.leaves.length > 0 && this.#random.chance(30)) {
      return { op: "Start", sup: of.supervisor.id, child: { ...child, id: this.#random.pick(of.leaves) } }
    }
    of.children.push(child.id)
    of.leaves.push(child.id)
    return { op: "Start", sup: of.supervisor.id, child }
  }

  #startInstance(of: Known): Operation {
    const key = this.#id()
    of.children.push(key)
    of.leaves.push(key)
    return { op: "StartInstance", sup: of.supervisor.id, key }
  }

  /** Its process may be one that never obeys, which `infinity` would wait for in vain. */
  #changedLeaf(id: number, autoShutdown: AutoShutdown): Leaf {
    const leaf = this.#leaf(autoShutdown)
    return { ...leaf, id, shutdown: leaf.shutdown === "infinity" ? this.#random.pick(patiences) : leaf.shutdown }
  }

  #change(of: Known): ChangeStatic | ChangeDynamic {
    const random = this.#random
    const { supervisor } = of
    if (supervisor.kind === "dynamic") {
      const changed = this.#changedLeaf(supervisor.template.id, "never")
      const { restart } = supervisor.template
      const wasTemporary = restart === "temporary" // OTP keeps no arguments of temporary instances, so these could not be restarted
      const template = wasTemporary === (changed.restart === "temporary") ? changed : { ...changed, restart }
      return { op: "Change", sup: supervisor.id, ...this.#limits(), template }
    }
    of.autoShutdown = random.chance(60) ? of.autoShutdown : random.weighted(autoShutdowns)
    const listed = of.children.flatMap((id): ReadonlyArray<ChangeStatic["children"][number]> =>
      random.weighted([
        [14, [{ keep: id }]],
        [3, of.leaves.includes(id) ? [this.#changedLeaf(id, of.autoShutdown)] : [{ keep: id }]],
        [3, []]
      ])
    )
    const added = random.chance(30) ? [this.#leaf(of.autoShutdown)] : []
    of.children.push(...added.map(({ id }) => id))
    of.leaves.push(...added.map(({ id }) => id))
    return {
      op: "Change",
      sup: supervisor.id,
      strategy: random.chance(50) ? supervisor.strategy : random.pick(strategies),
      autoShutdown: of.autoShutdown,
      ...this.#limits(),
      children: random.chance(30) ? [...added, ...listed.toReversed()] : [...listed, ...added]
    }
  }
}

/** The schedule of that seed and index, both whole numbers below 2^32. */
export const generate = (seed: number, index: number, options: GeneratorOptions = { changes: true }): Schedule =>
  new Generator(seed, index, options).schedule()

/** The list without one stretch of it: long stretches first. */
function* without<A>(list: ReadonlyArray<A>): Iterable<ReadonlyArray<A>> {
  for (let size = list.length; size >= 1; size = Math.floor(size / 2)) {
    for (let start = 0; start < list.length; start += size) yield [...list.slice(0, start), ...list.slice(start + size)]
  }
}

/** The list with one element in a simpler form. */
function* withOne<A>(list: ReadonlyArray<A>, simpler: (element: A) => Iterable<A>): Iterable<ReadonlyArray<A>> {
  for (const [index, element] of list.entries()) {
    for (const simple of simpler(element)) yield list.with(index, simple)
  }
}

/** Those of the changes that do change something. */
function* changed<A extends object>(value: A, ...changes: ReadonlyArray<Partial<A>>): Iterable<A> {
  for (const change of changes) {
    if (Object.entries(change).some(([key, to]) => value[key as keyof A] !== to)) yield { ...value, ...change }
  }
}

/** Simplest first; a step only ever goes towards the front, so that shrinking ends. */
const simplestShutdowns: ReadonlyArray<Shutdown> = ["infinity", "brutal", 1000]

function* simplerLeaf(leaf: Leaf): Iterable<Leaf> {
  const rank = simplestShutdowns.indexOf(leaf.shutdown)
  const simpler = rank < 0 ? simplestShutdowns : simplestShutdowns.slice(0, rank)
  if (!leaf.obeys) yield { ...leaf, obeys: true }
  for (const shutdown of simpler) {
    if (leaf.obeys || shutdown !== "infinity") yield { ...leaf, shutdown }
  }
  yield* changed(leaf, { significant: false }, { significant: false, restart: "permanent" })
}

function* simplerNode(node: Node): Iterable<Node> {
  switch (node.kind) {
    case "leaf":
      return yield* simplerLeaf(node)
    case "dynamic":
      yield* changed(node, { shutdown: "infinity" }, { significant: false }, { intensity: 5 }, { period: 5 })
      for (const template of simplerLeaf(node.template)) yield { ...node, template }
      return
    case "static":
      yield { kind: "leaf", id: node.id, restart: node.restart, significant: node.significant, shutdown: "infinity", obeys: true }
      yield* simplerStatic(node)
  }
}

function* simplerStatic(node: StaticSupervisor): Iterable<StaticSupervisor> {
  for (const children of without(node.children)) yield { ...node, children }
  yield* changed(node, { shutdown: "infinity" }, { significant: false }, { strategy: "one_for_one" }, { intensity: 5 }, { period: 5 })
  if (node.children.every(({ significant }) => !significant)) yield* changed(node, { autoShutdown: "never" })
  for (const children of withOne(node.children, simplerNode)) yield { ...node, children }
}

/** Never more patient: see `changedLeaf`. */
function* simplerChange<A extends Leaf | Keep>(child: A): Iterable<A> {
  if ("keep" in child) return
  for (const simple of simplerLeaf(child)) {
    if (simple.shutdown !== "infinity") yield { ...child, ...simple }
  }
}

function* simplerOperation(operation: Operation): Iterable<Operation> {
  switch (operation.op) {
    case "Exit":
      return yield* changed(operation, { reason: "crash" })
    case "Together":
      for (const exits of without(operation.exits)) yield { ...operation, exits }
      for (const exits of withOne(operation.exits, (exit) => changed(exit, { reason: "crash" }))) yield { ...operation, exits }
      return
    case "FailStarts":
      return yield* changed(operation, { times: 1 }, { how: "error" })
    case "Tick":
      return yield* changed(operation, { ms: 1000 })
    case "Start":
      for (const child of simplerLeaf(operation.child)) yield { ...operation, child }
      return
    case "Change":
      if ("template" in operation) {
        for (const template of simplerChange(operation.template)) yield { ...operation, template }
      } else {
        for (const children of without(operation.children)) yield { ...operation, children }
        for (const children of withOne(operation.children, simplerChange)) yield { ...operation, children }
        yield* changed(operation, { strategy: "one_for_one" }, { autoShutdown: "never" })
      }
  }
}

/** Without the operations that speak to a supervisor which is no longer in the tree. */
const fitting = (schedule: Schedule): Schedule => {
  const ids = new Map(supervisorsOf(schedule.root).map((supervisor) => [supervisor.id, supervisor.kind]))
  const operations = schedule.operations.filter((operation) => !("sup" in operation) || ids.has(operation.sup))
  return operations.length === schedule.operations.length ? schedule : { ...schedule, operations }
}

/**
 * Smaller schedules, the much smaller first, each valid in itself. Whoever looks for the smallest that still fails takes the first of these
 * that does, and asks again.
 */
export function* shrink(schedule: Schedule): Iterable<Schedule> {
  for (const operations of without(schedule.operations)) yield { ...schedule, operations }
  for (const before of without(schedule.before)) yield { ...schedule, before }
  for (const root of simplerNode(schedule.root)) {
    if (root.kind !== "leaf") yield fitting({ ...schedule, root })
  }
  for (const operations of withOne(schedule.operations, simplerOperation)) yield { ...schedule, operations }
  for (const before of withOne(schedule.before, (failing) => changed(failing, { times: 1 }, { how: "error" }))) {
    yield { ...schedule, before }
  }
}
