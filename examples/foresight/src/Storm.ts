/** What befalls the shop on a bad day, on virtual time: the real engine, with stand-ins for its children. */
import { Simulation, type Supervisor, Tree } from "@snakepit/core"

const { Exit, FailStarts, StopTakes, Together, Wait } = Simulation.Line

/** A short storm, that a shop should survive. */
export const storm: ReadonlyArray<Simulation.Line> = [
  Wait({ millis: 1000 }),
  Exit({ path: "shop/storage/primary", how: "failed" }),
  Wait({ millis: 1000 }),
  Together({ exits: [{ path: "shop/web", how: "failed" }, { path: "shop/cache", how: "failed" }] }), // one cause, one restart
  Wait({ millis: 1000 }),
  StopTakes({ path: "shop/web", millis: 800 }), // a last request
  FailStarts({ path: "shop/cache", times: 1, how: "fail" }),
  Exit({ path: "shop/cache", how: "failed" }),
  Wait({ millis: 3000 })
]

const lineOf = (entry: Simulation.Entry): ReadonlyArray<string> => {
  switch (entry._tag) {
    case "Child":
      return [`${entry.path} ${entry.moment}`]
    case "Event": {
      const { attributes, measurements, name } = entry.event
      const facts = Object.entries(measurements).filter(([, value]) => value !== undefined).map(([fact, value]) => `${fact} ${value}`)
      return [`» ${name.split(".").at(-1)} ${[attributes["path"], attributes["child"]].filter(Boolean).join("/")}  ${facts.join(", ")}`]
    }
    default:
      return []
  }
}

/** The timeline of the storm, and how the shop stands after it. */
export const timeline = (shop: Supervisor.Any): ReadonlyArray<string> => {
  const { entries, outcome, tree } = Simulation.simulate(shop, storm)
  const shown = entries.filter(({ at }) => at > 0).flatMap((entry) =>
    lineOf(entry).map((line) => `${String(entry.at).padStart(5)}  ${line}`)
  )
  return [...shown, tree === undefined ? outcome._tag : Tree.render(tree)]
}

/** How a crash loop went: how often the child was started, and when the shop gave up; `undefined` if it did not within an hour. */
export interface Loop {
  readonly starts: number
  readonly gaveUpAfter: number | undefined
}

/** The child fails as soon as it is up, each time, for an hour or until the shop gives up. */
export const crashLoop = (shop: Supervisor.Any, path: string): Loop => {
  const simulated = Simulation.make(shop)
  simulated.boot()
  while (simulated.outcome._tag === "Running" && simulated.now < 3_600_000) {
    simulated.play(Exit({ path, how: "failed" }))
    if (simulated.nextTimer !== undefined) simulated.play(Wait({ millis: simulated.nextTimer - simulated.now }))
  }
  const starts = simulated.entries.filter((entry) => entry._tag === "Child" && entry.path === path && entry.moment === "up").length
  const gaveUpAfter = simulated.outcome._tag === "Failed" ? simulated.endedAt : undefined
  simulated.discard()
  return { starts, gaveUpAfter }
}
