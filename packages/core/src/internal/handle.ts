/** The administration calls of a supervisor: each is one event with a token, answered by one reply. */
import * as Effect from "effect/Effect"
import type * as Child from "../Child.ts"
import { ExitReason } from "../ExitReason.ts"
import type * as GiveUpAt from "../GiveUpAt.ts"
import * as SupervisorError from "../SupervisorError.ts"
import type { DynamicSupervisorHandle } from "../SupervisorHandle.ts"
import { Event, type Reply } from "../SupervisorState.ts"
import type * as Tree from "../Tree.ts"
import type * as Why from "../Why.ts"

interface Desk {
  readonly path: string
  readonly has: (id: string) => boolean
  readonly fail: (id: string, reason: ExitReason) => void
  readonly ask: (event: (token: number) => Event) => Effect.Effect<Reply>
  /** Makes the template's child of a key; absent in a static supervisor. */
  readonly prepare: ((key: string) => Child.Any) | undefined
  readonly snapshot: () => Tree.SupervisorNode
  readonly why: (path: string) => ReturnType<typeof Why.of>
  readonly giveUpAt: (path: string) => GiveUpAt.GiveUpAt | undefined
}

type Refusal =
  | SupervisorError.ChildNotFound
  | SupervisorError.ChildPresent
  | SupervisorError.MaxChildren
  | SupervisorError.SupervisorStopping
  | SupervisorError.ChildStartFailed

export const makeHandle = ({ ask, fail, giveUpAt, has, path, prepare, snapshot, why }: Desk): DynamicSupervisorHandle => {
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
      case "Dynamic":
        return Effect.die(new Error(`${path} is dynamic: a child of it that is down is gone. Start one with startChild("${child}")`))
      case "Stopping":
        return Effect.fail(new SupervisorError.SupervisorStopping({ supervisor: path }))
      case "StartFailed":
        return Effect.fail(new SupervisorError.ChildStartFailed({ supervisor: path, child, reason: reply.reason }))
    }
  }
  const notFound = (child: string) => Effect.fail(new SupervisorError.ChildNotFound({ supervisor: path, child }))
  const call = <E extends Refusal>(child: string, event: (token: number) => Event) =>
    Effect.flatMap(ask(event), (reply) => answer(child, reply)) as Effect.Effect<number, E>
  return {
    path,
    failChild: (id, error) =>
      Effect.suspend(() => {
        if (!has(id)) return Effect.fail(new SupervisorError.ChildNotFound({ supervisor: path, child: id }))
        fail(id, ExitReason.Failed({ error }))
        return Effect.void
      }),
    terminateChild: (id) =>
      call<Refusal>(id, (token) => Event.TerminateChild({ id, token })).pipe(
        Effect.catchTag("SupervisorStopping", () => Effect.void), // it goes down with its supervisor
        Effect.asVoid
      ) as Effect.Effect<void, SupervisorError.ChildNotFound>,
    restartChild: (id) => call(id, (token) => Event.RestartChild({ id, token })),
    deleteChild: (id) => Effect.asVoid(call(id, (token) => Event.DeleteChild({ id, token }))),
    startChild: (key) =>
      prepare === undefined
        ? Effect.die(new Error(`${path} is not dynamic: its children are those it was made with`))
        : Effect.suspend(() => {
          const child = prepare(key)
          return call(key, (token) => Event.StartChild({ child, token }))
        }),
    tree: Effect.sync(snapshot),
    why: (asked) =>
      Effect.suspend(() => {
        const answer = why(asked)
        return answer === "unknown" ? notFound(asked) : Effect.succeed(answer === "running" ? undefined : answer)
      }),
    giveUpAt: (asked) =>
      Effect.suspend(() => {
        const answer = giveUpAt(asked)
        return answer === undefined ? notFound(asked) : Effect.succeed(answer)
      })
  }
}
