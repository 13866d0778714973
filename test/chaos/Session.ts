/** One scenario being run: its hosts, its deadlines, and what is added up over its runs. */
import { AsyncLocalStorage } from "node:async_hooks"
import * as Chance from "./Chance.ts"
import { check, Unexpected } from "./Check.ts"
import { Host, type Place, type PoolSettings, until, within } from "./Host.ts"
import type * as Observer from "./Observer.ts"
import * as Spread from "./Spread.ts"

/** What a scenario is run with. */
export interface Options {
  /** `undefined`: as many as the scenario finds that there are. */
  readonly runs: number | undefined
  readonly seed: number
  /** The form for CI: less of everything that takes time. */
  readonly short: boolean
  /** How long the one thing takes that a scenario is about, where it is about one. `undefined`: its own number. */
  readonly seconds: number | undefined
  /** Events that some host must have told by the end. */
  readonly events: ReadonlyArray<string>
  readonly say: (line: string) => void
}

/** A scenario by name. What is said of it here makes `docs/qa/chaos-playbook.md`. */
export interface Scenario {
  readonly name: string
  /** What is done, and what must come of it. */
  readonly about: string
  readonly mustSee: MustSee
  /** How a person does it to an application of theirs, a step each, with what is typed. */
  readonly byHand: ReadonlyArray<string>
  readonly touches: Touches
  /** How many runs by default, and in the short form. `undefined`: see {@link Session.plan}. */
  readonly runs: number | undefined
  readonly shortRuns: number
  /** A run finds the host that the runs before it have left: alone, on a fresh one, it may go another way. */
  readonly sharesHost: boolean
  readonly run: (session: Session) => Promise<void>
}

/** What shows that it went as it must. */
export interface MustSee {
  /** Events by name, in the order in which they come. */
  readonly events: ReadonlyArray<string>
  /** What must be so, a sentence each, the figures of the report by name. */
  readonly holds: readonly [string, ...ReadonlyArray<string>]
}

/** The children of the tree that it is about, by their path in the contract of any application: `snakepit/pools/<key>/reaper`. */
export interface Touches {
  /** They end; their supervisors' contracts say who may go with them. */
  readonly ends: ReadonlyArray<string>
  /** They are put to the test, and must not end. */
  readonly tries: ReadonlyArray<string>
}

/** Something that must not be. */
export interface Failure {
  /** `undefined`: after the last one. */
  readonly run: number | undefined
  readonly seed: number
  readonly seen: string
  /** Its hosts had been ended because another run, which overlapped it, had failed. */
  readonly isConsequence: boolean
  /** The folders of its hosts: ledger, journal, events, complaints. */
  readonly evidence: ReadonlyArray<string>
}

/** The figures of the account, in the order in which they are told. */
export const columns = ["accepted", "completed", "failed", "unknown", "refused", "lost", "twice", "survivors", "escalations"] as const

type Counts = { readonly [column in typeof columns[number]]: number }

export const none: Counts = {
  accepted: 0,
  completed: 0,
  failed: 0,
  unknown: 0,
  refused: 0,
  lost: 0,
  twice: 0,
  survivors: 0,
  escalations: 0
}

/** What a scenario has come to. */
export interface Report extends Counts {
  readonly scenario: string
  readonly runs: number
  readonly seed: number
  readonly failures: number
  readonly ok: boolean
  /** Why it cannot run here. It has then neither passed nor failed. */
  readonly skipped?: string
  readonly [figure: string]: unknown
}

/** How long a host may take to start: every worker imports its adapter, on a machine that does other things too. */
const startMillis = 60_000
/** How long a host that was asked to end may take, graces included. */
const endMillis = 30_000
/** How long the calls that are open and the end of the last host may take together. */
const closeMillis = 120_000
/** How long after the end of a host something of it may still be there. The issue's own bound. */
export const goneMillis = 2000
/** How long a host whose run has failed may take to finish its calls. */
const lastCallsMillis = 5000
/** By then it is clear that something is wrong. */
const enoughFailures = 5

/** One run that is going on. */
interface Attempt {
  isOver: boolean
  /** How often all hosts had been ended when it began. */
  readonly ends: number
}

