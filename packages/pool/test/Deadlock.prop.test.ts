/** The search for deadlocks against brute force: every order in which calls may end, and queued ones may take their places. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Deadlock from "../src/control/Deadlock.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** By numbers that are taken modulo what there is: pools by their places, and calls in the order in which they were made. */
const World = Schema.Struct({
  pools: Schema.Array(int(1, 3)).check(Schema.isMinLength(1), Schema.isMaxLength(3)),
  calls: Schema.Array(Schema.Struct({ pool: int(0, 2), from: int(0, 40), bound: Schema.Boolean })).check(
    Schema.isMinLength(1),
    Schema.isMaxLength(14)
  )
})

interface Call {
  readonly at: number
  readonly pool: number
  /** It waits for one place of its pool alone, as calls of a session do. */
  readonly bound: number | undefined
  place: number | undefined
  waitsFor: Call | undefined
}

interface Made {
  readonly pools: ReadonlyArray<number>
  readonly calls: ReadonlyArray<Call>
}

/** Calls take a free place at once or queue; one is made by a call that holds a place and waits for nobody yet, or from outside. */
const build = (world: typeof World.Type): Made => {
  const calls: Array<Call> = []
  for (const { bound, from, pool: number } of world.calls) {
    const pool = number % world.pools.length
    const places = world.pools[pool]!
    const taken = new Set(calls.filter((call) => call.pool === pool).map(({ place }) => place))
    const own = bound ? from % places : undefined
    const place = Array.from({ length: places }, (_, index) => index).find((index) =>
      !taken.has(index) && (own === undefined || own === index)
    )
    const call: Call = { at: calls.length, pool, bound: own, place, waitsFor: undefined }
    const may = calls.filter((other) => other.place !== undefined && other.waitsFor === undefined)
    if (may.length > 0 && from % 4 > 0) may[from % may.length]!.waitsFor = call
    calls.push(call)
  }
  return { pools: world.pools, calls }
}

const blockersIn = ({ calls, pools }: Made, over: ReadonlySet<Call>) => (call: Call): ReadonlyArray<Call> | undefined => {
  if (call.place !== undefined) return call.waitsFor === undefined || over.has(call.waitsFor) ? undefined : [call.waitsFor]
  const holders = calls.filter((other) =>
    !over.has(other) && other.pool === call.pool && other.place !== undefined && (call.bound === undefined || other.place === call.bound)
  )
  return holders.length < (call.bound === undefined ? pools[call.pool]! : 1) ? undefined : holders
}

/** All calls that can ever be over, found by letting whatever can go on go on; `first` turns the order in which they do. */
const canEnd = ({ calls, pools }: Made, given: ReadonlySet<Call>, first: number): ReadonlySet<Call> => {
  const over = new Set(given)
  const places = new Map(calls.flatMap((call) => call.place === undefined || over.has(call) ? [] : [[call, call.place] as const]))
  for (let moved = true; moved;) {
    moved = false
    for (let step = 0; step < calls.length; step++) {
      const call = calls[(first + step) % calls.length]!
      if (over.has(call)) continue
      if (!places.has(call)) {
        const taken = new Set([...places].filter(([other]) => other.pool === call.pool).map(([, place]) => place))
        const free = Array.from({ length: pools[call.pool]! }, (_, index) => index)
          .find((index) => !taken.has(index) && (call.bound === undefined || call.bound === index))
        if (free === undefined) continue
        places.set(call, free)
        moved = true
      } else if (call.waitsFor === undefined || over.has(call.waitsFor)) {
        places.delete(call)
        over.add(call)
        moved = true
      }
    }
  }
  return over
}

const age = (call: Call) => call.place === undefined ? call.at : undefined

describe("a deadlock", () => {
  it.prop("is found exactly where no order of events lets the call go on", { world: World }, ({ world }) => {
    const made = build(world)
    const ends = canEnd(made, new Set(), 0)
    for (let first = 1; first < made.calls.length; first++) {
      const others = canEnd(made, new Set(), first)
      assert.isTrue(others.size === ends.size && [...others].every((call) => ends.has(call)), "the order matters")
    }
    for (const call of made.calls) {
      const circle = Deadlock.find(call, blockersIn(made, new Set()), age)
      assert.strictEqual(circle === undefined, ends.has(call), `call ${call.at}`)
    }
  }, { arbitrary: { runs: 3000 } })

  it.prop(
    "names a circle: each waits for the next, and of those that may be given up the first is the youngest",
    { world: World },
    ({ world }) => {
      const made = build(world)
      const blockers = blockersIn(made, new Set())
      for (const call of made.calls) {
        const circle = Deadlock.find(call, blockers, age)
        if (circle === undefined) continue
        assert.isUndefined(circle[0]!.place)
        assert.strictEqual(new Set(circle).size, circle.length)
        circle.forEach((one, index) => assert.include(blockers(one)!, circle[(index + 1) % circle.length]!))
        for (const other of circle) assert.isAtMost(age(other) ?? 0, circle[0]!.at)
      }
    },
    { arbitrary: { runs: 1000 } }
  )

  it.prop("is over when the call that it names is given up, again and again until all calls are", { world: World }, ({ world }) => {
    const made = build(world)
    const over = new Set<Call>()
    for (let given = 0; given <= made.calls.length; given++) {
      for (const call of canEnd(made, over, 0)) over.add(call)
      const stuck = made.calls.find((call) => !over.has(call))
      if (stuck === undefined) return
      const circle = Deadlock.find(stuck, blockersIn(made, over), age)
      assert.isDefined(circle, "nothing is to be given up, and nothing goes on")
      const before = over.size
      over.add(circle![0]!)
      assert.isAbove(canEnd(made, over, 0).size, before + 1, "giving it up lets nobody go on")
    }
    assert.fail("more was given up than there was")
  }, { arbitrary: { runs: 3000 } })
})
