import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { expect, test } from "vitest"
import { checkArrows, importsOf } from "../../scripts/check-arrows.mjs"

test("finds every kind of import, and none in comments, strings, templates or regular expressions", () => {
  const source = `
/** import { no } from "comment" */
import * as A from "a"
import type { B } from 'b'
import "c" // import "no"
export { D } from "d"
export * from "e"
const f = await import("f")
const text = "import 'no'" + \`import "no" from "no"\`
const pattern = /from "no" [/] ["']/g
const here = import.meta.url, from = "no"
import {
  Long
} from "g"
type H = import("h").H
`
  expect(importsOf(source).map(({ specifier }) => specifier)).toEqual(["a", "b", "c", "d", "e", "f", "g", "h"])
  expect(importsOf(source).find(({ specifier }) => specifier === "g")?.line).toBe(14)
})

const violationsOf = (files: Record<string, string>) => {
  const root = mkdtempSync(join(tmpdir(), "snakepit-arrows-"))
  const dependencies = (name: string, ...names: Array<string>) =>
    JSON.stringify({ name, dependencies: Object.fromEntries(names.map((one) => [one, "*"])) })
  const manifests = {
    "package.json": JSON.stringify({ devDependencies: { vitest: "*", effect: "*" } }),
    "packages/core/package.json": dependencies("@snakepit/core", "effect"),
    "packages/pool/package.json": dependencies("@snakepit/pool", "effect", "@snakepit/core"),
    "packages/bridge/package.json": dependencies("@snakepit/bridge", "effect", "@snakepit/core", "@snakepit/pool"),
    "examples/digits/package.json": dependencies("digits", "snakepit")
  }
  try {
    for (const [name, text] of Object.entries({ ...manifests, ...files })) {
      mkdirSync(dirname(join(root, name)), { recursive: true })
      writeFileSync(join(root, name), text)
    }
    return checkArrows(root).map(({ file, specifier }) => `${file}: ${specifier}`)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

test("allows what the drawing allows", () => {
  expect(violationsOf({
    "packages/core/src/a.ts": "import 'effect/Effect'; import './b.ts'; import './internal/c.ts'",
    "packages/core/test/a.test.ts": "import 'vitest'; import '../src/internal/c.ts'; import 'node:fs'; import '@snakepit/core'",
    "packages/pool/src/a.ts": "import '@snakepit/core/Child'",
    "packages/bridge/src/a.ts": "import 'node:fs'; import '@snakepit/pool'; import '../gen/x.ts'",
    "examples/digits/src/main.ts": "import 'snakepit'; import 'effect'; import 'node:path'"
  })).toEqual([])
})

test("refuses what it does not", () => {
  expect(violationsOf({
    "packages/core/src/a.ts": "import 'node:fs'; import '@snakepit/pool'; import '../../pool/src/x.ts'",
    "packages/pool/src/a.ts": "import '@snakepit/bridge'; import '@snakepit/core/internal/machine'; import 'undeclared'; import 'snakepit'",
    "packages/pool/test/a.test.ts": "import '@snakepit/bridge'",
    "examples/digits/src/main.ts": "import '../../../packages/core/src/a.ts'; import '@snakepit/core/internal/x'; import 'left-pad'",
    "test/e2e/a.test.ts": "import '@snakepit/core/internal/x'"
  })).toEqual([
    "packages/core/src/a.ts: node:fs",
    "packages/core/src/a.ts: @snakepit/pool",
    "packages/core/src/a.ts: ../../pool/src/x.ts",
    "packages/pool/src/a.ts: @snakepit/bridge",
    "packages/pool/src/a.ts: @snakepit/core/internal/machine",
    "packages/pool/src/a.ts: undeclared",
    "packages/pool/src/a.ts: snakepit",
    "packages/pool/test/a.test.ts: @snakepit/bridge",
    "examples/digits/src/main.ts: ../../../packages/core/src/a.ts",
    "examples/digits/src/main.ts: @snakepit/core/internal/x",
    "examples/digits/src/main.ts: left-pad",
    "test/e2e/a.test.ts: @snakepit/core/internal/x"
  ])
})