export class Session {
  readonly options: Options
  readonly failures: Array<Failure> = []
  /** What the runs together must have come to, when each has passed and every host has ended; throws where they have not. */
  together: () => void = () => {}
  /** The times that the scenario measures. */
  readonly millis: Array<number> = []
  private readonly name: string
  /** Events that some host must have told by the end. */
  mustBeTold: ReadonlyArray<string>
  private readonly told = new Set<string>()
  private readonly figures = new Map<string, number>()
  private readonly facts = new Map<string, string>()
  private skipped: string | undefined
  private readonly lastActs: Array<() => void> = []
  private counts: Counts = none
  private readonly hosts = new Set<Host>()
  private readonly accounted = new WeakSet<Host>()
  private readonly current = new AsyncLocalStorage<Attempt>()
  private ends = 0
  private common: Promise<Host> | undefined
  private runsDone = 0
  private planned: number

  constructor(name: string, options: Options) {
    this.name = name
    this.options = options
    this.planned = options.runs ?? 1
    this.mustBeTold = options.events
  }

  /** No further run makes sense. */
  get isOver(): boolean {
    return this.failures.length >= enoughFailures
  }

  /** How many runs there are when nobody has asked for a number of them. */
  plan(runs: number): void {
    this.planned = this.options.runs ?? runs
  }

  /** The seed of run `index`: that run alone is repeated by it. */
  seedOf(index: number): number {
    return (this.options.seed + index) % Chance.seeds
  }

  /** One run within its deadline. What it throws is a failure; all hosts are gone then, and so are the runs that overlap it. */
  async run(index: number, limitMillis: number, body: (chance: Chance.Chance, seed: number) => Promise<string>): Promise<void> {
    this.runsDone = Math.max(this.runsDone, index + 1)
    await this.attempt(index + 1, this.seedOf(index), limitMillis, body)
  }

