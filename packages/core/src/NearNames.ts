/** What somebody may have meant who wrote a name that is not there. Pure. */

/** Letters to add, leave out or change to come from one name to the other; case does not count. */
const distance = (from: string, to: string): number => {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[to.length]!
}

/** As long as names in a program are; what is longer is no slip of the pen, and costs its square. */
const longest = 64

/** At most three, the nearest first. Two letters may be wrong, as when they change places; one of a short name; a third of a long one. */
const near = (name: string, names: ReadonlyArray<string>): ReadonlyArray<string> => {
  if (name.length > longest) return []
  const most = name.length < 4 ? 1 : Math.max(2, Math.floor(name.length / 3))
  return names
    .filter((other) => Math.abs(other.length - name.length) <= most)
    .map((other) => ({ other, far: distance(name.toLowerCase(), other.toLowerCase()) }))
    .filter(({ far }) => far <= most)
    .sort((a, b) => a.far - b.far)
    .slice(0, 3)
    .map(({ other }) => other)
}

/** ` Did you mean "mean"?`, or nothing. */
export const hint = (name: string, names: ReadonlyArray<string>): string => {
  const found = near(name, names).map((other) => `"${other}"`)
  return found.length === 0 ? "" : ` Did you mean ${found.join(" or ")}?`
}
