// Adds up the verdicts on the messages of one call (the same for PublishStream and NDJSON).
//
// Job: keep the counts a prefix of what was sent, so that a producer without ids can go on behind them.

import type { MillraceError, Taken } from '../errors.ts'
import type { PublishVerdict, Rejection } from '../pipeline/pipeline.ts'
import { type IndexRun, rejectedEvents } from '../pipeline/rejections.ts'

const maxListedRejections = 1000

export interface MessageCounts extends Taken {
  /** Ordered by index in the call; iterated once at most. */
  readonly rejections: Iterable<Rejection>
}

export function countsOf({ accepted, dropped, rejections }: PublishVerdict): MessageCounts {
  return { accepted, dropped, rejected: rejectedEvents(rejections), rejections }
}

/** The rejections of these events of a message that failed as a whole. */
export function* rejectionsOf({ code, message }: MillraceError, runs: Iterable<IndexRun>): Generator<Rejection> {
  for (const { index, count } of runs) yield { index, ...(count > 1 && { count }), id: '', code, message }
}

export class CallCounts {
  #accepted = 0
  #dropped = 0
  #rejected = 0
  /** Not counted unless an event behind them is accepted or dropped. */
  readonly #held: MessageCounts[] = []
  /** The first 1,000. */
  readonly rejections: Rejection[] = []

  get taken(): Taken {
    return { accepted: this.#accepted, dropped: this.#dropped, rejected: this.#rejected }
  }

  /**
   * Takes the messages in the order in which they were sent.
   *
   * @param failed whether the message failed as a whole and ends the call. The producer sends it again, so it is not
   *   counted while nothing behind it was taken.
   */
  add(message: MessageCounts, failed: boolean): void {
    if (failed || this.#held.length > 0) this.#held.push(message)
    else this.#count(message)
    if (message.accepted + message.dropped === 0) return
    for (const each of this.#held.splice(0)) this.#count(each)
  }

  #count({ accepted, dropped, rejected, rejections }: MessageCounts): void {
    this.#accepted += accepted
    this.#dropped += dropped
    this.#rejected += rejected
    for (const rejection of rejections) {
      if (this.rejections.length === maxListedRejections) return
      this.rejections.push(rejection)
    }
  }
}
