/** What is known of the end of a process, and the judgement over it: which class of exit it was. */
import { ExitClass } from "@snakepit/pool"
import type { OutOfMemory } from "./ReaperProtocol.ts"

/** What is known when a process has ended. */
export interface ExitEvidence {
  readonly code: number | null
  readonly signal: string | null
  /** The last signal that the Reaper sent to it. */
  readonly sent: "TERM" | "KILL" | null
  readonly oom: OutOfMemory | null
  /** The last lines that it wrote, oldest first. */
  readonly output: ReadonlyArray<string>
  /** How far it had come: `import` when its status line said that it could not be imported or served. */
  readonly stage: "starting" | "import" | "serving"
}

/**
 * The class of an exit. Who sent a signal is known for sure, so it is asked first; then the kernel's memory counters; then the output, which
 * is evidence only of an end that nobody else brought about.
 */
export const classify = ({ code, oom, output, sent, signal, stage }: ExitEvidence): ExitClass.ExitClass => {
  if (code === 0) return { _tag: "Clean" }
  if (signal !== null && signal === `SIG${sent}`) return { _tag: "KilledByUs", signal }
  if (signal === "SIGKILL" && oom !== null) return { _tag: "OutOfMemory", ...oom }
  const plain = ExitClass.ofEnd({ code, signal })
  if (plain._tag === "KilledBySomeone") return plain
  const gpu = gpuFault(output)
  if (gpu !== undefined) return gpu
  const exception = raised(output)
  if (exception === undefined ? saysNoMemory(output) : outOfMemory.test(exception)) {
    return { _tag: "OutOfMemory", evidence: "allocation", kills: 0 }
  }
  switch (plain._tag) {
    case "Abort":
      return { _tag: "Abort", line: output.findLast((line) => lastWords.test(line) && !aborted.test(line)) }
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
const lastWords =
  /what\(\):|terminate called|[Aa]ssertion .*failed|double free|free\(\)|malloc\(\)|corrupted|stack smashing|Check failed|Fatal Python error/

/** What faulthandler adds to each abort. */
const aborted = /Fatal Python error: Aborted/

/** What the GPU runtimes and the frameworks above them print: the first is the most telling. */
const gpuPatterns: ReadonlyArray<readonly [ExitClass.GpuRuntime, RegExp]> = [
  ["Xid", /NVRM: Xid|\bXid\b.*\b\d{1,3}\b/],
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
