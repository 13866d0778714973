/** The administration calls of a supervisor: each is one event with a token, answered by one reply. */
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type * as Child from "../Child.ts"
import { ExitReason } from "../ExitReason.ts"
import type * as GiveUpAt from "../GiveUpAt.ts"
import { InvalidSpec } from "../InvalidSpec.ts"
import * as SupervisorError from "../SupervisorError.ts"
import type { AddsChildren, ChildCount, ChildSpec, SupervisorHandle } from "../SupervisorHandle.ts"
import { Event, type Reply } from "../SupervisorState.ts"
import type * as Tree from "../Tree.ts"
import type * as Why from "../Why.ts"

interface Desk<Next> {
  readonly path: string
  readonly has: (id: string) => boolean
  readonly fail: (id: string, reason: ExitReason) => void
  readonly ask: (event: (token: number) => Event) => Effect.Effect<Reply>
  readonly offer: (child: string | Child.Any) => Effect.Effect<Reply>
  readonly change: (next: Next) => Effect.Effect<Reply, SupervisorError.ChangeRefused>
  readonly stop: (why: string) => Effect.Effect<unknown>
  readonly count: () => ChildCount
  readonly childSpec: (id: string) => ChildSpec | undefined
  readonly snapshot: () => Tree.SupervisorNode
  readonly changes: Stream.Stream<Tree.SupervisorNode>
  readonly at: (path: string) => SupervisorHandle | undefined
  readonly why: (path: string) => ReturnType<typeof Why.of>
  readonly giveUpAt: (path: string) => GiveUpAt.GiveUpAt | undefined
}

/** Everything that can be asked; the types of `Supervisor.start` say which supervisors answer what. */
export interface Handle<Next> extends SupervisorHandle, AddsChildren<Child.Any> {
  readonly change: (next: Next) => Effect.Effect<void, SupervisorError.ChangeRefused | SupervisorError.SupervisorStopping>
}

type Refusal =
  | SupervisorError.ChildNotFound
  | SupervisorError.ChildPresent
  | SupervisorError.MaxChildren
  | SupervisorError.SupervisorStopping
  | SupervisorError.ChildStartFailed

export const makeHandle = <Next>(desk: Desk<Next>): Handle<Next> => {
  const { path } = desk
  const answer = (child: string, reply: Reply): Effect.Effect<number, Refusal> => {
    switch (reply._tag) {
      case "Done":
        return Effect.succeed(reply.generation)
      case "Ignored":
        return Effect.succeed(-1)
      case "NotFound":
        return Effect.fail(new SupervisorError.ChildNotFound({ supervisor: path, child }))
      case "Present":
        return Effect.fail(new SupervisorError.ChildPresent({ supervisor: path, child, status: reply.status }))
      case "MaxChildren":
        return Effect.fail(new SupervisorError.MaxChildren({ supervisor: path, maxChildren: reply.maxChildren }))
      case "Invalid":
        return Effect.die(new InvalidSpec({ supervisor: path, child, field: "significant", got: true, rule: "bad_combination" }))
      case "Stopping":
        return Effect.fail(new SupervisorError.SupervisorStopping({ supervisor: path }))
      case "StartFailed":
        return Effect.fail(new SupervisorError.ChildStartFailed({ supervisor: path, child, reason: reply.reason }))
    }
  }
  const answered = <E extends Refusal, F>(child: string, reply: Effect.Effect<Reply, F>) =>
    Effect.flatMap(reply, (reply) => answer(child, reply)) as Effect.Effect<number, E | F>
  const notFound = (child: string) => Effect.fail(new SupervisorError.ChildNotFound({ supervisor: path, child }))
  return {
    path,
    failChild: (id, error) =>
      Effect.suspend(() => {
        if (!desk.has(id)) return notFound(id)
        desk.fail(id, ExitReason.Failed({ error, foreign: true }))
        return Effect.void
      }),
    terminateChild: (id) =>
      answered<Refusal, never>(id, desk.ask((token) => Event.TerminateChild({ id, token }))).pipe(
        Effect.catchTag("SupervisorStopping", () => Effect.void), // it goes down with its supervisor
        Effect.asVoid
      ) as Effect.Effect<void, SupervisorError.ChildNotFound>,
    restartChild: (id) => answered(id, desk.ask((token) => Event.RestartChild({ id, token }))),
    deleteChild: (id) => Effect.asVoid(answered(id, desk.ask((token) => Event.DeleteChild({ id, token })))),
    startChild: (child) => answered(typeof child === "string" ? child : child.id, Effect.suspend(() => desk.offer(child))),
    change: (next) =>
      Effect.asVoid(
        answered<SupervisorError.SupervisorStopping, SupervisorError.ChangeRefused>("", Effect.suspend(() => desk.change(next)))
      ),
    stop: (why) => Effect.asVoid(desk.stop(why)),
    count: Effect.sync(desk.count),
    childSpec: (id) =>
      Effect.suspend(() => {
        const spec = desk.childSpec(id)
        return spec === undefined ? notFound(id) : Effect.succeed(spec)
      }),
    tree: Effect.sync(desk.snapshot),
    changes: desk.changes,
    at: (asked) =>
      Effect.suspend(() => {
        const found = desk.at(asked)
        return found === undefined ? notFound(asked) : Effect.succeed(found)
      }),
    why: (asked) =>
      Effect.suspend(() => {
        const answer = desk.why(asked)
        return answer === "unknown" ? notFound(asked) : Effect.succeed(answer === "running" ? undefined : answer)
      }),
    giveUpAt: (asked) =>
      Effect.suspend(() => {
        const answer = desk.giveUpAt(asked)
        return answer === undefined ? notFound(asked) : Effect.succeed(answer)
      })
  }
}
