/** A mistake in a spec, as a sentence in the compiler's message: the offending element is intersected with it. */
export interface CompileError<Message extends string> {
  readonly "✗": Message
}
