// How a producer numbers its messages, so that a resend is recognised.

export interface ProducerMessage {
  readonly id: string
  /** Grows with each start of the producer, so that the sequences of two starts differ. 0 .. 2^53 - 1. */
  readonly epoch: number
  /** The message's number in its epoch. 0 .. 2^53 - 1. */
  readonly sequence: number
}
