/** One scenario being run: its hosts, its deadlines, and what is added up over its runs. */
import * as Chance from "./Chance.ts"
import { check, Unexpected } from "./Check.ts"
import { Host, type PoolSettings, until, within } from "./Host.ts"
import type * as Observer from "./Observer.ts"
import * as Spread from "./Spread.ts"

/** What a scenario is run with. */
export interface Options {
  readonly runs: number
  readonly seed: number
  /** The form for CI: less of everything that takes time. */
  readonly short: boolean
  /** Seconds that a healthy worker holds the interpreter lock in `gil-hog`. */
  readonly seconds: number
  readonly say: (line: string) => void
}

/** A scenario by name. */
export interface Scenario {
  readonly name: string
  /** What is done, and what must come of it. */
  readonly about: string
  /** How many runs by default, and in the short form. */
  readonly runs: number
  readonly shortRuns: number
  readonly run: (session: Session) => Promise<void>
  /** What the runs together must have come to; throws where they have not. */
  readonly together?: (session: Session) => void
}

/** Something that must not be. */
export interface Failure {
  /** `undefined`: after the last one. */
  readonly run: number | undefined
  readonly seed: number
  readonly seen: string
}

/** What a scenario has come to. */
export interface Report {
  readonly scenario: string
  readonly runs: number
  readonly seed: number
  readonly accepted: number
  readonly completed: number
  readonly failed: number
  readonly unknown: number
  readonly lost: number
  readonly twice: number
  readonly survivors: number
  readonly escalations: number
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
/** By then it is clear that something is wrong. */
const enoughFailures = 5

export class Session {
  readonly options: Options
  readonly failures: Array<Failure> = []
  /** The times that the scenario measures. */
  readonly millis: Array<number> = []
  private readonly name: string
  private readonly figures = new Map<string, number>()
  private readonly counts = { accepted: 0, completed: 0, failed: 0, unknown: 0, lost: 0, twice: 0, survivors: 0, escalations: 0 }
  private readonly hosts = new Set<Host>()
  private common: Promise<Host> | undefined
  private runsDone = 0

  constructor(name: string, options: Options) {
    this.name = name
    this.options = options
  }

  /** No further run makes sense. */
  get isOver(): boolean {
    return this.failures.length >= enoughFailures
  }

  /** The seed of run `index`: that run alone is repeated by it. */
  seedOf(index: number): number {
    return (this.options.seed + index) % Chance.seeds
  }

  /** One run within its deadline. What it throws is a failure; its hosts are gone then. */
  async run(index: number, limitMillis: number, body: (chance: Chance.Chance, seed: number) => Promise<string>): Promise<void> {
    if (this.isOver) return
    this.runsDone = Math.max(this.runsDone, index + 1)
    await this.attempt(index + 1, this.seedOf(index), limitMillis, body)
  }

