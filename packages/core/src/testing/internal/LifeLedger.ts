/** The lives that stand-ins told of: one life a path at a time, each in its order of moments, none left when the tree has ended. */
import type { EndingHow, Entry, Moment } from "../../Simulation.ts"
import type { Accuse, Member, SupervisorLedger } from "./SupervisorLedger.ts"

/** One filling of a path, as its stand-in told it. */
export interface Life {
  readonly path: string
  readonly generation: number
  state: Moment
  /** How the script may have ended it: its last line can name the path twice. */
  hows: ReadonlyArray<EndingHow>
  /** Whose life it is. */
  member: Member | undefined
  /** Its own books, when it is a supervisor that has begun to boot. */
  ledger: SupervisorLedger | undefined
  /** Nobody waits for its end: it was abandoned, or stopped brutally, or its supervisor was killed. */
  excused: boolean
}

/** Which moments can follow which. */
const follows: { readonly [After in Moment]: ReadonlyArray<Moment> } = {
  starting: ["up", "refused", "ignored", "stopping", "down"],
  up: ["ended", "stopping", "down"],
  ended: ["down"],
  stopping: ["down"],
  refused: [],
  ignored: [],
  down: []
}

/** Whether nothing of it is left. */
export const isOver = ({ state }: Life): boolean => follows[state].length === 0

export class LifeLedger {
  private readonly lives = new Map<number, Life>()
  private readonly latest = new Map<string, Life>()
  private readonly owners = new Map<string, Array<SupervisorLedger>>()
  private exits: ReadonlyArray<{ readonly path: string; readonly how: EndingHow }> = []
  private readonly accuse: Accuse

  constructor(accuse: Accuse) {
    this.accuse = accuse
  }

  /** The last life that began at a path. */
  at(path: string): Life | undefined {
    return this.latest.get(path)
  }

  /** A supervisor has commanded a start. */
  expect(path: string, owner: SupervisorLedger): void {
    const owners = this.owners.get(path)
    if (owners === undefined) this.owners.set(path, [owner])
    else owners.push(owner)
  }

  /** The script ends children so. */
  ends(exits: ReadonlyArray<{ readonly path: string; readonly how: EndingHow }>): void {
    this.exits = exits
  }

  tell({ generation, moment, path, start }: Extract<Entry, { _tag: "Child" }>): void {
    if (moment === "starting") return this.begin(path, generation, start)
    const life = this.lives.get(start)
    if (life === undefined) return this.accuse("record", path, `${moment} is told of a life that never began`)
    if (!follows[life.state].includes(moment)) this.accuse("double life", path, `generation ${generation} is ${moment} after ${life.state}`)
    life.state = moment
    if (moment === "ended") life.hows = this.exits.flatMap((exit) => exit.path === path ? [exit.how] : [])
  }

  private begin(path: string, generation: number, start: number): void {
    const owner = this.owners.get(path)?.shift()
    const member = owner?.find(path.slice(path.lastIndexOf("/") + 1))
    if (member === undefined || owner === undefined) this.accuse("isolation", path, "begins a life that its supervisor did not command")
    else if (member.generation !== generation) {
      this.accuse("double life", path, `generation ${generation} begins, ${member.generation} was commanded`)
    }
    const excused = owner !== undefined && (owner.killed || owner.life?.excused === true)
    const before = this.latest.get(path)
    if (before !== undefined && !before.excused && !excused && !isOver(before)) {
      this.accuse("double life", path, `generation ${generation} begins while generation ${before.generation} is ${before.state}`)
    }
    const life: Life = { path, generation, state: "starting", hows: [], member, ledger: undefined, excused }
    if (member !== undefined) member.life = life
    this.lives.set(start, life)
    this.latest.set(path, life)
  }

  /** The tree has ended. */
  end(): void {
    for (const life of this.lives.values()) {
      const { excused, generation, path, state } = life
      if (!excused && !isOver(life)) this.accuse("leak", path, `generation ${generation} is ${state} when the tree has ended`)
    }
  }
}
