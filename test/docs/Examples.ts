/** Examples out of documents, as programs of this checkout. */
import { assert } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { python, root } from "../e2e/fixtures/Program.ts"

/** A fenced block of a document, and what it prints according to the block that follows the words "It prints:". */
export interface Block {
  readonly language: string
  readonly text: string
  readonly prints: string | undefined
}

const fenced = /^```(\w+)\n([\s\S]*?)^```$(?:\n+It prints:\n+```text\n([\s\S]*?)^```$)?/gm

/** The fenced blocks of a Markdown text. */
export const blocksOf = (markdown: string): ReadonlyArray<Block> =>
  [...markdown.matchAll(fenced)].map(([, language = "", text = "", prints]) => ({ language, text, prints }))

/** The Markdown of the documentation comments of a source file. */
export const docstringsOf = (source: string): string =>
  [...source.matchAll(/^\/\*\*\n([\s\S]*?)^ \*\//gm)].map(([, body = ""]) => body.replaceAll(/^ \* ?/gm, "")).join("\n")

/** Uses a folder in this checkout, where packages are found by their names, and removes it. */
export const inProject = (use: (project: Project) => void): void => {
  const folder = mkdtempSync(join(root, "test", "docs", ".example-"))
  try {
    use(new Project(folder))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The files of {@link inProject}. */
class Project {
  private readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true })
    writeFileSync(join(this.folder, path), text)
  }

  /** Compiles all its TypeScript with the options of this checkout. */
  compile(options: { readonly [name: string]: boolean } = {}): void {
    const compilerOptions = {
      noEmit: true,
      composite: false,
      incremental: false,
      declaration: false,
      declarationMap: false,
      rootDir: root,
      types: ["node"],
      ...options
    }
    this.write("tsconfig.json", JSON.stringify({ extends: "../../../tsconfig.base.json", compilerOptions, include: ["**/*.ts"] }))
    this.spawn([join(root, "node_modules", "typescript", "bin", "tsc"), "-p", "."])
  }

  /** Runs one of its files; returns what it printed. */
  run(path: string): string {
    return this.spawn(["--conditions=source", path])
  }

  private spawn(args: ReadonlyArray<string>): string {
    const { status, stderr, stdout } = spawnSync(process.execPath, args, {
      cwd: this.folder,
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1", SNAKEPIT_PYTHON: python },
      timeout: 50_000
    })
    assert.strictEqual(status, 0, `${stdout}${stderr}`)
    return stdout
  }
}
