import { assert, describe, it } from "@effect/vitest"
import { DynamicSupervisor, RestartPolicy, Supervisor, SupervisorEvent, Tree } from "@snakepit/core"
import { ScriptedChild } from "@snakepit/core/testing"
import { Effect, Exit, Schedule, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"

const ids = ["a", "b", "c"] as const
const id = Schema.Literals(ids)
const few = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))

const Line = Schema.TaggedUnion({
  Fail: { id },
  End: { id },
  Die: { id },
  Interrupt: { id },
  FailAll: {},
  RefuseStarts: { id, times: few },
  StartTakes: { id, millis: Schema.Literals([0, 30]) },
  StopTakes: { id, millis: Schema.Literals([0, 30, 9_000]) },
  FailChild: { id },
  TerminateChild: { id },
  RestartChild: { id },
  Wait: { millis: Schema.Literals([1, 10, 50, 200]) }
})

const Script = Schema.Struct({
  kind: Schema.Literals(["one_for_one", "one_for_all", "rest_for_one", "dynamic"]),
  maxRestarts: few,
  delay: Schema.Literals([0, 20]),
  outer: Schema.Boolean,
  lines: Schema.Array(Line).check(Schema.isMaxLength(25))
})

const events = SupervisorEvent.of("app_supervisor", "root")
const common = { plane: "control", because: "it is a test", limitBecause: "it is a test", events } as const

type Tree = Supervisor.Supervisor<string, any, any, never, "control">

describe("a supervisor that runs, with generated harm", () => {
  it.effect.prop(
    "has one generation of a child at a time, brings back whom it owes it, and always stops",
    { script: Script },
    ({ script }) =>
      Effect.gen(function*() {
        const journal = ScriptedChild.journal()
        const child = (key: string) => ScriptedChild.make(key, { journal, shutdown: "1 second" })
        const children = { a: child("a"), b: child("b"), c: child("c") }
        const restart = RestartPolicy.make({
          intensity: { maxRestarts: script.maxRestarts === 3 ? 10_000 : script.maxRestarts, within: "1 second" },
          delay: Schedule.spaced(script.delay)
        })
        const inner: Tree = script.kind === "dynamic"
          ? DynamicSupervisor.make("app", {
            ...common,
            restart,
            initial: Effect.succeed(ids),
            child: (key) => children[key as "a"] ?? child(key)
          })
          : Supervisor.make("app", { ...common, strategy: script.kind, restart, children: [children.a, children.b, children.c] })
        const tree: Tree = script.outer
          ? Supervisor.make("root", { ...common, strategy: "one_for_one", restart, children: [inner] })
          : inner
        const scope = yield* Scope.make()
        const running = yield* Scope.provide(Supervisor.start(tree), scope)
        const life = yield* Effect.forkChild(Effect.exit(running.life), { startImmediately: true })
        const down = new Set<string>()
        const gently = (effect: Effect.Effect<unknown, unknown>) =>
          Effect.andThen(Effect.forkChild(Effect.ignoreCause(effect), { startImmediately: true }), TestClock.adjust(0))
        for (const line of script.lines) {
          switch (line._tag) {
            case "Fail":
              yield* gently(children[line.id].fail())
              break
            case "End":
              yield* gently(children[line.id].end)
              break
            case "Die":
              yield* gently(children[line.id].die("a bug"))
              break
            case "Interrupt":
              yield* gently(children[line.id].interrupt)
              break
            case "FailAll":
              yield* gently(Effect.forEach(ids, (id) => Effect.ignoreCause(children[id].fail())))
              break
            case "RefuseStarts":
              yield* children[line.id].failNextStarts(line.times)
              break
            case "StartTakes":
              yield* children[line.id].setStartTakes(line.millis)
              break
            case "StopTakes":
              yield* children[line.id].setStopTakes(line.millis)
              break
            case "FailChild":
              yield* gently(running.failChild(line.id, "frozen"))
              break
            case "TerminateChild":
              if (!script.outer) down.add(line.id)
              yield* gently(running.terminateChild(line.id))
              break
            case "RestartChild":
              yield* gently(running.restartChild(line.id))
              break
            case "Wait":
              yield* TestClock.adjust(line.millis)
          }
        }
        for (const id of ids) yield* children[id].failNextStarts(0)
        yield* TestClock.adjust("40 seconds")
        if (life.pollUnsafe() === undefined) {
          for (const node of Tree.flatten(yield* running.tree)) {
            assert.isTrue(
              node.status === "running" || (node.status === "down" && down.has(node.id)),
              `${node.path} is ${node.status} at rest`
            )
          }
        }
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        yield* TestClock.adjust("10 seconds")
        assert.isDefined(closing.pollUnsafe(), "it does not stop")
        yield* TestClock.adjust("10 seconds") // what was left behind
        for (const id of ids) {
          const up = journal.entries.filter(({ child, moment }) => child === id && (moment === "up" || moment === "stopping"))
          for (const [index, { moment }] of up.entries()) {
            assert.isTrue(moment !== "up" || up[index - 1]?.moment !== "up", `${id} is up twice`)
          }
          assert.notStrictEqual(up.at(-1)?.moment, "up", `${id} outlives its supervisor`)
        }
      }),
    { arbitrary: { runs: 200, size: 25 } }
  )
})
