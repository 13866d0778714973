/** The tables of docs/core/semantics.md: what they say is asked of the code, or seen in a simulation. */
import { Child, ExitReason, RestartPolicy, RestartType, Semantics, Simulation, Supervisor, SupervisorEvent, Tree } from "@snakepit/core"
import { Effect, Schedule } from "effect"

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n")

// ── restart type × reason ───────────────────────────────────────────────────────────────────────────────────────────────────────

const reasons: ReadonlyArray<ExitReason.ExitReason> = [
  { _tag: "Normal" },
  { _tag: "Shutdown", why: "" },
  { _tag: "Killed", graceMillis: 0 },
  { _tag: "Failed", error: undefined },
  { _tag: "Defect", defect: undefined }
]

const restartTypes = (): string =>
  table(
    ["restart type", ...reasons.map((reason) => `\`${reason._tag}\` (${ExitReason.isAbnormal(reason) ? "abnormal" : "clean"})`)],
    (["permanent", "transient", "temporary"] as const).map((type) => [
      `\`${type}\``,
      ...reasons.map((reason) => RestartType.decide(type, reason))
    ])
  )

// ── what a simulation shows ─────────────────────────────────────────────────────────────────────────────────────────────────────

const treeOf = (strategy: "one_for_one" | "one_for_all" | "rest_for_one", ids: ReadonlyArray<string>) =>
  Supervisor.make("app", {
    plane: "control",
    strategy,
    restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "10 seconds" }, delay: Schedule.spaced("1 second") }),
    because: "the page shows it",
    limitBecause: "the page shows it",
    events: SupervisorEvent.of("app_supervisor", "root"),
    children: ids.map((id) => Child.make(id, { start: Effect.succeed(Effect.never) }))
  })

const idsAt = (entries: ReadonlyArray<Simulation.Entry>, moment: Simulation.Moment): string =>
  entries.flatMap((entry) => entry._tag === "Child" && entry.moment === moment ? [entry.path.slice("app/".length)] : []).join(", ")

const strategies = (): string =>
  table(
    ["strategy", "starts", "when `b` fails, it stops", "then it starts", "at its own stop, it stops"],
    (["one_for_one", "rest_for_one", "one_for_all"] as const).map((strategy) => {
      const tree = Simulation.make(treeOf(strategy, ["a", "b", "c"]))
      const shown = (line: () => void): ReadonlyArray<Simulation.Entry> => {
        const from = tree.entries.length
        line()
        return tree.entries.slice(from)
      }
      const boot = shown(() => tree.boot())
      const harm = shown(() => {
        tree.play(Simulation.Line.Exit({ path: "app/b", how: "failed" }))
        tree.play(Simulation.Line.Wait({ millis: 1000 }))
      })
      const stop = shown(() => tree.play(Simulation.Line.Shutdown()))
      return [`\`${strategy}\``, idsAt(boot, "up"), idsAt(harm, "stopping") || "nobody", idsAt(harm, "up"), idsAt(stop, "stopping")]
    })
  )

const path = "app/a"
const { DeleteChild, Exit, RestartChild, StartChild, StartTakes, StopTakes, TerminateChild, Wait } = Simulation.Line

/** How a child is brought into each state. */
const states: ReadonlyArray<readonly [state: string, before: ReadonlyArray<Simulation.Line>]> = [
  ["no such child", [TerminateChild({ path }), DeleteChild({ path })]],
  ["down", [TerminateChild({ path })]],
  ["starting", [TerminateChild({ path }), StartTakes({ path, millis: 1000 }), RestartChild({ path })]],
  ["running", []],
  ["waiting", [Exit({ path, how: "failed" })]],
  ["stopping", [StopTakes({ path, millis: 1000 }), TerminateChild({ path })]]
]

const calls: ReadonlyArray<readonly [call: string, line: Simulation.Line]> = [
  ["startChild", StartChild({ path, child: Child.make("a", { start: Effect.succeed(Effect.never) }) })],
  ["restartChild", RestartChild({ path })],
  ["terminateChild", TerminateChild({ path })],
  ["deleteChild", DeleteChild({ path })]
]

