/**
 * The whole service.
 *
 * ```text
 * echo             rest_for_one   3 restarts in 10 s
 * ├─ counter       a service made of a layer
 * ├─ connections   dynamic, one child a connection
 * ├─ listener      a TCP server on loopback
 * └─ watchdog      tries the listener from outside
 * ```
 */
import { RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import * as Connections from "./Connections.ts"
import * as Counter from "./Counter.ts"
import * as Listener from "./Listener.ts"
import * as Watchdog from "./Watchdog.ts"

export const supervisor = Supervisor.make("echo", {
  plane: "control",
  strategy: "rest_for_one",
  restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "10 seconds" } }),
  because: "each uses those before it: connections count, the listener hands over to connections, the watchdog tries the listener",
  limitBecause: "a port that is taken for a moment is free by the third restart; after that somebody else has it",
  events: SupervisorEvent.of("echo_supervisor", "control"),
  children: [Counter.child, Connections.supervisor, Listener.child, Watchdog.child]
})
