/**
 * Stands before `node:fs` where no small disk can be mounted: while the file `<data folder>.full` is there, nothing more can be written in the
 * data folder. Loaded with `--import`, before the program.
 */
import fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"

const folder = process.env["SNAKEPIT_DATA_DIR"]!
const { existsSync, openSync, writeSync } = fs
const isFull = (): boolean => existsSync(`${folder}.full`)
const files = new Set<number>()

const refuse = (call: string): never => {
  throw Object.assign(new Error(`ENOSPC: no space left on device, ${call}`), { code: "ENOSPC", syscall: call })
}

fs.openSync = (path, flags, mode) => {
  const isOurs = String(path).startsWith(`${folder}/`)
  const makes = typeof flags === "number" && (flags & fs.constants.O_CREAT) !== 0
  if (isOurs && makes && isFull()) refuse("open")
  const file = openSync(path, flags, mode)
  if (isOurs) files.add(file)
  else files.delete(file) // another file has its number now
  return file
}

fs.writeSync =
  ((file: number, ...rest: [string]) => files.has(file) && isFull() ? refuse("write") : writeSync(file, ...rest)) as typeof writeSync

syncBuiltinESMExports()
