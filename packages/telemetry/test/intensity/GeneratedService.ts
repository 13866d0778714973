/**
 * Services as the advisor is tested on: what goes wrong in each child and when, known in full, so that it can be said of every escalation
 * whether it was false.
 *
 * A service is one supervisor with 1 to 16 children, watched for 30 days. Its troubles are a mixture; each kind is there or not:
 *
 * - **steady** (in 4 of 5): each child ends now and then, alone, and comes up again: a Poisson process of one in 12 hours to one in 20 days.
 * - **bursty** (in 7 of 10): 10 to 60 times one child, or some, end and, restarted, live 100 ms to 2 s and end again, a geometric number of
 *   times (3 on average, 10 at most); one in four is an outage instead, 100 ms to 3 s in which starts are refused.
 * - **deploy-time** (in 3 of 5): 4 to 20 times all children end within two seconds, each 1 to 3 times, living 50 ms to 1 s in between.
 * - **failing** (in 4 of 5): 2 to 8 times one child is truly broken for 1 to 10 minutes, until somebody mends it: each life lasts 1 ms to 5 s,
 *   about as long in all episodes of one service.
 *
 * All times and lives are drawn log-uniformly. Only giving up while a child is truly broken is right.
 *
 * The advisor was made with such services in mind. So there are other {@link families} too, each of which breaks one thing that it takes for
 * granted.
 */
import { Child, type Event, RestartPolicy, Simulation, Supervisor, SupervisorEvent } from "@snakepit/core"
import { Generate } from "@snakepit/core/testing"
import { Effect, Schedule } from "effect"

/** A child gets into trouble at a time: it ends, and its next lives are short; or every life is, for a while. */
type Trouble =
  | { readonly _tag: "Flaps"; readonly at: number; readonly lives: ReadonlyArray<number> }
  | {
    readonly _tag: "Outage"
    readonly at: number
    readonly until: number
    /** 0: starts are refused, after so long a boot. */
    readonly life: number
    readonly bootMillis: number
    readonly isBroken: boolean
  }

/** Milliseconds from the beginning. */
export interface Service {
  readonly children: ReadonlyArray<ReadonlyArray<Trouble>>
  readonly family: Family
}

/** What is otherwise than in a mixed service. */
export interface Family {
  readonly name: string
  /** Lives are log-normal: a third of them is outside of what else are the bounds. */
  readonly logNormal?: true
  /** Bursts are as long as a Pareto distribution says, 200 at most: most are short, few are very long. */
  readonly pareto?: true
  /** How much longer or shorter than the service's own a broken child's life may be, as a power of 2. */
  readonly spread?: number
  /** A broken child does not get through its boot, which takes 2 to 30 s. */
  readonly slowBoots?: true
  /** One deploy in four breaks all children until it is taken back. */
  readonly brokenDeploys?: true
  /** Nearly all that happens happens by day. */
  readonly diurnal?: true
  /** How long whoever is above waits until it starts the supervisor again. */
  readonly aboveMillis?: number
}

/** As described above. */
export const mixed: Family = { name: "mixed" }

/** The mixed ones, and those that the advisor was not made for. */
export const families: ReadonlyArray<Family> = [
  mixed,
  { name: "log-normal lives", logNormal: true },
  { name: "Pareto bursts", pareto: true },
  { name: "broken lives × 8^±1", spread: 3 },
  { name: "slow boots", slowBoots: true },
  { name: "broken deploys", brokenDeploys: true },
  { name: "diurnal load", diurnal: true },
  { name: "stays down for 10 min", aboveMillis: 600_000, spread: 0 }
]

const minute = 60_000
const hour = 60 * minute
export const horizon = 30 * 24 * hour

