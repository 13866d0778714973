/** A tree made from a recorded contract: it supervises as the real one did, and starts nothing. */
import { Child, type Contract, DynamicSupervisor, type RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { childAt } from "./Place.ts"

/** What the contract leaves open. */
export interface Options {
  /** The policy of the supervisor at a path. */
  readonly restartOf: (path: string, contract: Contract.Contract) => RestartPolicy.Any
  /** The keys that a dynamic supervisor starts with. */
  readonly initialOf: (path: string, contract: Contract.Contract) => ReadonlyArray<string>
}

/** The tree of a contract, to be simulated. */
export const make = (contract: Contract.Contract, options: Options): Supervisor.Any => supervisorOf(contract, contract.id, {}, options)

const events = SupervisorEvent.of("replayed_supervisor", "root")

interface Above {
  readonly restartType?: Contract.ContractChild["restart"]
  readonly significant?: boolean
  readonly shutdown?: Child.Shutdown
}

const supervisorOf = (contract: Contract.Contract, path: string, above: Above, options: Options): Supervisor.Any => {
  const common = {
    plane: "control",
    because: "it was recorded so",
    limitBecause: "it was recorded so",
    events,
    restart: options.restartOf(path, contract),
    ...above
  } as const
  const below = (child: Contract.ContractChild) => childOf(child, `${path}/${child.id}`, options) as Recorded
  if (contract.strategy !== "dynamic") {
    const { autoShutdown, children, id, strategy } = contract
    return Supervisor.make(id, { ...common, strategy, autoShutdown, children: children.map(below) })
  }
  return DynamicSupervisor.make(contract.id, {
    ...common,
    child: (key) => below(childAt(contract, `${contract.id}/${key}`)?.child ?? unknownChild(key)),
    initial: Effect.sync(() => options.initialOf(path, contract))
  })
}

/** A supervisor that fits under any other, and needs nothing: so its children are taken to be. */
type Recorded = Supervisor.Supervisor<string, any, any, never, never>

const childOf = (child: Contract.ContractChild, path: string, options: Options): Child.Any => {
  const { id, restart, significant, supervisor } = child
  const shutdown = typeof child.shutdown === "number" ? Duration.millis(child.shutdown) : child.shutdown
  return supervisor === undefined
    ? Child.make(id, { start: replayedOnly, restart, shutdown, significant } as Child.Options)
    : supervisorOf({ ...supervisor, id }, path, { restartType: restart, significant, shutdown }, options)
}

const unknownChild = (id: string): Contract.ContractChild => ({
  id,
  plane: "control",
  restart: "permanent",
  significant: false,
  shutdown: 5000, // a child's own default
  failedBy: [],
  supervisor: undefined
})

const replayedOnly = Effect.die(new Error("a recorded child has no code to start. Play its tree with Simulation"))
