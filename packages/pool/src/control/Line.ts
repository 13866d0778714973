/**
 * A line of objects that stand in at most one line each: joining, leaving from anywhere and going first cost O(1) and no memory, because the
 * links are in the objects themselves.
 */

export interface Line<A> {
  first: A | undefined
  last: A | undefined
  length: number
}

/** What can stand in a line. */
export interface Linked<A> {
  line: Line<A> | undefined
  before: A | undefined
  after: A | undefined
}

export const make = <A>(): Line<A> => ({ first: undefined, last: undefined, length: 0 })

/** Puts `member`, which stands in no line, at the end. */
export const push = <A extends Linked<A>>(line: Line<A>, member: A): void => {
  member.line = line
  member.before = line.last
  if (line.last === undefined) line.first = member
  else line.last.after = member
  line.last = member
  line.length++
}

/** Puts `member`, which stands in no line, before all others. */
export const unshift = <A extends Linked<A>>(line: Line<A>, member: A): void => {
  member.line = line
  member.after = line.first
  if (line.first === undefined) line.last = member
  else line.first.before = member
  line.first = member
  line.length++
}

/** Takes `member` out of its line, if it stands in one. */
export const leave = <A extends Linked<A>>(member: A): void => {
  const { after, before, line } = member
  if (line === undefined) return
  if (before === undefined) line.first = after
  else before.after = after
  if (after === undefined) line.last = before
  else after.before = before
  line.length--
  unlink(member)
}

/** Forgets where it stood, for a line that is given up as a whole. */
export const unlink = <A>(member: Linked<A>): void => {
  member.line = undefined
  member.before = undefined
  member.after = undefined
}

/** The members in order. A member may leave while it is visited. */
export function* members<A extends Linked<A>>(line: Line<A>): Iterable<A> {
  for (let member = line.first; member !== undefined;) {
    const next: A | undefined = member.after
    yield member
    member = next
  }
}
