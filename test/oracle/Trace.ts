/**
 * What one run of a schedule looked like: a line a step, `<events>|<replies>|<supervisors>`, in which two runs can be compared.
 *
 * Line 0 is the boot, line n operation n, then one line for the request to shut down, then one for each timer that fired until the root
 * was dead.
 *
 * ```text
 * events       in order, with spaces between
 *   +7           a start of 7 ended well (of a nested supervisor: after its children's); the root's is `boot=ok` instead
 *   !7           a start of 7 was refused, as FailStarts said (of an instance: its key, though FailStarts names the template)
 *   ?7           a start of 7 was ignored, as FailStarts said
 *   (7           the init of the nested supervisor 7 begins
 *   -7           the leaf (or instance) 7 is down
 *   )7           the supervisor 7 is down, the root too; also one whose init failed
 * replies      in order, with spaces between: `<operation's line>=<shape>`, in the line in which they come; `boot=ok|failed`;
 *              `exit=shutdown|killed|crashed` when a root that had booted is down
 * supervisors  those alive, in the order of `supervisorsOf`, with spaces between
 *   3[4u 5r 6d]#3,1,1,2   static: children in start order (up, restarting, down); count_children: specs, active, supervisors, workers
 *   3{u2 r1 d0}#1,2,0,3   dynamic: how many are up, restarting, down; count_children
 *   3~                    it is busy (in its init, or stopping a child) and does not answer
 * ```
 *
 * A run that neither ends nor waits for a timer has a last line `wedged`.
 */
import { supervisorsOf } from "./Schedule.ts"
import type { Schedule } from "./Schedule.ts"

export type Trace = ReadonlyArray<string>

/** The first step at which two runs part; `undefined` on one side where only the other went on. */
export interface Difference {
  readonly step: number
  readonly expected: string | undefined
  readonly got: string | undefined
}

/** The supervisors that may go down before their leaves, and of whom the leaves are; which of those are dynamic. */
interface Loose {
  readonly owners: ReadonlyMap<string, number>
  readonly dynamic: ReadonlySet<number>
}

const looseOf = ({ operations, root }: Schedule): Loose => {
  const owners = new Map<string, number>()
  const dynamic = new Set<number>()
  for (const supervisor of supervisorsOf(root)) {
    if (supervisor.kind === "dynamic") dynamic.add(supervisor.id)
    else if (supervisor !== root && supervisor.shutdown !== "infinity") {
      for (const child of supervisor.children) owners.set(`-${child.id}`, supervisor.id)
      owners.set(`)${supervisor.id}`, supervisor.id)
    }
  }
  const isLoose = (id: number) => dynamic.has(id) || owners.has(`)${id}`)
  for (const operation of operations) {
    if (operation.op === "StartInstance") owners.set(`-${operation.key}`, operation.sup)
    else if (operation.op === "Start" && isLoose(operation.sup)) owners.set(`-${operation.child.id}`, operation.sup)
    else if (operation.op === "Change" && "children" in operation && isLoose(operation.sup)) {
      for (const child of operation.children) if ("id" in child) owners.set(`-${child.id}`, operation.sup)
    }
  }
  for (const id of dynamic) owners.set(`)${id}`, id)
  return { owners, dynamic }
}

/** Neighbours that are put in order: leaves of one supervisor that went down beside each other, and perhaps the supervisor. */
interface Group {
  readonly owner: number
  down: string | undefined
  readonly leaves: Array<string>
}

const normaliseEvents = (tokens: ReadonlyArray<string>, { dynamic, owners }: Loose): ReadonlyArray<string> => {
  const groups: Array<Group> = []
  const dead = new Map<number, Group>()
  for (const token of tokens) {
    const owner = owners.get(token)
    const last = groups.at(-1)
    if (owner === undefined) {
      groups.push({ owner: -1, down: token, leaves: [] })
      if (token.startsWith("(")) dead.delete(Number(token.slice(1)))
    } else if (token.startsWith(")")) {
      const group = last?.owner === owner ? last : { owner, down: token, leaves: [] }
      group.down = token
      if (group !== last) groups.push(group)
      dead.set(owner, group)
    } else if (dead.has(owner)) dead.get(owner)!.leaves.push(token)
    else if (last?.owner === owner) last.leaves.push(token)
    else groups.push({ owner, down: undefined, leaves: [token] })
  }
  return groups.flatMap(({ down, leaves, owner }) => {
    const mayMove = down !== undefined || dynamic.has(owner)
    return [...(down === undefined ? [] : [down]), ...(mayMove ? [...leaves].sort() : leaves)]
  })
}

/**
 * The same trace with what OTP leaves open put in a fixed order: the instances of a dynamic supervisor are stopped in the order of a hash map;
 * and the leaves of a supervisor that was killed as it stopped, or that crashed, die on their own while the others go on.
 */
export const normalise = (schedule: Schedule): (trace: Trace) => Trace => {
  const loose = looseOf(schedule)
  if (loose.owners.size === 0) return (trace) => trace
  return (trace) =>
    trace.map((line) => {
      const end = line.indexOf("|")
      return end <= 0 ? line : normaliseEvents(line.slice(0, end).split(" "), loose).join(" ") + line.slice(end)
    })
}

/** Where two normalised traces part first. */
export const difference = (expected: Trace, got: Trace): Difference | undefined => {
  const steps = Math.max(expected.length, got.length)
  for (let step = 0; step < steps; step++) {
    if (expected[step] !== got[step]) return { step, expected: expected[step], got: got[step] }
  }
  return undefined
}