const errors: { readonly [reply: string]: string } = { NotFound: "`ChildNotFound`", Present: "`ChildPresent`" }

const administration = (): string =>
  table(
    ["call", ...states.map(([state]) => state)],
    calls.map(([call, line]) => [
      `\`${call}\``,
      ...states.map(([, before]) => {
        const tree = Simulation.make(treeOf("one_for_one", ["a"]))
        tree.boot()
        for (const step of [...before, line, Wait({ millis: 1000 })]) tree.play(step)
        const answer = tree.entries.find((entry) => entry._tag === "Reply" && entry.index === before.length)
        const reply = answer?._tag === "Reply" ? answer.reply?._tag ?? "" : ""
        const status = Tree.flatten(tree.tree!)[0]?.status ?? "forgotten"
        tree.discard()
        return errors[reply] ?? `${reply === "Done" ? "ok" : reply}: ${status}`
      })
    ])
  )

// ── the declared differences ────────────────────────────────────────────────────────────────────────────────────────────────────

/** A line a field: the trap of OTP that it is about, what OTP does, what *production* does. A field without a line does not compile. */
const differences: { readonly [Field in keyof Semantics.Semantics]: readonly [trap: string, otp: string, production: string] } = {
  window: [
    "T-7",
    "counts whole seconds with an inclusive bound: the true window is [P, P + 1 s), by phase",
    "no interval `[t, t + within)` holds more than `maxRestarts`, to the millisecond"
  ],
  delay: [
    "T-8",
    "restarts at once; a failed start is tried again behind what is waiting, and a whole budget can go in microseconds",
    "waits as the policy says; each attempt counts when the one before it failed"
  ],
  serve: [
    "",
    "exits and calls wait while a child starts or stops, as in a `gen_server`",
    "answers at any time: in a restart loop, in a long start, in a long stop"
  ],
  coalesce: [
    "T-6",
    "under a group strategy `[c, b, a]` ending at once spends three restarts, `[a, b, c]` one",
    "exits that are pending together are one restart, whatever their order"
  ],
  revive: [
    "T-9",
    "a group restart also starts who was terminated, had ended for good or had ignored its start",
    "who is down stays down until `restartChild`"
  ],
  heal: [
    "T-1",
    "victims of a recovery whose child is terminated stay down for ever, untold (`stranded`)",
    "they come up without that child"
  ],
  autoShutdown: [
    "T-2, T-4",
    "looks only when a significant child ends by itself: an ignored restart, or terminating the last one after others have ended, is passed over",
    "looks after these too, and shuts down"
  ],
  giveUp: [
    "",
    "giving up is the exit `shutdown`: a transient supervisor that gave up stays down, untold",
    "giving up is a failure with the typed error: a transient supervisor is restarted"
  ],
  ignoredInstance: [
    "",
    "keeps a dynamic child that ignores its restart, without a process; the supervisor crashes on it when it stops",
    "drops it, as OTP does since 28"
  ]
}

const fields = (): string =>
  table(
    ["field", "trap", "`otp`", "what OTP 25.2.3 does", "`production`", "what ours does"],
    (Object.keys(differences) as Array<keyof Semantics.Semantics>).map((field) => {
      const [trap, otp, production] = differences[field]
      return [`\`${field}\``, trap, `\`${Semantics.otp[field]}\``, otp, `\`${Semantics.production[field]}\``, production]
    })
  )

/** The tables by the names under which the page has them. */
const tables: { readonly [name: string]: () => string } = {
  "restart types": restartTypes,
  strategies,
  administration,
  "declared differences": fields
}

/** The page with each table between `<!-- table: name -->` and `<!-- end -->` made anew. */
export const withTables = (page: string): string =>
  page.replaceAll(
    /(<!-- table: (.+) -->)[\s\S]*?(<!-- end -->)/g,
    (_, begin: string, name: string, end: string) => `${begin}\n\n${tables[name]!()}\n\n${end}`
  )