/** The service of a seed and a number. */
export const of = (seed: number, index: number, family: Family = mixed): Service => {
  const choose = Generate.choicesOf(seed, index)
  const chance = () => choose(1_000_000) / 1_000_000
  const between = (low: number, high: number) => Math.round(low * (high / low) ** chance())
  const normal = () => Math.sqrt(-2 * Math.log(1 - chance())) * Math.cos(2 * Math.PI * chance())
  const lifeOf = (low: number, high: number) =>
    family.logNormal ? Math.max(1, Math.round(Math.sqrt(low * high) * (high / low) ** (normal() / 2))) : between(low, high)
  const count = (low: number, high: number) => low + choose(high - low + 1)
  const sometime = (): number => {
    const at = Math.floor(chance() * horizon)
    return family.diurnal && Math.sin(2 * Math.PI * at / (24 * hour)) < 2 * chance() - 1 ? sometime() : at
  }
  const burst = () => {
    if (family.pareto) return Math.min(200, Math.floor((1 - chance()) ** (-1 / 1.2)) - 1) // 1.2: a mean of about 4, and no variance
    let length = 0
    while (length < 9 && choose(3) > 0) length++
    return length
  }
  const size = [1, 1, 2, 4, 8, 16][choose(6)]!
  const children: ReadonlyArray<Array<Trouble>> = Array.from({ length: size }, () => [])
  const anyOf = (number: number) =>
    children.map((child) => ({ child, order: chance() })).toSorted((a, b) => a.order - b.order).slice(0, number)
  const [steady, bursty, deploying, failing] = [choose(5) < 4, choose(10) < 7, choose(5) < 3, choose(5) < 4]
  if (steady) {
    const mean = between(12 * hour, 20 * 24 * hour)
    for (const child of children) {
      for (let at = 0; (at += Math.ceil(-Math.log(1 - chance()) * mean)) < horizon;) child.push({ _tag: "Flaps", at, lives: [] })
    }
  }
  if (bursty) {
    for (let bursts = count(10, 60); bursts > 0; bursts--) {
      const at = sometime()
      const isOutage = choose(4) === 0
      const until = at + between(100, 3000)
      for (const { child } of anyOf(choose(2) === 0 ? 1 : count(1, size))) {
        const start = at + choose(500)
        if (isOutage) {
          child.push({ _tag: "Outage", at: start, until: Math.max(start + 1, until), life: 0, bootMillis: 0, isBroken: false })
          continue
        }
        const lives = Array.from({ length: burst() }, () => lifeOf(100, 2000))
        child.push({ _tag: "Flaps", at: start, lives })
      }
    }
  }
  if (deploying) {
    for (let deploys = count(4, 20); deploys > 0; deploys--) {
      const at = sometime()
      for (const child of children) {
        const lives = Array.from({ length: choose(3) }, () => lifeOf(50, 1000))
        child.push({ _tag: "Flaps", at: at + choose(2000), lives })
      }
      if (family.brokenDeploys && choose(4) === 0) {
        const broken = {
          at: at + 2000,
          until: at + 2000 + between(minute, 10 * minute),
          life: lifeOf(1, 5000),
          bootMillis: 0,
          isBroken: true
        }
        for (const child of children) child.push({ _tag: "Outage", ...broken })
      }
    }
  }
  if (failing) {
    const life = lifeOf(1, 5000)
    const spread = family.spread ?? 1
    for (let episodes = count(2, 8); episodes > 0; episodes--) {
      const at = sometime()
      const until = at + between(minute, 10 * minute)
      const lives = Math.max(1, Math.round(life * 2 ** (spread * (2 * chance() - 1))))
      const boot = family.slowBoots ? { life: 0, bootMillis: between(2000, 30_000) } : { life: lives, bootMillis: 0 }
      const broken = { at, until, ...boot, isBroken: true }
      anyOf(1)[0]!.child.push({ _tag: "Outage", ...broken })
    }
  }
  for (const child of children) child.sort((a, b) => a.at - b.at)
  return { children, family }
}

/** The part of a service from one time to another, beginning at 0. */
export const part = ({ children, family }: Service, from: number, to: number): Service => ({
  family,
  children: children.map((troubles) =>
    troubles.flatMap((trouble) => {
      if (trouble.at < from || trouble.at >= to) return []
      const at = trouble.at - from
      return trouble._tag === "Flaps" ? { ...trouble, at } : { ...trouble, at, until: trouble.until - from }
    })
  )
})

/** When a child is truly broken. */
export const brokenIn = ({ children }: Service): ReadonlyArray<{ readonly at: number; readonly until: number }> =>
  children.flat().flatMap((trouble) => trouble._tag === "Outage" && trouble.isBroken ? trouble : [])

const events = SupervisorEvent.of("generated_supervisor", "root")
const common = { plane: "control", strategy: "one_for_one", because: "it is generated", limitBecause: "it is generated", events } as const

/** The default that the advisor is measured against: 3 in 5 seconds with the default delay. */
export const defaultPolicy = RestartPolicy.make({ intensity: { maxRestarts: 3, within: "5 seconds" } })

/** The tree of a service: whoever is above starts it again, a second after it gave up. */
export const treeOf = (service: Service, restart: RestartPolicy.Any): Supervisor.Any => {
  const children = service.children.map((_, index) => Child.make(`child${index}`, { start: Effect.succeed(Effect.never) }))
  const supervisor = Supervisor.make("service", { ...common, restart: restart as RestartPolicy.RestartPolicy, children })
  const above = RestartPolicy.make({ intensity: "unlimited", delay: Schedule.spaced(service.family.aboveMillis ?? 1000) })
  return Supervisor.make("app", { ...common, restart: above, children: [supervisor] })
}

/** Lets a service live for a time under a policy, on the engine: the events of its supervisors. */
export const live = (service: Service, restart: RestartPolicy.Any, millis: number): ReadonlyArray<Event.Event> => {
  const worlds = new Map(service.children.map((troubles, index) => [`app/service/child${index}`, new ChildWorld(troubles)]))
  const simulated = Simulation.make(treeOf(service, restart), undefined, { fates: ({ path }, now) => worlds.get(path)?.fate(now) })
  simulated.boot()
  simulated.play(Simulation.Line.Wait({ millis }))
  const told = simulated.entries.flatMap((entry) => entry._tag === "Event" ? [entry.event] : [])
  simulated.discard()
  return told
}

/** What starts of one child meet. Trouble is in the world: it comes at its time, whether the child is up then or not. */
class ChildWorld {
  private readonly troubles: ReadonlyArray<Trouble>
  private next = 0
  private lives: ReadonlyArray<number> = []

  constructor(troubles: ReadonlyArray<Trouble>) {
    this.troubles = troubles
  }

  fate(now: number): Simulation.Fate {
    for (; this.next < this.troubles.length && this.troubles[this.next]!.at <= now; this.next++) {
      const trouble = this.troubles[this.next]!
      if (trouble._tag === "Outage") {
        if (trouble.until > now) return trouble.life > 0 ? shortLife(trouble.life) : { answer: "refused", startMillis: trouble.bootMillis }
        continue
      }
      this.lives = [...this.lives, ...trouble.lives]
    }
    const [life, ...rest] = this.lives
    this.lives = rest
    if (life !== undefined) return shortLife(life)
    const trouble = this.troubles[this.next]
    return trouble === undefined ? {} : { ends: { afterMillis: trouble.at - now, how: "failed" } }
  }
}

const shortLife = (afterMillis: number): Simulation.Fate => ({ ends: { afterMillis, how: "failed" } })
