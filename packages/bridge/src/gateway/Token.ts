/** Whether a call comes from whom it may: looked at before its message is read, for every service of the gateway but the health of its own. */
import * as grpc from "@grpc/grpc-js"
import * as Redacted from "effect/Redacted"
import { createHash, timingSafeEqual } from "node:crypto"
import * as Failure from "./Failure.ts"

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/**
 * Orchestrators probe without credentials, and learn no more than whether calls are taken. `List` says the names of pools, and a `Watch` never ends: not
 * for strangers.
 */
const open = "/grpc.health.v1.Health/Check"

/** Refuses calls without the token; `refused` is told of each. */
export const interceptor = (token: Redacted.Redacted<string>, refused: () => void): grpc.ServerInterceptor => {
  const expected = digest(`Bearer ${Redacted.value(token)}`)
  const isGood = (metadata: grpc.Metadata): boolean => {
    const [first, ...more] = metadata.get("authorization")
    return more.length === 0 && typeof first === "string" && timingSafeEqual(digest(first), expected) // digests are as long as each other
  }
  return (method, call) =>
    new grpc.ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, next) => {
            if (method.path === open || isGood(metadata)) {
              metadata.remove("authorization")
              return next(metadata)
            }
            refused()
            call.sendStatus(Failure.toStatus(new Failure.Unauthenticated({ executed: "no" })))
          }
        })
    })
}
