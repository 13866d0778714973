/** A service in memory: how often each line was said. It is made of a layer, anew in each generation. */
import { Child, RegisteredName } from "@snakepit/core"
import { Context, Effect, Layer } from "effect"

export class Counter extends Context.Service<Counter, {
  /** Counts the line, and says how often it was said by now. */
  readonly said: (line: string) => Effect.Effect<number>
}>()("echo/Counter") {}

const layer = Layer.sync(Counter, () => {
  const counts = new Map<string, number>()
  return {
    said: (line: string) =>
      Effect.sync(() => {
        const count = (counts.get(line) ?? 0) + 1
        counts.set(line, count)
        return count
      })
  }
})

/** Where connections find the current one. */
export const name = RegisteredName.make<Counter["Service"]>("counter")

export const child = Child.fromLayer("counter", { key: Counter, layer, name })