  private async attempt(
    run: number | undefined,
    seed: number,
    limitMillis: number,
    body: (chance: Chance.Chance, seed: number) => Promise<string>
  ): Promise<void> {
    const which = `${this.name} ${run === undefined ? "end" : `${run}/${this.planned}`}`
    const own: Attempt = { isOver: false, ends: this.ends }
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Unexpected(`it was not over within ${limitMillis / 1000} s`)), limitMillis)
    })
    try {
      const line = await Promise.race([this.current.run(own, () => body(Chance.make(seed), seed)), late])
      this.options.say(`${which}  ${line}`)
    } catch (thrown) {
      own.isOver = true
      const isConsequence = own.ends !== this.ends
      const { evidence, problems } = isConsequence ? { evidence: [], problems: [] } : await this.condemn()
      const seen = [inWords(thrown), ...problems].join("\n    ")
      this.failures.push({ run, seed, seen, isConsequence, evidence })
      this.options.say(`${which}  FAILED${isConsequence ? ", as another run had failed" : ""}: ${seen}`)
    } finally {
      own.isOver = true
      clearTimeout(timer)
    }
  }

  /** Throws when the run that asks is over, or has lost its hosts to the failure of another. */
  private readonly permit = (): void => {
    const own = this.current.getStore()
    check(own?.isOver !== true, () => "its run was over")
    check(own === undefined || own.ends === this.ends, () => "another run had failed, and all hosts were ended with it")
  }

  /** Every run in turn; to the last one where each shows something else. */
  async each(
    limitMillis: number,
    body: (chance: Chance.Chance, seed: number, index: number) => Promise<string>,
    mayStop = true
  ): Promise<void> {
    for (let index = 0; index < this.planned; index++) {
      if (mayStop && this.isOver) return
      await this.run(index, limitMillis, (chance, seed) => body(chance, seed, index))
    }
  }

  /** Adds to a figure of the report. */
  add(figure: string, count: number): void {
    this.figures.set(figure, this.figure(figure) + count)
  }

  /** A figure of the report that is the largest of all. */
  most(figure: string, count: number): void {
    this.figures.set(figure, Math.max(this.figure(figure), count))
  }

  figure(name: string): number {
    return this.figures.get(name) ?? 0
  }

  /** Puts a fact into the report: by which of several means it was done, for example. */
  fact(name: string, text: string): void {
    this.facts.set(name, text)
  }

  /** What is to be done when every host has ended. */
  atEnd(act: () => void): void {
    this.lastActs.push(act)
  }

  /** It cannot run here. */
  skip(why: string): void {
    this.skipped = why
    this.planned = 0
    this.options.say(`${this.name}  skipped: ${why}`)
  }

  count(column: typeof columns[number]): number {
    return this.counts[column]
  }

  /** A host of its own for this run, with every worker up. */
  async start(pools: Readonly<Record<string, PoolSettings>>, place: Place = {}): Promise<Host> {
    this.permit()
    const host = new Host(pools, this.permit, place)
    this.hosts.add(host)
    const ready = await within(startMillis, host.ready)
    check(ready !== undefined, () => `the host was not ready within ${startMillis / 1000} s${host.said}`)
    return host
  }

  /** The host that runs share; started anew when the last one was closed or failed. */
  shared(pools: Readonly<Record<string, PoolSettings>>, place: Place = {}): Promise<Host> {
    this.permit()
    return this.common ??= this.start(pools, place)
  }

  /** Ends the host that runs share, if there is one, as its user would. */
  async closeShared(): Promise<void> {
    const host = this.common
    this.common = undefined
    if (host !== undefined) await this.close(await host)
  }

  /** After the last run: the host that runs shared ends, what its workers still do with it, and all is looked at together. */
  async finish(): Promise<void> {
    if (this.skipped !== undefined) return
    await this.attempt(undefined, this.options.seed, closeMillis, async () => {
      await this.closeShared()
      if (this.failures.length > 0) return "every host has ended"
      this.together()
      const missing = this.mustBeTold.filter((name) => !this.told.has(name))
      check(missing.length === 0, () => `no host has told of ${missing.join(", ")}`)
      return "every host has ended"
    })
    await this.dispose()
  }

  /** Lets its calls come to their end, ends it as its user would, looks at what is left, and accounts for its calls. */
  async close(host: Host): Promise<void> {
    await host.ask("rest", {})
    host.look()
    await host.ask("end", {})
    await this.ended(host, 0)
  }

  /** Waits for its end, which must have this code, and looks and accounts as {@link close}. */
  async ended(host: Host, code: number): Promise<void> {
    const end = await within(endMillis, host.ended)
    check(end !== undefined, () => `the host did not end within ${endMillis / 1000} s${host.said}`)
    const { left } = await leftOf(host, performance.now())
    check(end.code === code, () => `the host ended with ${end.signal ?? `code ${end.code}`} and not with code ${code}${host.said}`)
    check(host.cgroup === undefined, () => `the host has ended and left its cgroup ${host.cgroup}`)
    check(host.shared === undefined, () => `the host has ended and left its segments in ${host.shared}`)
    await this.settle(host, left)
  }

  /** Kills it. Returns how long it took until nothing of it was left, by the observer. `then` may look at its files before they go. */
  async kill(host: Host, then: () => Promise<void> = async () => {}): Promise<number> {
    host.look()
    const began = performance.now()
    host.kill()
    const { left, millis } = await leftOf(host, began)
    const end = await within(endMillis, host.ended)
    check(end !== undefined, () => `the host did not end within ${endMillis / 1000} s of SIGKILL${host.said}`)
    const { cgroup } = host
    const isFound = cgroup === undefined || host.registry().some((line) => line["cgroup"] === cgroup)
    check(isFound, () => `no start would find its cgroup ${cgroup}: it is in no journal`)
    check(host.shared === undefined || host.isInJournal, () => `no start would find its segments in ${host.shared}: it has no journal`)
    this.add("segments", host.shared === undefined ? 0 : 1)
    await then()
    await this.settle(host, left)
    return millis
  }

  /** A host that has ended leaves nothing behind, and no call without its outcome. */
  private async settle(host: Host, left: ReadonlyArray<Observer.Process>): Promise<void> {
    if (await this.common === host) this.common = undefined
    const problems = this.account(host, left)
    check(problems.length === 0, () => problems.join("\n    "))
    this.hosts.delete(host)
    await host.dispose()
    check(host.cgroup === undefined, () => `its cgroup ${host.cgroup} cannot be removed`)
  }

  /** Adds what has become of its calls and processes, once. Returns what must not be. */
  private account(host: Host, left: ReadonlyArray<Observer.Process>): ReadonlyArray<string> {
    if (this.accounted.has(host)) return []
    this.accounted.add(host)
    const { problems, ...account } = host.account()
    for (const { name } of host.events()) this.told.add(name)
    const escalations = host.events().filter(({ name }) => name.endsWith("_supervisor.give_up")).length
    const all = { ...account, survivors: left.length, escalations }
    this.counts = Object.fromEntries(columns.map((column) => [column, this.counts[column] + all[column]])) as Counts
    return [
      ...(left.length === 0 ? [] : [`${left.length} processes were left after ${goneMillis} ms:\n    ${told(left)}`]),
      ...(problems.length === 0 ? [] : [`the account of the calls is not sound:\n    ${problems.slice(0, 10).join("\n    ")}`])
    ]
  }

  /**
   * After a failure: every host is accounted for before anything of it is killed, then ended; what it wrote stays. A host that still runs
   * may finish its calls first; what is open then is lost.
   */
  private async condemn(): Promise<{ readonly problems: ReadonlyArray<string>; readonly evidence: ReadonlyArray<string> }> {
    const condemned = this.takeAll()
    const problems: Array<string> = []
    const evidence: Array<string> = []
    for (const host of condemned) {
      try {
        if (!host.hasEnded) await host.rest(lastCallsMillis)
        problems.push(...this.account(host, host.hasEnded ? host.survivors() : []))
      } catch (thrown) {
        problems.push(`its calls cannot be accounted for: ${inWords(thrown)}`)
      }
      const folder = await host.dispose({ keep: true })
      if (folder !== undefined) evidence.push(folder)
    }
    return { problems, evidence }
  }

  private takeAll(): ReadonlyArray<Host> {
    this.ends++
    this.common = undefined
    const all = [...this.hosts]
    this.hosts.clear()
    return all
  }

  /** Ends whatever is left of every host. */
  async dispose(): Promise<void> {
    for (const host of this.takeAll()) await host.dispose()
    for (const act of this.lastActs.splice(0)) act()
  }

  get report(): Report {
    const spread = Spread.of(this.millis)
    return {
      scenario: this.name,
      runs: this.runsDone,
      seed: this.options.seed,
      ...this.counts,
      failures: this.failures.filter(({ isConsequence }) => !isConsequence).length,
      ok: this.failures.length === 0,
      ...(this.skipped === undefined ? {} : { skipped: this.skipped }),
      ...Object.fromEntries(this.facts),
      ...Object.fromEntries(this.figures),
      ...(spread === undefined ? {} : { millis: spread })
    }
  }
}

const inWords = (thrown: unknown): string =>
  thrown instanceof Unexpected ? thrown.message : thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown)

/**
 * What is there of a host {@link goneMillis} after `began`; nothing as soon as two looks at all of `/proc` in a row find nothing, as one
 * look is not at one moment. And when the last of it was gone.
 */
const leftOf = async (
  host: Host,
  began: number
): Promise<{ readonly left: ReadonlyArray<Observer.Process>; readonly millis: number }> => {
  let empty: number | undefined
  for (;;) {
    await until(() => host.isThere, (there) => !there, began + goneMillis - performance.now(), 1)
    const millis = performance.now() - began
    const left = host.survivors()
    if (left.length === 0 && empty !== undefined) return { left, millis: empty }
    if (left.length > 0 && millis >= goneMillis) return { left, millis }
    empty = left.length === 0 ? millis : undefined
  }
}

/** Processes, for people. */
export const told = (processes: ReadonlyArray<Observer.Process>): string =>
  processes.map(({ command, pid, state, worker }) => `${pid} ${state} ${worker ?? "no worker"}: ${command}`).join("\n    ")
