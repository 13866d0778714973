/** Whether this Node.js can run Snakepit. Pure. */
import * as Finding from "./Finding.ts"

/** The oldest version that runs Snakepit, as `engines` says. */
const oldest = [22, 19] as const

/** `version` as `process.versions.node` says it. */
export const check = (version: string): Finding.Finding => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  const isNew = major > oldest[0] || major === oldest[0] && minor >= oldest[1]
  return isNew
    ? Finding.ok("node", `Node.js ${version}`)
    : Finding.error("node", `Node.js ${version} is too old`, `install Node.js ${oldest.join(".")} or newer`)
}
