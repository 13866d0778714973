/** The contract that the pages show: of any application, whose workers have a child of the user's own. */
import { Effect } from "effect"
import { Child, Contract, Snakepit } from "snakepit"

/** Stands for the children that a user has under each worker. */
const yours = () => [Child.make("yours", { plane: "execution", start: Effect.succeed(Effect.never) })]

/** Stands for the user's configuration, with everything that there may be: what it leaves out has its default. */
const config = {
  gateway: { listen: "unix:gateway.sock" },
  telemetry: { prometheus: {}, otlp: {} },
  pools: { default: { python: { adapter: "tools" } } }
}

const template = (child: Contract.ContractChild): Contract.ContractChild => ({
  ...child,
  id: Contract.templateKey,
  supervisor: child.supervisor && { ...child.supervisor, id: Contract.templateKey }
})

const withTemplates = (contract: Contract.Contract): Contract.Contract => ({
  ...contract,
  children: contract.children.map((child) =>
    contract.strategy === "dynamic" ? template(child) : { ...child, supervisor: child.supervisor && withTemplates(child.supervisor) }
  )
})

export const contract: Effect.Effect<Contract.Contract> = Snakepit.contract(config, { perWorker: { default: yours } }).pipe(
  Effect.map(withTemplates),
  Effect.orDie
)
