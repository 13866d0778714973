/** What an application says of its history: the section `telemetry.history` of its configuration. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Recordable from "./Recordable.ts"

/** As `ReloadClass.secret` of the pool says it, which this package does not see: the value is shown in no message, event or plan. */
const secret = <S extends Schema.Top>(self: S): S["Rebuild"] => self.annotateKey({ "~snakepit/pool/Reload": { secret: true } })

export const HistoryConfig = Schema.Struct({
  /** Keep a history. It costs one thread, and a write for each batch of supervision's decisions; a crash that nobody recorded cannot be explained. */
  record: Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(true))),
  /**
   * The file of the history, for this user alone (0600), on a local disk. `history.sqlite` in the data folder when left out. Hosts may share it.
   */
  file: Schema.optional(Schema.NonEmptyString),
  /** Keep it in PostgreSQL instead, for hosts on several machines. */
  postgres: Schema.optional(Schema.Struct({
    /** `postgresql://user:password@host/database`. Never shown. Its user must be allowed to create tables at the first start. */
    url: secret(Schema.RedactedFromValue(Schema.NonEmptyString))
  })),
  /** Events by pattern, `*` for any characters. By default what supervision decides and what explains it. */
  events: Schema.Array(Schema.NonEmptyString).pipe(Schema.withDecodingDefault(Effect.succeed(Recordable.defaults))),
  /** Events that are older go. 400 days: a year and the month to compare it with. */
  maxAge: Schema.DurationFromString.pipe(Schema.withDecodingDefault(Effect.succeed("400 days"))),
  /** When the events take more bytes, the oldest go. 256 MiB: some 500,000 events, which is a restart every minute for a year. */
  maxBytes: Schema.Int.check(Schema.isBetween({ minimum: 1_048_576, maximum: Number.MAX_SAFE_INTEGER })).pipe(
    Schema.withDecodingDefault(Effect.succeed(268_435_456))
  ),
  /**
   * Begin with the restart budgets that the run before has left, and refuse to start once this host has died more often than the root's budget allows. For
   * hosts that a service manager starts again. `false`: each start begins with whole budgets, as people expect of a program that they start by hand.
   */
  resumeBudgets: Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(false))),
  /**
   * Whose budgets `resumeBudgets` goes on with, where hosts share a history: one host at a time has a name. When left out: the machine's name and the
   * working folder.
   */
  host: Schema.optional(Schema.NonEmptyString)
}).pipe(Schema.withDecodingDefault(Effect.succeed({})))

/** The section, decoded. */
export type HistoryConfig = typeof HistoryConfig.Type
