/**
 * A schedule: a tree of supervisors, and what is done to it, one operation a step. Plain data: `JSON.stringify` of it is its replay.
 *
 * Ids are whole numbers from 1 to 255, each once in the whole tree; the keys of dynamic children come from the same numbers.
 */

export type Restart = "permanent" | "transient" | "temporary"
export type Strategy = "one_for_one" | "one_for_all" | "rest_for_one"
export type AutoShutdown = "never" | "any" | "all"
/** A number is milliseconds of patience. */
export type Shutdown = "brutal" | "infinity" | number
export type Reason = "normal" | "shutdown" | "shutdown_term" | "crash" | "kill"

/** What a supervisor is told about a child, whatever kind of child that is. */
interface ChildFacts {
  readonly id: number
  readonly restart: Restart
  /** Only where the supervisor's `autoShutdown` is not `never`, and never together with `permanent`. */
  readonly significant: boolean
  readonly shutdown: Shutdown
}

/** `obeys: false` never ends on a polite request, so its `shutdown` is never `infinity`. */
export interface Leaf extends ChildFacts {
  readonly kind: "leaf"
  readonly obeys: boolean
}

export interface StaticSupervisor extends ChildFacts {
  readonly kind: "static"
  readonly strategy: Strategy
  readonly autoShutdown: AutoShutdown
  readonly intensity: number
  /** Seconds. */
  readonly period: number
  readonly children: ReadonlyArray<Node>
}

/** OTP's `simple_one_for_one`: no children at first. Its children are copies of the template, each known by the key it was started with. */
export interface DynamicSupervisor extends ChildFacts {
  readonly kind: "dynamic"
  readonly intensity: number
  /** Seconds. */
  readonly period: number
  readonly template: Leaf
}

export type Supervisor = StaticSupervisor | DynamicSupervisor
export type Node = Leaf | Supervisor

/** The newest process of a leaf (of an instance: its key) ends; nothing happens if it is not alive. */
export interface Exit {
  readonly op: "Exit"
  readonly leaf: number
  readonly reason: Reason
}

/** The exits happen in this order while the supervisor does not look: it finds all of them pending. */
export interface Together {
  readonly op: "Together"
  readonly sup: number
  readonly exits: ReadonlyArray<{ readonly leaf: number; readonly reason: Reason }>
}

/**
 * The next `times` starts of that leaf or nested supervisor fail (replacing what an earlier one left); a nested supervisor fails before
 * its own init. The id of a template stands for every instance of it.
 */
export interface FailStarts {
  readonly op: "FailStarts"
  readonly id: number
  readonly times: number
  readonly how: "error" | "ignore"
}

/**
 * `terminate_child`. To a dynamic supervisor the template's id is an id (refused, `simple`); any other number stands for the newest
 * process with that key (or id: a stranger), or for a dead process if there never was one.
 */
export interface Terminate {
  readonly op: "Terminate"
  readonly sup: number
  readonly child: number
}

export interface Restarting {
  readonly op: "Restart"
  readonly sup: number
  readonly child: number
}

export interface Delete {
  readonly op: "Delete"
  readonly sup: number
  readonly child: number
}

/** `start_child` of a static supervisor. */
export interface Start {
  readonly op: "Start"
  readonly sup: number
  readonly child: Leaf
}

/** `start_child` of a dynamic supervisor; the key was never used before, neither as a key nor as an id. */
export interface StartInstance {
  readonly op: "StartInstance"
  readonly sup: number
  readonly key: number
}

/** Time passes; timers fire on the way, one by one. */
export interface Tick {
  readonly op: "Tick"
  readonly ms: number
}

/** `keep` is that id's spec as the supervisor has it when it makes the change; an id it has no spec of is left out. */
export interface Keep {
  readonly keep: number
}

/**
 * A live change of flags and specs (OTP's `code_change`, which asks `init` again). It holds for those that its parent starts anew, too, as
 * new code would. Nothing happens while the supervisor is busy: what `keep` means would be open.
 */
export interface ChangeStatic {
  readonly op: "Change"
  readonly sup: number
  readonly strategy: Strategy
  readonly autoShutdown: AutoShutdown
  readonly intensity: number
  readonly period: number
  readonly children: ReadonlyArray<Leaf | Keep>
}

