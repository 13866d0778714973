/** `docs/architecture/supervision.md`: the whole tree as its contracts promise it. */
import { Contract } from "snakepit"
import { escalations } from "./Escalations.ts"

const limit = (intensity: Contract.Contract["intensity"]): string =>
  intensity === "unlimited" ? "unlimited, with capped backoff" : `${intensity.maxRestarts} in ${intensity.withinMillis / 1000} s`

const stopTime = (shutdown: Contract.ContractChild["shutdown"]): string =>
  shutdown === "infinity" ? "as long as it takes" : shutdown === "brutal" ? "none" : `${shutdown / 1000} s`

const code = (text: string): string => `\`${text}\``

/** Columns of the drawing, wide enough for the deepest child. */
const columns = { name: 34, kind: 14, plane: 11 }

const drawn = (name: string, kind: string, plane: string, rest: string): string =>
  `${name.padEnd(columns.name)}${kind.padEnd(columns.kind)}${plane.padEnd(columns.plane)}${rest}`.trimEnd()

const branches = (contract: Contract.Contract, indent: string): ReadonlyArray<string> =>
  contract.children.flatMap((child, index) => {
    const last = index === contract.children.length - 1
    const { supervisor } = child
    const rest = supervisor === undefined ? "" : limit(supervisor.intensity)
    const name = child.id === "yours" ? "yours (perWorker)" : child.id
    const line = drawn(`${indent}${last ? "└─" : "├─"} ${name}`, supervisor?.strategy ?? "", child.plane, rest)
    return [line, ...(supervisor === undefined ? [] : branches(supervisor, `${indent}${last ? "  " : "│ "}`))]
  })

const drawing = (root: Contract.Contract): ReadonlyArray<string> => [
  "```text",
  drawn("child", "strategy", "plane", "restarts"),
  drawn(root.id, root.strategy, root.plane, limit(root.intensity)),
  ...branches(root, ""),
  "```"
]

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"))

const goesWith = (contract: Contract.Contract, child: Contract.ContractChild): string => {
  const index = contract.children.indexOf(child)
  const others = contract.strategy === "one_for_all"
    ? contract.children.filter((other) => other !== child)
    : contract.strategy === "rest_for_one"
    ? contract.children.slice(index + 1)
    : []
  return others.map(({ id }) => code(id)).join(", ") || "nobody"
}

const startedBy = (contract: Contract.Contract, path: string): ReadonlyArray<string> =>
  contract.startedBy === "itself"
    ? []
    : [
      `- Its children are started by: ${
        contract.startedBy === "callers" ? "its callers" : code(`${parentOf(path)}/${contract.startedBy}`)
      }.`
    ]

const escalation = (contract: Contract.Contract, path: string): string => {
  if (contract.intensity === "unlimited") return "never, once it is up: it goes on trying"
  return path.includes("/") ? `to ${code(parentOf(path))}, as \`GaveUp\`` : "to its program, as `TreeGaveUp`, which ends it with code 70"
}

const section = ({ contract, path }: { readonly path: string; readonly contract: Contract.Contract }): ReadonlyArray<string> => [
  `## \`${path}\``,
  "",
  `- Strategy: ${contract.strategy}, because ${contract.because}.`,
  `- Restarts: ${limit(contract.intensity)}, because ${contract.limitBecause}.`,
  `- Plane: ${contract.plane}. Layer: ${contract.layer}.`,
  `- Stopped by: ${[path.includes("/") ? `its parent, ${code(parentOf(path))}` : "its program", ...contract.stoppedBy].join("; ")}.`,
  ...startedBy(contract, path),
  `- Escalates: ${escalation(contract, path)}.`,
  `- Events: ${contract.events.map(code).join(", ")}.`,
  "",
  "| child | plane | restart | takes along | may take to stop | failed by |",
  "| --- | --- | --- | --- | --- | --- |",
  ...contract.children.map((child) => {
    const failed = child.failedBy.map(code).join(", ")
    const cells = [code(child.id), child.plane, child.restart, goesWith(contract, child), stopTime(child.shutdown), failed]
    return `| ${cells.join(" | ")} |`
  }),
  ""
]

/** The supervisors that give up one after the other when the budget of each is spent, and who ends the chain. */
const way = (root: Contract.Contract, path: string): string => {
  const all = Contract.flatten(root).filter((entry) => path.startsWith(`${entry.path}/`)).toReversed()
  const above = all.slice(all.findIndex(({ contract }) => contract.intensity !== "unlimited")) // below only its start can fail the one above
  const end = above.findIndex(({ contract }) => contract.intensity === "unlimited")
  const via = above.slice(0, end === -1 ? above.length : end).map((entry) => code(entry.path))
  return [...via, end === -1 ? "the program" : `${code(above[end]!.path)}, which goes on trying`].join(" → ")
}

