/**
 * The journal of this run as a file: appended with `write(2)` before a process starts, not flushed to the disk. Only a kernel that dies loses
 * what was written, and it takes the processes along.
 */
import { closeSync, constants, fstatSync, futimesSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs"
import { dirname, join } from "node:path"
import { runsFolder } from "./DataFolder.ts"
import * as RunJournal from "./RunJournal.ts"

/** A journal that is being written. Its functions do not throw. */
export interface JournalFile {
  readonly path: string
  /** Writes a change that `entries` already holds. */
  readonly append: (line: RunJournal.Line) => void
  /** Says that the host lives: to those who cannot see its process. */
  readonly touch: () => void
  readonly close: () => void
  readonly remove: () => void
}

/** What {@link make} takes. */
export interface Options {
  readonly folder: string
  readonly header: RunJournal.Header
  /** What the run holds now: what a rewrite writes. */
  readonly entries: ReadonlyMap<string, RunJournal.ProcessEntry>
  /** Told once when the file cannot be written; every later change tries to write the whole anew, so it heals by itself. */
  readonly onTrouble: (detail: string) => void
}

export const pathOf = (dataFolder: string, runId: string): string => join(runsFolder(dataFolder), `${runId}.jsonl`)

/** Where a journal is written before it takes the place of the old one. */
export const draftOf = (path: string): string => `${path}.new`

export const make = ({ entries, folder, header, onTrouble }: Options): JournalFile => {
  const path = pathOf(folder, header.runId)
  let fd: number | undefined
  let inode = 0
  let lines = 0
  let troubled = false

  const close = (): void => {
    if (fd !== undefined) closeSync(fd)
    fd = undefined
  }
  const write = (to: number, text: string): void => {
    const bytes = Buffer.from(text)
    const written = writeSync(to, bytes)
    if (written !== bytes.length) throw new Error(`only ${written} of ${bytes.length} bytes were written: the disk is full`)
  }
  const rewrite = (): void => {
    close()
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const { O_CREAT, O_NOFOLLOW, O_TRUNC, O_WRONLY } = constants
    const draft = openSync(draftOf(path), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600)
    try {
      write(draft, RunJournal.encode(header, entries.values()))
      renameSync(draftOf(path), path) // a reader sees the old one or the new one
    } catch (cause) {
      closeSync(draft)
      throw cause
    }
    fd = draft
    inode = fstatSync(draft).ino
    lines = 1 + 4 * entries.size
  }
  const attempt = (change: () => void): void => {
    try {
      change()
      troubled = false
    } catch (cause) {
      if (fd !== undefined) close()
      if (!troubled) onTrouble(cause instanceof Error ? cause.message : String(cause))
      troubled = true
    }
  }
  /** Deleted or moved away, it would be found by nobody. */
  const isThere = (): boolean => statSync(path, { throwIfNoEntry: false })?.ino === inode
  attempt(rewrite)
  return {
    path,
    append: (line) =>
      attempt(() => {
        if (fd === undefined || RunJournal.isLong(lines, entries.size) || !isThere()) return rewrite()
        write(fd, RunJournal.encodeLine(line))
        lines++
      }),
    touch: () =>
      attempt(() => {
        if (fd === undefined || !isThere()) return rewrite()
        const now = new Date()
        futimesSync(fd, now, now)
      }),
    close,
    remove: () => {
      close()
      for (const file of [path, draftOf(path)]) rmSync(file, { force: true })
    }
  }
}
