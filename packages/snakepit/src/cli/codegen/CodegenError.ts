/** Why a contract was not made, or is not current. Each ends the program with 1. */
import * as Schema from "effect/Schema"
import { type Change, render } from "./Difference.ts"

/** The adapter could not be asked. */
export class AdapterUnreadable extends Schema.TaggedError<AdapterUnreadable>()("AdapterUnreadable", {
  adapter: Schema.String,
  /** The interpreter, as it was run. */
  python: Schema.String,
  /**
   * - `python`: the interpreter does not run, or is none. - `silent`: it said nothing for a minute. - `import`: the adapter does not import.
   * - `catalogue`: its tools cannot be served. - `answer`: it said something else than the description of an adapter.
   */
  stage: Schema.Literals(["python", "silent", "import", "catalogue", "answer"]),
  /** What it said: the end of a traceback, an exit code. */
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.what()}\n${this.detail}\n${this.next()}`
  }
  private what(): string {
    switch (this.stage) {
      case "python":
        return `"${this.python}" cannot be run to look at adapter "${this.adapter}":`
      case "silent":
        return `adapter "${this.adapter}" was not imported within a minute by "${this.python}":`
      case "import":
        return `adapter "${this.adapter}" does not import:`
      case "catalogue":
        return `the tools of adapter "${this.adapter}" cannot be served:`
      case "answer":
        return `"${this.python}" did not describe adapter "${this.adapter}":`
    }
  }
  private next(): string {
    switch (this.stage) {
      case "python":
        return "Name a Python 3.11 or newer that has the packages of the adapter: --python, or $SNAKEPIT_PYTHON"
      case "silent":
        return "Look at what it does when it is imported: models belong into the first call or on_start, not into the import"
      case "import":
        return "Look for it in the right folders (--path, once for each), with the Python that has its packages (--python, or $SNAKEPIT_PYTHON)"
      case "catalogue":
        return "Correct the tool that the message names"
      case "answer":
        return "Install the Python package of this version; npm run snakepit -- doctor shows what the interpreter has"
    }
  }
}

/** The file of the contract cannot be read, or not be written. */
export class ContractFileUnusable extends Schema.TaggedError<ContractFileUnusable>()("ContractFileUnusable", {
  file: Schema.String,
  attempt: Schema.Literals(["read", "write"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.file} cannot be ${this.attempt === "read" ? "read" : "written"}: ${this.detail}\n` +
      (this.attempt === "read"
        ? "Make it: the same command without --check"
        : "Name a file in a folder that is there and that you may write to: --out")
  }
}

/** The file is not what the adapter says now. */
export class ContractNotCurrent extends Schema.TaggedError<ContractNotCurrent>()("ContractNotCurrent", {
  file: Schema.String,
  adapter: Schema.String,
  changes: Schema.Array(Schema.Struct({
    how: Schema.Literals(["added", "removed", "changed"]),
    what: Schema.String,
    lines: Schema.Array(Schema.String)
  }))
}) {
  override get message(): string {
    const changes: ReadonlyArray<Change> = this.changes
    return `${this.file} is not what adapter "${this.adapter}" says now:\n\n${
      render(changes)
    }\n\nRenew it: the same command without --check`
  }
}

/** Every way `snakepit codegen` can fail. */
export type CodegenError = AdapterUnreadable | ContractFileUnusable | ContractNotCurrent
