/** 1024: more than a busy pool has at once, and 8 KiB. */
const keptPlaces = 1024

/** First in, first out, without moving what waits and without memory of its own for each: for queues that are emptied again and again. */
export class Fifo<A> implements Iterable<A> {
  private items: Array<A | undefined> = []
  private head = 0
  private tail = 0

  get length(): number {
    return this.tail - this.head
  }

  push(item: A): void {
    this.items[this.tail++] = item
  }

  take(): A | undefined {
    const { head, items } = this
    if (head === this.tail) return undefined
    const item = items[head]
    items[head] = undefined // it may hold a payload
    this.head = head + 1
    if (this.head === this.tail) this.empty()
    return item
  }

  /** Takes out what does not fulfil `isKept`, and gives it. */
  sift(isKept: (item: A) => boolean): ReadonlyArray<A> {
    const all = [...this]
    this.items = all.filter(isKept)
    this.head = 0
    this.tail = this.items.length
    return all.filter((item) => !isKept(item))
  }

  *[Symbol.iterator](): Iterator<A> {
    for (let index = this.head; index < this.tail; index++) yield this.items[index]!
  }

  /** The places are used again: an array that is cut to nothing gives its memory back, and takes some anew with the next item. */
  private empty(): void {
    this.head = 0
    this.tail = 0
    if (this.items.length > keptPlaces) this.items.length = 0
  }
}
