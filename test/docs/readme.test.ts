/** The README's example is a program that compiles and runs. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { python, root } from "../e2e/fixtures/Program.ts"

const readme = readFileSync(join(root, "README.md"), "utf8")

/** The only fenced block of a language. */
const block = (language: string): string => {
  const blocks = readme.split("```").filter((part) => part.startsWith(`${language}\n`))
  assert.strictEqual(blocks.length, 1, `one ${language} block`)
  return blocks[0]!.slice(language.length + 1)
}

describe("the README", () => {
  it("has an example of about thirty lines that compiles and prints what it says", () => {
    const folder = mkdtempSync(join(root, "test", "docs", ".readme-"))
    try {
      mkdirSync(join(folder, "python"))
      writeFileSync(join(folder, "python", "tools.py"), block("python"))
      writeFileSync(join(folder, "main.ts"), block("ts"))
      writeFileSync(
        join(folder, "tsconfig.json"),
        JSON.stringify({
          extends: "../../../tsconfig.base.json",
          compilerOptions: {
            noEmit: true,
            composite: false,
            incremental: false,
            declaration: false,
            declarationMap: false,
            rootDir: root,
            types: ["node"]
          },
          include: ["main.ts"]
        })
      )
      const run = (command: string, args: ReadonlyArray<string>) => {
        const { status, stderr, stdout } = spawnSync(command, args, {
          cwd: folder,
          encoding: "utf8",
          env: { ...process.env, SNAKEPIT_PYTHON: python },
          timeout: 50_000
        })
        assert.strictEqual(status, 0, `${stdout}${stderr}`)
        return stdout
      }
      run(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", "."])
      const output = run(process.execPath, ["--conditions=source", "main.ts"])
      assert.deepStrictEqual(output.trim().split("\n"), ["mean 3", ...[2, 3, 5, 7, 11, 13, 17, 19].map((n) => `prime ${n}`)])
      assert.isAtMost(block("ts").trimEnd().split("\n").length, 32)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
