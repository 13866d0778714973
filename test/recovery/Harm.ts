/** How a child is ended: by the real means where there is one, else through its supervisor. */
import type { Prediction } from "@snakepit/core/testing"
import { Effect } from "effect"
import { Socket } from "node:net"
import { basename } from "node:path"
import type { Application, Identity } from "./Application.ts"
import { placeOf } from "./Telling.ts"

export interface Harm {
  /** For the page: what was done. */
  readonly means: "SIGKILL" | "socket cut" | "failChild"
  readonly how: Prediction.How
  readonly harm: Effect.Effect<void, unknown>
}

/** The sockets that this process has dialled, by path: nobody else can cut one, as a kernel would. */
const dialled = new Map<string, Socket>()
const connect = Socket.prototype.connect
Socket.prototype.connect = function(this: Socket, ...args: Array<any>) {
  const [options] = Array.isArray(args[0]) ? args[0] : args // net.connect has normalised them
  if (typeof options?.path === "string") {
    dialled.set(basename(options.path), this)
    this.once("close", () => dialled.get(basename(options.path)) === this && dialled.delete(basename(options.path)))
  }
  return Reflect.apply(connect, this, args)
} as typeof connect

/** The socket of a worker: the last that was dialled for its slot. */
const socketOf = (path: string): Socket | undefined => {
  const { pool, slot } = placeOf(path)
  return [...dialled].findLast(([name]) => name.startsWith(`${pool}.${slot}.`))?.[1]
}

/** How to end the child at `path`, for which `process` stands if it is a process. */
export const of = (app: Application, path: string, process: Identity | undefined): Harm => {
  if (process !== undefined) {
    return {
      means: "SIGKILL",
      how: "ends",
      harm: Effect.sync(() => globalThis.process.kill(process.pid, "SIGKILL"))
    }
  }
  const socket = path.endsWith("/channel") ? socketOf(path) : undefined
  if (socket !== undefined) return { means: "socket cut", how: "ends", harm: Effect.sync(() => socket.destroy()) }
  const at = path.lastIndexOf("/")
  const harm = Effect.flatMap(
    app.snakepit.root.at(path.slice(0, at)),
    (supervisor) => supervisor.failChild(path.slice(at + 1), new Error("the recovery suite ended it"))
  )
  return { means: "failChild", how: "failed", harm }
}
