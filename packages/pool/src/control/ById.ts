/**
 * What is known by an id that was counted up: a table indexed by the last bits of the id, and beside it a map for the few whose place is taken.
 *
 * **Why not a `Map`.** One whose entries come and go is built anew again and again, and V8 links each table that it gives up to the next. Once one
 * of them has become old, all that follow are kept until the next full collection, and with them every entry that stood in them (measured under 256
 * calls in flight: 25 of the 50 MB that each minor collection looked at, and 1 to 2 µs a call).
 */
export class ById<A> implements Iterable<readonly [id: number, value: A]> {
  private ids: Array<number> = []
  private entries: Array<A | undefined> = []
  private mask = 0
  private readonly more = new Map<number, A>()
  private count = 0

  /** `places`: a power of two; doubled when half of them are taken. 256: twice what two workers have in flight. */
  constructor(places = 256) {
    this.clear(places)
  }

  get size(): number {
    return this.count
  }

  get(id: number): A | undefined {
    const place = id & this.mask
    if (this.ids[place] === id) return this.entries[place]
    return this.more.size === 0 ? undefined : this.more.get(id)
  }

  has(id: number): boolean {
    return this.get(id) !== undefined
  }

  set(id: number, value: A): void {
    const place = id & this.mask
    if (this.ids[place] === id) this.entries[place] = value
    else if (this.more.has(id)) this.more.set(id, value)
    else {
      this.count++
      if (this.ids[place] === nobody) {
        this.ids[place] = id
        this.entries[place] = value
        return
      }
      this.more.set(id, value)
      if (this.count * 2 > this.mask) this.grow()
    }
  }

  delete(id: number): void {
    const place = id & this.mask
    if (this.ids[place] === id) {
      this.ids[place] = nobody
      this.entries[place] = undefined
    } else if (!this.more.delete(id)) return
    this.count--
  }

  /** In the order of the ids, as they were when it was asked for; an entry that has been taken out meanwhile is left out. */
  *[Symbol.iterator](): IterableIterator<readonly [id: number, value: A]> {
    for (const id of [...this.ids.filter((id) => id !== nobody), ...this.more.keys()].toSorted((a, b) => a - b)) {
      const value = this.get(id)
      if (value !== undefined) yield [id, value]
    }
  }

  *keys(): IterableIterator<number> {
    for (const [id] of this) yield id
  }

  *values(): IterableIterator<A> {
    for (const [, value] of this) yield value
  }

  private grow(): void {
    const all = [...this]
    this.clear(2 * (this.mask + 1))
    for (const [id, value] of all) this.set(id, value)
  }

  private clear(places: number): void {
    this.mask = places - 1
    this.ids = Array.from({ length: places }, () => nobody)
    this.entries = Array.from({ length: places }, () => undefined)
    this.more.clear()
    this.count = 0
  }
}

/** Ids are counted up, from 0 or more. */
const nobody = -1
