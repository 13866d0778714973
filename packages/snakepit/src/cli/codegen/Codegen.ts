/** `snakepit codegen`: writes the contract of an adapter, or looks whether it is current. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join, relative, resolve, sep } from "node:path"
import * as CodegenError from "./CodegenError.ts"
import { contractSource } from "./ContractSource.ts"
import * as Describe from "./Describe.ts"
import * as Difference from "./Difference.ts"

export interface Options extends Describe.Options {
  /** The file of the contract. */
  readonly out: string
  /** Writes nothing: fails with `ContractNotCurrent` when the file is not what would be written. */
  readonly check: boolean
}

/** The folder of the package that a file belongs to, or else the file's own: what the paths in the file are relative to. */
const packageOf = (file: string): string => {
  const folder = dirname(resolve(file))
  for (let up = folder;; up = dirname(up)) {
    if (existsSync(join(up, "package.json"))) return up
    if (up === dirname(up)) return folder
  }
}

/** The command that makes the file anew, as its header says it: the same wherever the package lies and whoever runs it. */
export const renewal = ({ adapter, out, path }: Pick<Options, "adapter" | "path" | "out">): string => {
  const base = packageOf(out)
  const shown = (file: string) => {
    const short = relative(base, resolve(file)).split(sep).join("/") || "."
    return /^[\w./@+-]+$/.test(short) ? short : `'${short.replaceAll("'", "'\\''")}'`
  }
  return ["snakepit codegen --adapter", adapter, ...path.map((folder) => `--path ${shown(folder)}`), "--out", shown(out)].join(" ")
}

const detailOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

/** Tells on the console what was done, and on standard error what has no schema. */
export const run = (options: Options): Effect.Effect<void, CodegenError.CodegenError> =>
  Effect.gen(function*() {
    const { adapter, check, out } = options
    const description = yield* Describe.describe(options)
    const made = contractSource(description, renewal(options))
    for (const problem of description.problems) yield* Console.error(`warning  ${problem}: it is Schema.Unknown in the contract`)
    const unusable = (attempt: "read" | "write") => (cause: unknown) =>
      new CodegenError.ContractFileUnusable({ file: out, attempt, detail: detailOf(cause) })
    const found = check || existsSync(out)
      ? yield* Effect.try({ try: () => readFileSync(out, "utf8"), catch: unusable("read") })
      : undefined
    const tools = `${description.tools.length} tool${description.tools.length === 1 ? "" : "s"} of ${adapter}`
    if (found === made) return yield* Console.log(`${out} is current: ${tools}`)
    if (check) {
      return yield* new CodegenError.ContractNotCurrent({ file: out, adapter, changes: Difference.between(found ?? "", made) })
    }
    yield* Effect.try({ try: () => writeFileSync(out, made), catch: unusable("write") })
    yield* Console.log(`${out} is written: ${tools}`)
  })
