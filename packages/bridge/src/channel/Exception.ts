/** A Python exception from the wire. */
import type { CallError } from "@snakepit/pool"
import type { PythonException } from "../../gen/snakepit/v1/worker_pb.ts"

export const fromWire = (exception: PythonException): CallError.PythonException => ({
  type: exception.type,
  bases: exception.bases,
  message: exception.message,
  frames: exception.frames.map(({ file, function: name, line, source }) => ({ file, line, function: name, source })),
  notes: exception.notes,
  cause: exception.cause === undefined ? undefined : fromWire(exception.cause),
  implicit: exception.implicit,
  members: exception.members.map(fromWire)
})
