/** `docs/qa/chaos-playbook.md`: every scenario of `npm run chaos`, what it shows, how a person does it, and what the contracts say of it. */
import { Prediction } from "@snakepit/core/testing"
import { Contract } from "snakepit"
import type { Scenario } from "../test/chaos/Session.ts"

/** What the page says of a scenario. */
export type Played = Pick<Scenario, "name" | "about" | "mustSee" | "byHand" | "touches" | "runs" | "shortRuns">

const code = (text: string): string => `\`${text}\``
const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"))
const idOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

const limit = (intensity: Contract.Contract["intensity"]): string =>
  intensity === "unlimited" ? "without limit" : `${intensity.maxRestarts} in ${intensity.withinMillis / 1000} s`

/** Who may go with a child that ends, by the contract of its supervisor. */
const damage = (root: Contract.Contract, path: string): string => {
  const { group, victims } = Prediction.of(root, path, "ends")
  const others = group.filter((at) => at !== path).map((at) => code(idOf(at)))
  const below = victims.some((at) => at.startsWith(`${path}/`))
  return [...below ? ["all below it"] : [], ...others].join(", ") || "nobody"
}

const contractLine = (root: Contract.Contract, contracts: ReadonlyMap<string, Contract.Contract>, path: string): string => {
  if (path === root.id) return `| ${code(path)} | its program | | | everything: the program ends, and its processes with it |`
  const above = parentOf(path)
  const { intensity, strategy } = contracts.get(above)!
  return `| ${code(path)} | ${code(above)} | ${strategy} | ${limit(intensity)} | ${damage(root, path)} |`
}

const times = (runs: number): string => runs === 1 ? "once" : `${runs} times`

const list = (paths: ReadonlyArray<string>): string => paths.map(code).join(", ")

const section = (
  root: Contract.Contract,
  contracts: ReadonlyMap<string, Contract.Contract>,
  { about, byHand, mustSee, name, runs, shortRuns, touches }: Played
): ReadonlyArray<string> => [
  `## \`${name}\``,
  "",
  `${about[0]!.toUpperCase()}${about.slice(1)}.`,
  "",
  `\`npm run chaos -- --scenario ${name}\` does it ${
    runs === undefined ? "once for each harm that there is" : times(runs)
  }, and with \`--short\` ${times(shortRuns)}.`,
  "",
  "What must be seen:",
  "",
  ...mustSee.events.length === 0 ? [] : [`- events: ${mustSee.events.map(code).join(", ")};`],
  ...mustSee.holds.map((sentence, index) => `- ${sentence}${index === mustSee.holds.length - 1 ? "." : ";"}`),
  "",
  "By hand:",
  "",
  ...byHand.map((step, index) => `${index + 1}. ${step}`),
  "",
  ...touches.ends.length === 0 ? [] : [
    "| what ends | by the contract of | strategy | restarts | who may go with it |",
    "| --- | --- | --- | --- | --- |",
    ...touches.ends.map((path) => contractLine(root, contracts, path)),
    ""
  ],
  ...touches.tries.length === 0 ? [] : [`Put to the test, and must not end by it: ${list(touches.tries)}.`, ""]
]

/** The children of one contract that a scenario touches. */
const cell = ({ ends, tries }: Played["touches"], path: string): string => {
  const ofIt = (paths: ReadonlyArray<string>) => paths.filter((child) => parentOf(child) === path).map(idOf)
  return [...ofIt(ends).map(code), ...ofIt(tries).map((id) => `(${code(id)})`)].join(", ")
}

const matrix = (contracts: ReadonlyArray<string>, scenarios: ReadonlyArray<Played>): ReadonlyArray<string> => [
  `| scenario | ${
    contracts.map((path) => code(idOf(path) === Contract.templateKey ? `${idOf(parentOf(path))}/${idOf(path)}` : idOf(path))).join(" | ")
  } |`,
  `| --- | ${contracts.map(() => "---").join(" | ")} |`,
  ...scenarios.map(({ name, touches }) => {
    const cells = contracts.map((path, index) => index === 0 && touches.ends.includes(path) ? "all of it" : cell(touches, path))
    return `| [${code(name)}](#${name}) | ${cells.join(" | ")} |`
  }),
  ""
]

/** Throws for what there is not, and for a contract that no scenario touches. */
const demand = (what: string, wrong: ReadonlyArray<string>): void => {
  if (wrong.length > 0) throw new Error(`${what}: ${wrong.join(", ")}. Correct test/chaos/scenarios`)
}

/** The page. `events` are the names that are declared. */
export const playbookPage = (
  note: string,
  root: Contract.Contract,
  scenarios: ReadonlyArray<Played>,
  events: ReadonlySet<string>
): string => {
  const contracts = new Map(Contract.flatten(root).map(({ contract, path }) => [path, contract]))
  const paths = new Set([root.id, ...Contract.children(root).map(({ path }) => path)])
  const touched = scenarios.flatMap(({ touches }) => [...touches.ends, ...touches.tries])
  demand(
    "scenarios name events that nobody declares",
    scenarios.flatMap(({ mustSee }) => mustSee.events.filter((name) => !events.has(name)))
  )
  demand("scenarios touch what is in no contract", touched.filter((path) => !paths.has(path)))
  demand(
    "no scenario touches a child of these contracts",
    [...contracts.keys()].filter((path) => !touched.some((child) => parentOf(child) === path))
  )
  return [
    note,
    "",
    "# Chaos playbook",
    "",
    "What can be done to a running application to see that it bears it: by `npm run chaos`, which harms real processes under load, watches `/proc` from",
    "outside and accounts for every call; and by hand, on an application of your own. What each failure costs, as measured, is in",
    "[failures](../failures.md); who restarts whom, in [the supervision tree](../architecture/supervision.md).",
    "",
    "Before you do it by hand: have calls run, and look at the events (`EventLog`, or attach to the `EventBus`) and at the tree (`tree` of the `Snakepit`",
    "service). `pgrep -af snakepit` shows the processes; the environment of each names its worker (`tr '\\0' '\\n' < /proc/<pid>/environ | grep SNAKEPIT`).",
    "A run that fails prints the command that repeats it. What cannot run on a machine says so and counts as skipped.",
    "",
    "## Contracts and scenarios",
    "",
    "Under each supervisor those of its children that a scenario ends, and in brackets those that it puts to the test and that must not end.",
    "",
    ...matrix([...contracts.keys()], scenarios),
    ...scenarios.flatMap((scenario) => section(root, contracts, scenario))
  ].join("\n")
}
