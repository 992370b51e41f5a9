// Counts the outcomes of a publisher's events, from the server's answers.

import type { ErrorCode } from '../errors.ts'
import type { Durability } from '../event/durability.ts'
import type { ProduceResponse } from '../gen/millrace/v1/ingest_pb.ts'
import { ofDurability, ofRejection } from '../wire/publish.ts'
import { eachEvent } from './rejected-events.ts'

/** A rejected event: it is not in the log and never will be, unless it is published again. */
export interface PublisherRejection {
  /** The number of its message, counted from 1, and its index in that message. */
  readonly sequence: number
  readonly index: number
  readonly id: string
  readonly code: ErrorCode
  /** Names the field and what it must be. */
  readonly message: string
  /** When to publish the event again, in milliseconds; only for `backlogged` and `disk_full`. */
  readonly retryAfterMs?: number
}

/** One answer of the server to a producer. */
export interface ProducerAnswer {
  readonly dropped: number
  readonly rejections: readonly PublisherRejection[]
  readonly durability: Durability
}

/** `accepted + dropped + rejected + unknown + unsent` is the number of events that were added. */
export interface PublisherTotals {
  readonly accepted: number
  readonly dropped: number
  readonly rejected: number
  /** Events sent and not acknowledged: they may or may not be in the log. 0 once close() has resolved. */
  readonly unknown: number
  /** Events never sent, so certainly not in the log. 0 once close() has resolved. */
  readonly unsent: number
  /** The first 1,000 rejections. */
  readonly rejections: readonly PublisherRejection[]
  /** The durability that the accepted events have reached; null before the first answer. */
  readonly durability: Durability | null
}

const maxKeptRejections = 1000
const nothing = { dropped: 0, rejections: [] } as const

export class PublishTally {
  #acknowledged = 0
  #dropped = 0
  #rejected = 0
  #durability: Durability | null = null
  readonly #rejections: PublisherRejection[] = []
  /** Received before the acknowledgement that they belong to: a server may need several responses for one. */
  #early: Pick<ProducerAnswer, 'dropped' | 'rejections'> = nothing

  /**
   * Counts one answer of the server.
   *
   * @param ackedEvents how many events it acknowledged.
   * @returns the rejections that count from now on.
   */
  add(ackedEvents: number, answer: ProducerAnswer): readonly PublisherRejection[] {
    const dropped = this.#early.dropped + answer.dropped
    const rejections =
      answer.rejections.length === 0 ? this.#early.rejections : [...this.#early.rejections, ...answer.rejections]
    if (ackedEvents === 0) {
      this.#early = { dropped, rejections }
      return []
    }
    this.#early = nothing
    this.#acknowledged += ackedEvents
    this.#dropped += dropped
    this.#rejected += rejections.length
    this.#durability = answer.durability
    const room = maxKeptRejections - this.#rejections.length
    if (room > 0) this.#rejections.push(...rejections.slice(0, room))
    return rejections
  }

  /** Call after a cut: messages that were not acknowledged are resent and get new verdicts. */
  forgetEarly(): void {
    this.#early = nothing
  }

  totals(unknown: number, unsent: number): PublisherTotals {
    return {
      accepted: this.#acknowledged - this.#dropped - this.#rejected,
      dropped: this.#dropped,
      rejected: this.#rejected,
      unknown,
      unsent,
      rejections: [...this.#rejections],
      durability: this.#durability,
    }
  }
}

/** @param bytesOf the message with a sequence, undefined when it is not held; ids are read from it. */
export function answerOf(
  { dropped, durability, rejections }: ProduceResponse,
  bytesOf: (sequence: number) => Uint8Array | undefined,
): ProducerAnswer {
  return {
    dropped: Number(dropped),
    rejections: [...Map.groupBy(rejections, (onWire) => Number(onWire.sequence))].flatMap(([sequence, ofMessage]) =>
      eachEvent(ofMessage.map(ofRejection), bytesOf(sequence)).map((rejection) => ({ sequence, ...rejection })),
    ),
    durability: ofDurability(durability),
  }
}
