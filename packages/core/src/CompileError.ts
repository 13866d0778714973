/** A mistake in a spec, as a sentence in the compiler's message: the offending element is intersected with it. */
export interface CompileError<Message extends string> {
  readonly "✗": Message
}

/**
 * Refuses the keys of `O` that are not `Known`: the compiler looks for them only where no type is inferred. OTP ignores them in silence,
 * and with them a misspelt limit.
 */
export type NoOther<O, Known extends PropertyKey, Maker extends string> = {
  readonly [K in Exclude<keyof O, Known>]: CompileError<`${Maker} has no option "${K & string}"`>
}
