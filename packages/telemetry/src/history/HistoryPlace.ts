/** Where the history of an application is kept, and how it is opened there. */
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { join } from "node:path"
import type { HistoryConfig } from "./HistoryConfig.ts"
import type { HistoryFailed, HistoryReader } from "./HistoryReader.ts"
import type { HistoryStore } from "./HistoryStore.ts"
import * as PostgresStore from "./postgres/PostgresStore.ts"
import * as SqliteStore from "./sqlite/SqliteStore.ts"

export type HistoryPlace =
  | { readonly _tag: "File"; readonly file: string }
  | { readonly _tag: "Postgres"; readonly url: Redacted.Redacted }
  | { readonly _tag: "Nowhere"; readonly why: string }

/** The data folder, or why there is none. */
export type Folder = { readonly folder: string } | { readonly why: string }

/** The name of the file in a data folder. */
export const fileName = "history.sqlite"

/** Where a configuration says. */
export const of = ({ file, postgres, record }: HistoryConfig, folder: Folder): HistoryPlace => {
  if (!record) return { _tag: "Nowhere", why: "telemetry.history.record is false" }
  if (postgres !== undefined) return { _tag: "Postgres", url: postgres.url }
  if (file !== undefined) return { _tag: "File", file }
  return "folder" in folder ? { _tag: "File", file: join(folder.folder, fileName) } : { _tag: "Nowhere", why: folder.why }
}

/** A place where something can be kept. */
export type Some = Exclude<HistoryPlace, { readonly _tag: "Nowhere" }>

/** Opens it to write. `check`: something there was found to be damaged. */
export const open = (place: Some, check: boolean): Effect.Effect<HistoryStore, HistoryFailed, Scope.Scope> =>
  place._tag === "File" ? SqliteStore.open(place.file, check) : PostgresStore.open(place.url)

/** Reads it, also while it is written. */
export const reader = (place: Some): HistoryReader =>
  place._tag === "File" ? SqliteStore.reader(place.file) : PostgresStore.reader(place.url)

/** Reads it by one connection, until the scope closes: for many questions. */
export const openReader = (place: Some): Effect.Effect<HistoryReader, HistoryFailed, Scope.Scope> =>
  place._tag === "File" ? SqliteStore.openReader(place.file) : PostgresStore.openReader(place.url)

/** For people: the file, or the database without its user and password. */
export const describe = (place: Some): string => place._tag === "File" ? place.file : PostgresStore.nameOf(place.url)
