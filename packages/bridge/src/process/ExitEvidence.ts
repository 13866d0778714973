/** What is known of the end of a process, and the judgement over it: which class of exit it was. */
import { ExitClass } from "@snakepit/pool"
import type * as OutputTail from "./OutputTail.ts"
import type { OutOfMemory } from "./ReaperProtocol.ts"

/** What is known when a process has ended. */
export interface ExitEvidence {
  readonly code: number | null
  readonly signal: string | null
  /** The last signal that the Reaper sent to it. */
  readonly sent: "TERM" | "KILL" | null
  readonly oom: OutOfMemory | null
  /** The last lines that it wrote, oldest first. */
  readonly lines: ReadonlyArray<OutputTail.Line>
  /** How far it had come: `import` when its status line said that it could not be imported or served. */
  readonly stage: "starting" | "import" | "serving"
}

/** 2 s: from a last word to the end, past a dump of all stacks and what Python does at its exit. What is older was survived. */
const lastWordsMillis = 2000

/**
 * The class of an exit. Who sent a signal is known for sure, so it is asked first; then the kernel's memory counters; then the last words, which
 * are evidence only of an end that nobody else brought about.
 */
export const classify = ({ code, lines, oom, sent, signal, stage }: ExitEvidence): ExitClass.ExitClass => {
  const output = lines.filter(({ ageMillis }) => ageMillis <= lastWordsMillis).map(({ text }) => text)
  if (code === 0) return { _tag: "Clean" }
  if (signal !== null && signal === `SIG${sent}`) return { _tag: "KilledByUs", signal }
  if (signal === "SIGKILL" && oom !== null) return { _tag: "OutOfMemory", ...oom }
  const plain = ExitClass.ofEnd({ code, signal })
  if (plain._tag === "KilledBySomeone") return plain
  const gpu = gpuFault(output)
  if (gpu !== undefined) return gpu
  const exception = raised(output)
  const gaveUp = plain._tag === "Exception" || plain._tag === "Abort" // what crashed did not end by an allocation that failed
  if (gaveUp && (exception === undefined ? saysNoMemory(output) : outOfMemory.test(exception))) {
    return { _tag: "OutOfMemory", evidence: "allocation", kills: 0 }
  }
  switch (plain._tag) {
    case "Abort":
      return { _tag: "Abort", line: output.findLast((line) => abortWords.test(line) && !aborted.test(line)) }
    case "Exception":
      return stage === "import" ? { _tag: "ImportException", exception } : { ...plain, exception }
    default:
      return plain
  }
}

/** Of a traceback in the output: its last line, the only one that is not indented and follows one that is. */
const raised = (output: ReadonlyArray<string>): string | undefined =>
  output.findLast((line, index) => /^[A-Za-z_][\w.]*(: |$)/.test(line) && output[index - 1]?.startsWith("  ") === true)

/** numpy's own is `numpy._core._exceptions._ArrayMemoryError`. */
const outOfMemory = /^([A-Za-z_]\w*\.)*_?\w*MemoryError(:|$)/

const saysNoMemory = (output: ReadonlyArray<string>): boolean => output.some((line) => line.includes("std::bad_alloc"))

/** What glibc, libstdc++, assert(3) and Python say before they abort. */
const abortWords =
  /what\(\):|terminate called|[Aa]ssertion .*failed|double free|free\(\)|malloc\(\)|corrupted|stack smashing|Check failed|Fatal Python error/

/** What faulthandler adds to each abort. */
const aborted = /Fatal Python error: Aborted/

/** What the GPU runtimes and the frameworks above them print: the first is the most telling. */
const gpuPatterns: ReadonlyArray<readonly [ExitClass.GpuRuntime, RegExp]> = [
  ["Xid", /NVRM: Xid/],
  ["HIP", /HIP error|hipError[A-Z]\w+|HSA_STATUS_ERROR|Memory access fault by GPU|ROCm error/],
  [
    "CUDA",
    /CUDA error|CUDA_ERROR_\w+|cudaError[A-Z]\w+|CUBLAS_STATUS_\w+|CUDNN_STATUS_\w+|cuda\.OutOfMemoryError|device-side assert|NCCL error/
  ],
  ["XLA", /XlaRuntimeError|JaxRuntimeError|XLA_\w*ERROR|xla::.*[Ee]rror/]
]

const gpuFault = (output: ReadonlyArray<string>): ExitClass.ExitClass | undefined => {
  for (const [runtime, pattern] of gpuPatterns) {
    const line = output.findLast((line) => pattern.test(line))
    if (line !== undefined) return { _tag: "GpuFault", runtime, line }
  }
  return undefined
}

/**
 * The lines of the output that tell most, at most `limit`: the last ones, as a rule. After a crash in native code those are the bottom of a
 * stack, the same in every worker; then they are what came right before it, and the top of the stack of the thread that crashed.
 */
export const excerpt = (output: ReadonlyArray<string>, limit: number): ReadonlyArray<string> => {
  const fatal = output.findIndex((line) => line.startsWith("Fatal Python error"))
  if (fatal < 0) return output.slice(-limit)
  const thread = output.findIndex((line, index) => index > fatal && line.startsWith("Current thread"))
  return [...output.slice(Math.max(0, fatal - before), fatal + 1), ...output.slice(thread < 0 ? fatal + 1 : thread)].slice(0, limit)
}

/** Lines before a crash that may explain it. 4: what the C++ library says of an exception takes two, a CUDA error three. */
const before = 4
