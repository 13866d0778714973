/** First in, first out, without moving what waits: for queues that are emptied again and again. */
export class Fifo<A> implements Iterable<A> {
  private items: Array<A | undefined> = []
  private head = 0

  get length(): number {
    return this.items.length - this.head
  }

  push(item: A): void {
    this.items.push(item)
  }

  take(): A | undefined {
    const { head, items } = this
    if (head === items.length) return undefined
    const item = items[head]
    items[head] = undefined // it may hold a payload
    this.head = head + 1
    if (this.head === items.length) {
      items.length = 0
      this.head = 0
    }
    return item
  }

  /** Takes out what does not fulfil `isKept`, and gives it. */
  sift(isKept: (item: A) => boolean): ReadonlyArray<A> {
    const all = [...this]
    this.items = all.filter(isKept)
    this.head = 0
    return all.filter((item) => !isKept(item))
  }

  *[Symbol.iterator](): Iterator<A> {
    for (let index = this.head; index < this.items.length; index++) yield this.items[index]!
  }
}