/** The same for a dynamic supervisor; the template keeps its id. */
export interface ChangeDynamic {
  readonly op: "Change"
  readonly sup: number
  readonly intensity: number
  readonly period: number
  readonly template: Leaf
}

export type Operation =
  | Exit
  | Together
  | FailStarts
  | Terminate
  | Restarting
  | Delete
  | Start
  | StartInstance
  | Tick
  | ChangeStatic
  | ChangeDynamic

export interface Schedule {
  readonly root: Supervisor
  /** Failing starts that hold already when the tree boots. */
  readonly before: ReadonlyArray<FailStarts>
  /** Step n is `operations[n - 1]`; step 0 is the boot. After the last one the root is asked to shut down. */
  readonly operations: ReadonlyArray<Operation>
}

/** Every supervisor of the tree, depth first: the order in which a trace line tells of them. */
export const supervisorsOf = (node: Node): ReadonlyArray<Supervisor> =>
  node.kind === "leaf" ? [] : node.kind === "dynamic" ? [node] : [node, ...node.children.flatMap(supervisorsOf)]

const describeShutdown = (shutdown: Shutdown): string => typeof shutdown === "number" ? `${shutdown} ms` : shutdown

const describeFacts = (node: Node): string =>
  `${node.id} ${node.restart}${node.significant ? " significant" : ""}, shutdown ${describeShutdown(node.shutdown)}`

const describeLeaf = (leaf: Leaf): string => `${describeFacts(leaf)}${leaf.obeys ? "" : ", never obeys"}`

const describeLimits = (limits: { readonly intensity: number; readonly period: number }): string =>
  `${limits.intensity} restarts in ${limits.period} s`

const describeNode = (node: Node, indent: string): ReadonlyArray<string> => {
  switch (node.kind) {
    case "leaf":
      return [`${indent}${describeLeaf(node)}`]
    case "dynamic":
      return [
        `${indent}${describeFacts(node)}: dynamic, ${describeLimits(node)}`,
        `${indent}  each ${describeLeaf(node.template)}`
      ]
    case "static":
      return [
        `${indent}${describeFacts(node)}: ${node.strategy}, auto-shutdown ${node.autoShutdown}, ${describeLimits(node)}`,
        ...node.children.flatMap((child) => describeNode(child, `${indent}  `))
      ]
  }
}

const describeExit = (exit: { readonly leaf: number; readonly reason: Reason }): string => `${exit.leaf} exits (${exit.reason})`

const describeChange = (change: ChangeStatic | ChangeDynamic): string =>
  "template" in change
    ? `${change.sup} becomes dynamic, ${describeLimits(change)}, each ${describeLeaf(change.template)}`
    : `${change.sup} becomes ${change.strategy}, auto-shutdown ${change.autoShutdown}, ${describeLimits(change)}, children [${
      change.children.map((child) => "keep" in child ? `${child.keep} as it is` : describeLeaf(child)).join("; ")
    }]`

/** One operation in words. */
export const describeOperation = (operation: Operation): string => {
  switch (operation.op) {
    case "Exit":
      return describeExit(operation)
    case "Together":
      return `at once under ${operation.sup}: ${operation.exits.map(describeExit).join(", ")}`
    case "FailStarts":
      return `the next ${operation.times} starts of ${operation.id} give ${operation.how}`
    case "Terminate":
    case "Restart":
    case "Delete":
      return `${operation.op.toLowerCase()} child ${operation.child} of ${operation.sup}`
    case "Start":
      return `start child ${describeLeaf(operation.child)} under ${operation.sup}`
    case "StartInstance":
      return `start instance ${operation.key} under ${operation.sup}`
    case "Tick":
      return `${operation.ms} ms pass`
    case "Change":
      return describeChange(operation)
  }
}

/** The whole schedule in words, a line each: the tree, then the steps. */
export const describe = (schedule: Schedule): string =>
  [
    ...describeNode(schedule.root, ""),
    ...schedule.before.map((failing) => `before: ${describeOperation(failing)}`),
    ...schedule.operations.map((operation, index) => `${index + 1}: ${describeOperation(operation)}`)
  ].join("\n")
