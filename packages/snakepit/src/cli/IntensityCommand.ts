/** `snakepit intensity`: what limits and delays fit the load that supervisors have seen, and what others would have come to. */
import { Policy, Replay, Review, ReviewPage, ReviewText } from "@snakepit/telemetry"
import { Command, Flag } from "effect/cli"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { writeFile } from "node:fs/promises"
import { isAlive } from "../RecordedRun.ts"
import { orTell } from "./FoundErrors.ts"
import { moment, NotUnderstood, optional, readerOf, where, whereOf } from "./HistoryCommand.ts"

const json = (description: string) => Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription(description))

const written = (file: string, content: string) =>
  Effect.tryPromise({
    try: () => writeFile(file, content, { mode: 0o600 }), // it says what workers wrote in their last moments
    catch: (cause) =>
      new NotUnderstood({ detail: `${file} could not be written: ${cause instanceof Error ? cause.message : String(cause)}` })
  })

const patienceOf = (text: string | undefined) => {
  if (text === undefined) return Effect.succeed(undefined)
  const read = Option.map(Duration.fromInput(text as Duration.Input), Duration.toMillis)
  return Option.isSome(read) && read.value >= 0
    ? Effect.succeed(read.value)
    : Effect.fail(new NotUnderstood({ detail: `--patience "${text}" is no time: say "30 seconds", or "0 seconds"` }))
}

const policyOf = (text: string | undefined) =>
  Effect.try({
    try: () => text === undefined ? undefined : Policy.parse(text),
    catch: (refused) => refused as Policy.PolicyUnreadable
  })

const reviewCommand = Command.make("review", {
  ...where,
  since: Flag.String("since").pipe(
    Flag.withMetavar("TIME"),
    Flag.withDefault("90d"), // a quarter
    Flag.withDescription("From then on: 90d by default, \"2 weeks\" ago, or a date")
  ),
  until: optional("until", "TIME", "Up to then"),
  patience: optional(
    "patience",
    "DURATION",
    "How much later a hopeless child may be found to spare one false escalation: 20 seconds by default"
  ),
  json: json("The report as one JSON object"),
  html: optional("html", "FILE", "Write the report as a page with charts, which loads nothing from elsewhere")
}, ({ config, file, html, json, patience, since, until }) =>
  Effect.gen(function*() {
    const from = yield* moment("since", since)
    const to = yield* moment("until", Option.getOrUndefined(until))
    const now = yield* Clock.currentTimeMillis
    const patienceMillis = yield* patienceOf(Option.getOrUndefined(patience))
    const reader = yield* readerOf(whereOf({ config, file }))
    const report = yield* Review.review(reader, {
      since: from ?? 0,
      until: to,
      goesOnAt: ({ process }) => isAlive(process) ? now : undefined,
      patienceMillis
    })
    if (Option.isSome(html)) yield* written(html.value, ReviewPage.render(report))
    yield* Console.log(json ? JSON.stringify(yield* Schema.encodeEffect(Review.ReviewReport)(report)) : ReviewText.review(report))
  }).pipe(orTell)).pipe(
    Command.withDescription(
      "How near each supervisor came to its limit, whether it gave up rightly, and which limit and delays would fit better."
    )
  )

const replayCommand = Command.make("replay", {
  ...where,
  policy: optional(
    "policy",
    "POLICY",
    "\"5 in 10 seconds\", \"5 in 10 seconds, delay 50 millis doubling to 5 seconds\"; the recorded one by default"
  ),
  path: optional(
    "path",
    "PATH",
    "The supervisors that get the policy: one path, or everything below one; all that have a limit by default"
  ),
  incident: optional("incident", "ID", "Only this one"),
  since: optional("since", "TIME", "From then on: 90d, \"2 hours\" ago, or a date"),
  json: json("The report as one JSON object")
}, ({ config, file, json, since, ...asked }) =>
  Effect.gen(function*() {
    const options: Replay.Options = {
      policy: yield* policyOf(Option.getOrUndefined(asked.policy)),
      path: Option.getOrUndefined(asked.path),
      incident: Option.getOrUndefined(asked.incident),
      since: yield* moment("since", Option.getOrUndefined(since))
    }
    const reader = yield* readerOf(whereOf({ config, file }))
    const report = yield* Replay.replay(reader, options)
    yield* Console.log(json ? JSON.stringify(yield* Schema.encodeEffect(Replay.ReplayReport)(report)) : ReviewText.replay(report))
  }).pipe(orTell)).pipe(
    Command.withDescription(
      "Run recorded incidents again, on the real engine in virtual time, and see what another policy would have come to."
    )
  )

/** The command. */
export const intensity = Command.make("intensity").pipe(
  Command.withDescription("Restart limits, held against what was recorded."),
  Command.withSubcommands([reviewCommand, replayCommand])
)
