/**
 * What goes through the socket of the event feed: lines of JSON.
 *
 * ```text
 * {"feed":1,"run":"…","pid":4711}       first: the version of all that follows
 * {"snapshot":{…},"recent":[…],"dropped":0}   how the application stands; again when events were dropped for this client
 * {"event":{…}}                         what happens
 * {"refused":"…"}                       instead of all that: there are too many clients
 * ```
 */
import type { Event } from "@snakepit/core"
import * as Schema from "effect/Schema"
import * as LiveTree from "./LiveTree.ts"

/** Rises when a line means something else than before. */
export const version = 1

const Value = Schema.Union([Schema.String, Schema.Finite, Schema.Boolean])

/** What is `undefined` in an event is left out of its JSON. */
const AnEvent: Schema.Codec<Event.Event> = Schema.Struct({
  name: Schema.String,
  at: Schema.Finite,
  measurements: Schema.Record(Schema.String, Schema.UndefinedOr(Schema.Finite)),
  attributes: Schema.Record(Schema.String, Schema.UndefinedOr(Value))
})

const Hello = Schema.Struct({ feed: Schema.Int, run: Schema.String, pid: Schema.Int })
const Snapshot = Schema.Struct({
  snapshot: LiveTree.Snapshot,
  recent: Schema.Array(AnEvent),
  /** Events since the last snapshot that this client was not sent, because it did not read fast enough. */
  dropped: Schema.Int
})
const Happening = Schema.Struct({ event: AnEvent })
const Refused = Schema.Struct({ refused: Schema.String })

export const FeedLine = Schema.Union([Hello, Snapshot, Happening, Refused])
export type FeedLine = typeof FeedLine.Type

/** Without what supervisors have heard: it is long, and for a replay. */
export const encode = (line: FeedLine): string => `${JSON.stringify(line, (key, value) => key === "heard" ? undefined : value)}\n`

/** Fails with words for people. */
export const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(FeedLine))