  private async attempt(
    run: number | undefined,
    seed: number,
    limitMillis: number,
    body: (chance: Chance.Chance, seed: number) => Promise<string>
  ): Promise<void> {
    const which = `${this.name} ${run === undefined ? "end" : `${run}/${this.options.runs}`}`
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Unexpected(`it was not over within ${limitMillis / 1000} s`)), limitMillis)
    })
    try {
      const line = await Promise.race([body(Chance.make(seed), seed), late])
      this.options.say(`${which}  ${line}`)
    } catch (thrown) {
      const seen = thrown instanceof Unexpected ? thrown.message : thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown)
      this.failures.push({ run, seed, seen })
      this.options.say(`${which}  FAILED: ${seen}`)
      await this.dispose()
    } finally {
      clearTimeout(timer)
    }
  }

  /** Every run in turn. */
  async each(limitMillis: number, body: (chance: Chance.Chance, seed: number, index: number) => Promise<string>): Promise<void> {
    for (let index = 0; index < this.options.runs; index++) {
      await this.run(index, limitMillis, (chance, seed) => body(chance, seed, index))
    }
  }

  /** Adds to a figure of the report. */
  add(figure: string, count: number): void {
    this.figures.set(figure, (this.figures.get(figure) ?? 0) + count)
  }

  /** A host of its own for this run, with every worker up. */
  async start(pools: Readonly<Record<string, PoolSettings>>, seed: number): Promise<Host> {
    const host = new Host(pools, seed)
    this.hosts.add(host)
    const ready = await within(startMillis, host.ready)
    check(ready !== undefined, () => `the host was not ready within ${startMillis / 1000} s${host.said}`)
    return host
  }

  /** The host that runs share; started anew when the last one was closed or failed. */
  shared(pools: Readonly<Record<string, PoolSettings>>): Promise<Host> {
    return this.common ??= this.start(pools, this.options.seed)
  }

  /** Ends the host that runs share, if there is one, as its user would. */
  async closeShared(): Promise<void> {
    const host = this.common
    this.common = undefined
    if (host !== undefined) await this.close(await host)
  }

  /** After the last run: the host that runs shared ends, what its workers still do with it, and all is looked at together. */
  async finish(scenario: Scenario): Promise<void> {
    await this.attempt(undefined, this.options.seed, closeMillis, async () => {
      await this.closeShared()
      scenario.together?.(this)
      return "every host has ended"
    })
    await this.dispose()
  }

  /** Lets its calls come to their end, ends it as its user would, looks at what is left, and accounts for its calls. */
  async close(host: Host, { rest = true } = {}): Promise<void> {
    if (rest) await host.ask("rest", {})
    host.look()
    await host.ask("end", {})
    await this.ended(host, 0)
  }

  /** Waits for its end, which must have this code, and looks and accounts as {@link close}. */
  async ended(host: Host, code: number): Promise<void> {
    const end = await within(endMillis, host.ended)
    check(end !== undefined, () => `the host did not end within ${endMillis / 1000} s${host.said}`)
    check(end.code === code, () => `the host ended with ${end.signal ?? `code ${end.code}`} and not with code ${code}${host.said}`)
    await this.settle(host)
  }

  /** Kills it. Returns how long it took until nothing of it was left, by the observer. */
  async kill(host: Host): Promise<number> {
    host.look()
    const began = performance.now()
    host.kill()
    await until(() => host.isThere, (there) => !there, goneMillis, 1)
    const took = performance.now() - began
    await host.ended
    await this.settle(host)
    return took
  }

  /** A host that has ended leaves nothing behind, and no call without its outcome. */
  private async settle(host: Host): Promise<void> {
    if (await this.common === host) this.common = undefined
    const left = await until(() => host.survivors(), (left) => left.length === 0, goneMillis, 1)
    const { problems, ...account } = host.account()
    for (const [name, count] of Object.entries(account)) this.counts[name as keyof typeof account] += count
    this.counts.survivors += left.length
    this.counts.escalations += host.events().filter(({ name }) => name.endsWith("_supervisor.give_up")).length
    check(left.length === 0, () => `${left.length} processes were left after ${goneMillis} ms:\n    ${told(left)}`)
    check(problems.length === 0, () => `the account of the calls is not sound:\n    ${problems.slice(0, 10).join("\n    ")}`)
    this.hosts.delete(host)
    await host.dispose()
  }

  /** Ends whatever is left of every host. */
  async dispose(): Promise<void> {
    this.common = undefined
    const hosts = [...this.hosts]
    this.hosts.clear()
    for (const host of hosts) await host.dispose()
  }

  get report(): Report {
    const spread = Spread.of(this.millis)
    return {
      scenario: this.name,
      runs: this.runsDone,
      seed: this.options.seed,
      ...this.counts,
      ...Object.fromEntries(this.figures),
      ...(spread === undefined ? {} : { millis: spread })
    }
  }
}

/** Processes, for people. */
export const told = (processes: ReadonlyArray<Observer.Process>): string =>
  processes.map(({ command, pid, state, worker }) => `${pid} ${state} ${worker ?? "no worker"}: ${command}`).join("\n    ")
