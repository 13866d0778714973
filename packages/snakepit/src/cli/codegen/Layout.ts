/** Source text laid out as dprint would leave it: on one line where it fits, else with one item a line. Pure. */

/** What dprint.json says of a line. */
const width = 140
const indent = "  "

/** Text, a list in brackets that can be broken into lines, or some of these one after the other. */
export type Layout = string | List | ReadonlyArray<Layout>

export interface List {
  readonly open: string
  readonly items: ReadonlyArray<Item>
  readonly close: string
}

/** An item with the comment above it, and what is called on it on the lines below it; both keep its list from being one line. */
export interface Item {
  readonly comment?: string | undefined
  readonly layout: Layout
  readonly calls?: ReadonlyArray<Layout> | undefined
}

export const list = (open: string, items: ReadonlyArray<Layout>, close: string): List => ({
  open,
  items: items.map((layout) => ({ layout })),
  close
})

/** `{ a: 1, "b c": 2 }`. */
export const object = (fields: ReadonlyArray<Item & { readonly name: string }>): Layout =>
  fields.length === 0
    ? "{}"
    : { open: "{", close: "}", items: fields.map(({ comment, layout, name }) => ({ comment, layout: [`${key(name)}: `, layout] })) }

/** A property's name, quoted where it has to be. `__proto__` would be no property of its own. */
export const key = (name: string): string =>
  name === "__proto__" ? `["${name}"]` : /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name)

/** A comment in front of a declaration or an item; its text cannot end it. */
export const comment = (text: string): string => `/** ${text.replaceAll("*/", "*\\/").replaceAll(/\s+/g, " ")} */`

const isList = (layout: Layout): layout is List => typeof layout === "object" && "items" in layout

/** On one line; `undefined` when an item keeps it from that. */
const flat = (layout: Layout): string | undefined => {
  if (typeof layout === "string") return layout
  if (!isList(layout)) return joined(layout.map(flat), "")
  const items = joined(layout.items.map((item) => item.comment ?? item.calls ? undefined : flat(item.layout)), ", ")
  if (items === undefined) return undefined
  const space = layout.open === "{" ? " " : ""
  return `${layout.open}${space}${items}${space}${layout.close}`
}

const joined = (parts: ReadonlyArray<string | undefined>, separator: string): string | undefined =>
  parts.includes(undefined) ? undefined : parts.join(separator)

/** `margin`: of the line it begins on. `column`: where on that line. `after`: characters that must follow its last one. */
export const render = (layout: Layout, margin = "", column = margin.length, after = 0): string => {
  const line = flat(layout)
  if (typeof layout === "string" || line !== undefined && column + line.length + after <= width) return line ?? ""
  if (isList(layout)) return broken(layout, margin)
  let text = ""
  layout.forEach((part, index) => {
    const rest = layout.slice(index + 1).map((next) => flat(next) ?? "").join("").split("\n")[0] ?? ""
    const last = text.split("\n").at(-1) ?? ""
    text += render(part, margin, text.includes("\n") ? last.length : column + last.length, rest.length + after)
  })
  return text
}

/** With one item a line, whether it would fit on one or not. */
export const broken = ({ close, items, open }: List, margin = ""): string => {
  const deeper = margin + indent
  const lines = items.map(({ calls = [], comment, layout }) =>
    [
      ...comment === undefined ? [] : [deeper + comment],
      deeper + render(layout, deeper, deeper.length, 1),
      ...calls.map((call) => deeper + indent + render(call, deeper + indent, deeper.length + indent.length, 1))
    ].join("\n")
  )
  return `${open}\n${lines.join(",\n")}\n${margin}${close}`
}
