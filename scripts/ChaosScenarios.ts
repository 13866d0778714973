/** The names of the scenarios that `npm run chaos` knows, from the folder that holds them. */
import { readdirSync } from "node:fs"

const folder = new URL("../test/chaos/scenarios/", import.meta.url)

const isScenario = (value: unknown): value is { readonly name: string } =>
  typeof value === "object" && value !== null && "name" in value && "about" in value && typeof value.name === "string"

export const names: ReadonlyArray<string> = (await Promise.all(
  readdirSync(folder).toSorted().map((file): Promise<object> => import(new URL(file, folder).href))
)).flatMap((module) => Object.values(module).filter(isScenario).map(({ name }) => name))
