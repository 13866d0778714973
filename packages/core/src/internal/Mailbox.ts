/** What waits for its turn at a supervisor, first come, first served. Posting and taking cost O(1), however much waits. */
import type { ChildState, Event } from "../SupervisorState.ts"

/** News about a child is void once that child has been forgotten: a new one of the same id must not hear it. */
export interface Mail {
  readonly event: Event
  readonly about: ChildState | undefined
}

export interface Mailbox {
  mails: Array<Mail>
  /** Where the oldest stands. */
  head: number
}

export const make = (mails: Array<Mail> = []): Mailbox => ({ mails, head: 0 })

export const isEmpty = ({ head, mails }: Mailbox): boolean => head === mails.length

export const post = ({ mails }: Mailbox, event: Event, about?: ChildState): void => void mails.push({ event, about })

/** The oldest; there must be one. */
export const take = (mailbox: Mailbox): Mail => {
  const mail = mailbox.mails[mailbox.head++]!
  if (mailbox.head === mailbox.mails.length || mailbox.head > 1024) { // 1024: so seldom that moving the rest costs nothing a mail
    mailbox.mails = mailbox.mails.slice(mailbox.head)
    mailbox.head = 0
  }
  return mail
}

/** All that wait, oldest first. */
export const waiting = ({ head, mails }: Mailbox): ReadonlyArray<Mail> => mails.slice(head)
