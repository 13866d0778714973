// @ts-check
/** A stamp says what a finished installation was made from. It is written last: no stamp, or another one, means not done. */
import { createHash } from "node:crypto"
import { readFileSync, renameSync, writeFileSync } from "node:fs"

/**
 * Order matters; lengths are hashed too, so that ["ab", "c"] and ["a", "bc"] differ.
 *
 * @param {ReadonlyArray<string>} parts
 */
export const hashOf = (parts) => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest("hex")
}

/** @param {string} file @returns {string | undefined} */
export const readStamp = (file) => {
  try {
    return readFileSync(file, "utf8").trim()
  } catch {
    return undefined
  }
}

/** @param {string} file @param {string} hash */
export const writeStamp = (file, hash) => {
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, `${hash}\n`)
  renameSync(draft, file)
}
