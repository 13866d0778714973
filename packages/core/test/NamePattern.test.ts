import { assert, it } from "@effect/vitest"
import { NamePattern } from "@snakepit/core"

it("a pattern fits whole names, and only its stars stand for anything", () => {
  const fits = (pattern: string, name: string) => NamePattern.matcher(pattern)(name)
  assert.isTrue(fits("snakepit.a.*", "snakepit.a.b"))
  assert.isFalse(fits("snakepit.a.*", "snakepitXa.b"))
  assert.isFalse(fits("snakepit.a", "snakepit.a.b"))
  assert.isTrue(fits("*.b*", "a.b"))
  assert.isTrue(fits("a*c", "a\nc"))
  assert.isFalse(fits("a*bc*c", "abc"))
})