const escalationTable = (root: Contract.Contract): ReadonlyArray<string> => [
  "## What escalates, as which typed error",
  "",
  "A child's error becomes an escalation when the restarts of its supervisor are used up, or when a delay refuses one (a boot that no restart",
  "can cure). It travels as `GaveUp`, whose `because` is the first error with the path where it happened, and whose `limit` says why there was no",
  "further restart: `IntensityExceeded`, `DelayEnded` or `DeterministicBootFailure`. `Defect` is an error that the child does not declare, `Ended`",
  "an end without one. The children of the launcher stand here with how they can fail to start, when the launcher is started anew. At boot the",
  "first child that does not come up fails the start of all, as `StartFailed` with its path and its error. The compiler holds this table to the",
  "types of the tree.",
  "",
  "| child | errors | gives up |",
  "| --- | --- | --- |",
  ...Object.entries(escalations).map(([path, errors]) => `| ${code(path)} | ${errors.map(code).join(", ")} | ${way(root, path)} |`),
  ""
]

const authority: ReadonlyArray<string> = [
  "## Who may end what, and by which call",
  "",
  "| who | call | what it means |",
  "| --- | --- | --- |",
  "| a supervisor | its own decision | stops and starts its children as strategy and restart type say; nobody else starts a child again |",
  "| the parent of a supervisor | stops it as any child | its children go first, the last one first |",
  "| an operator | `root.at(path)`, then `terminateChild(id)` | planned: never counts; the child stays down until `restartChild(id)` |",
  "| an operator | `root.at(path)`, then `failChild(id, reason)` | as if it had failed: counts, passes the restart table |",
  "| an operator | `root.at(path)`, then `stop(why)` | a clean end of that supervisor; its parent starts a permanent one again |",
  "| a sibling under _failed by_ | `failChild(id, reason)` of their supervisor | abnormal, counted, followed by a replacement |",
  "| the program | closing the scope of the layer | stops everything in reverse start order |",
  "",
  "A supervisor without a limit never ends by itself: `pools`, `bridge` and `telemetry` go on trying, and nothing below them reaches the root. What an",
  "operator does to them is another matter: `failChild` of the root's handle on one of them counts as a failure of theirs and spends the root's",
  "budget, and so does a defect of the engine itself. The types of escalations leave both out, as no child can cause them.",
  "",
  "Nobody else ends anything. Monitors never stop a worker and never signal a process: they say to its supervisor that it has failed, and why.",
  ""
]

const checklist: ReadonlyArray<string> = [
  "## Adding a child",
  "",
  "1. _Which plane?_ Does it belong to one worker, so that it must begin and end with its process? Then it is of the _execution_ plane and goes",
  "   under the worker's supervisor, after what it uses; a user's own goes through `perWorker`. Does it decide for, or serve, many workers? Then it",
  "   is of the _control_ plane and goes under `control`, `launcher`, the pool, or Foundation. Say `plane` in `Child.make`: in the wrong place it does",
  "   not compile.",
  "2. _What must survive its crash?_ State that others need lives in a child above it (the Roster, the ProcessRegistry), never in itself.",
  "3. _Who goes with it?_ Under `rest_for_one` its place decides: after what it cannot live without, before what cannot live without it.",
  "4. _How long may it take to stop?_ Set `shutdown` above the longest of its finalizers. A supervisor's stays as long as it takes.",
  "5. _How can it fail?_ Typed errors of starting and of running. If its supervisor can give up, the compiler asks for a line in",
  "   `scripts/Escalations.ts`.",
  "6. _May it end a sibling, or a sibling it?_ Only with `failChild`, and `failedBy` of the supervisor says so.",
  "7. _Is it a supervisor?_ One file: drawing, contract, children. `because`, `limitBecause` and `events` are required; the events are declared beside",
  "   the emitter (`XEvent.ts`) and listed in its `declarations`.",
  "8. _What does it tell_ when it comes up and goes down? Say it in `test/recovery/Telling.ts`: the recovery suite kills it from now on, and fails until",
  "   something says what to expect.",
  "9. `npm run gen`, `npm run test:recovery -- --record`, `npm test`: this page and [failures](../failures.md) follow from the contracts.",
  ""
]

/** The page. */
export const supervisionPage = (note: string, root: Contract.Contract): string =>
  [
    note,
    "",
    "# The supervision tree",
    "",
    "What each supervisor holds, how it restarts and why, who may end what, and what escalates where. Made from the contracts of the supervisors and",
    "compared with a running application in every test run. What a child's end costs, and how long, is in [failures](../failures.md).",
    "",
    "The _control_ plane decides for many workers; the _execution_ plane is everything that belongs to one. A crash of `control` or anything in it",
    "touches no worker; of `roster`, `reaper` or `fleet`, all of the pool's.",
    "",
    ...drawing(root),
    "",
    "`<key>` stands for each pool under `pools`, and for each slot under `fleet`; `yours` for the children that a user has under each worker of a pool",
    "(`perWorker`). The limits are the defaults: `contract` of the `Snakepit` service is this tree as your configuration has it.",
    "",
    ...authority,
    ...Contract.flatten(root).flatMap(section),
    ...escalationTable(root),
    ...checklist
  ].join("\n")
