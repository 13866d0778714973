/**
 * One child a connection.
 *
 * ```text
 * connections   dynamic   a connection that is lost or fails is not restarted: its client comes back
 * ├─ 1
 * └─ 2
 * ```
 */
import { Child, DynamicSupervisor, RegisteredName, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { Data, Effect, Stream } from "effect"
import type { Socket } from "node:net"
import * as Counter from "./Counter.ts"
import * as Lines from "./Lines.ts"

/** What the program does not survive: here a word, elsewhere a bug. */
export class PoisonLine extends Data.TaggedError("PoisonLine") {
  override readonly message = "a line that no connection survives"
}

const answer = Effect.fnUntraced(function*(socket: Socket, line: string) {
  if (line === "crash") return yield* new PoisonLine()
  const counter = yield* RegisteredName.whereis(Counter.name)
  socket.write(`${line} ${yield* counter.said(line)}\n`)
})

/** The connection over a socket. */
export const child = (id: string, socket: Socket) =>
  Child.make(id, {
    start: Effect.map(Lines.of(socket), (lines) => Stream.runForEach(Stream.fromQueue(lines), (line) => answer(socket, line))),
    restart: "temporary",
    shutdown: "1 second"
  })

const connections = DynamicSupervisor.make("connections", {
  plane: "control",
  restart: RestartPolicy.make({ intensity: { maxRestarts: 0, within: "1 second" } }),
  because: "connections do not depend on each other, and none is restarted",
  limitBecause: "none is restarted: who was connected must connect again",
  events: SupervisorEvent.of("connections_supervisor", "execution"),
  child: (id): ReturnType<typeof child> => Child.make(id, { start: Effect.succeed(Effect.void), restart: "temporary" }),
  maxChildren: 100
})

/** Where the listener finds it. */
export const name = RegisteredName.make<Supervisor.RunningOf<typeof connections>>("connections")

export const supervisor = Supervisor.registered(connections, name)
