/** Erlang's external term format, as much of it as schedules need: text is an atom, an array a tuple. */
export type Term = number | boolean | string | ReadonlyArray<Term> | { readonly list: ReadonlyArray<Term> }

const smallInteger = 97
const integer = 98
const smallAtomUtf8 = 119
const smallTuple = 104
const list = 108
const nil = 106
const version = 131

/** What `binary_to_term` reads back. */
export const encode = (term: Term): Buffer => {
  let buffer = Buffer.allocUnsafe(1 << 12)
  let size = 0

  const reserve = (bytes: number): void => {
    if (size + bytes > buffer.length) buffer = Buffer.concat([buffer.subarray(0, size)], Math.max(buffer.length * 2, size + bytes))
  }
  const atom = (text: string): void => {
    reserve(2 + text.length)
    buffer[size++] = smallAtomUtf8
    buffer[size++] = text.length // atoms here are ASCII words
    size += buffer.write(text, size, "latin1")
  }
  const number = (value: number): void => {
    reserve(5)
    if (value >= 0 && value < 256) {
      buffer[size++] = smallInteger
      buffer[size++] = value
    } else {
      buffer[size++] = integer
      size = buffer.writeInt32BE(value, size)
    }
  }
  const write = (term: Term): void => {
    if (typeof term === "number") number(term)
    else if (typeof term === "string") atom(term)
    else if (typeof term === "boolean") atom(String(term))
    else if ("list" in term) {
      reserve(6)
      if (term.list.length > 0) {
        buffer[size++] = list
        size = buffer.writeUInt32BE(term.list.length, size)
        term.list.forEach(write)
        reserve(1)
      }
      buffer[size++] = nil
    } else {
      reserve(2)
      buffer[size++] = smallTuple
      buffer[size++] = term.length
      term.forEach(write)
    }
  }

  buffer[size++] = version
  write(term)
  return buffer.subarray(0, size)
}
