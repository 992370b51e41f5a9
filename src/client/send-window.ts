// The messages of a producer that the server has not acknowledged, in order.
//
// Job: know which of them are to be written on the present call, which must be written again on the next one, and how
// many events they hold.
// Not its job: writing, and deciding when (delivery.ts).

export interface OutgoingMessage {
  /** Numbers the producer's messages from 1. */
  readonly sequence: number
  readonly bytes: Buffer
  /** How many events it holds. */
  readonly count: number
}

export class SendWindow {
  #messages: OutgoingMessage[] = []
  /** How many, from the front, have been written on the present call. */
  #written = 0
  #bytes = 0
  #lastSequence = 0
  /** The highest sequence that was ever written: of those up to it the outcome is unknown until acknowledged. */
  #lastWritten = 0

  get messageCount(): number {
    return this.#messages.length
  }

  get byteLength(): number {
    return this.#bytes
  }

  /** How many messages are written and not acknowledged. */
  get writtenCount(): number {
    return this.#written
  }

  get hasUnwritten(): boolean {
    return this.#written < this.#messages.length
  }

  get isEmpty(): boolean {
    return this.#messages.length === 0
  }

  /** The sequence of the newest message; 0 when there was none. */
  get lastSequence(): number {
    return this.#lastSequence
  }

  /** Everything up to this sequence is acknowledged. */
  get ackedThrough(): number {
    return this.#lastSequence - this.#messages.length
  }

  /** Events that were written and not acknowledged: perhaps in the log, perhaps not. */
  get unknownEvents(): number {
    return countEvents(this.#messages.filter((message) => message.sequence <= this.#lastWritten))
  }

  /** Events that were never written: certainly not in the log. */
  get unsentEvents(): number {
    return countEvents(this.#messages.filter((message) => message.sequence > this.#lastWritten))
  }

  /** Takes in the next message; its sequence is one more than that of the one before. */
  push(message: OutgoingMessage): void {
    if (message.sequence !== this.#lastSequence + 1) throw new Error('the messages of a producer are numbered in turn')
    this.#messages.push(message)
    this.#bytes += message.bytes.length
    this.#lastSequence = message.sequence
  }

  /** The next message to write, from now on counted as written; null when all are. */
  nextToWrite(): OutgoingMessage | null {
    const message = this.#messages[this.#written]
    if (message === undefined) return null
    this.#written++
    if (message.sequence > this.#lastWritten) this.#lastWritten = message.sequence
    return message
  }

  /** After a cut: all that is not acknowledged is to be written again. */
  rewind(): void {
    this.#written = 0
  }

  /** Lets go of the messages up to this sequence and answers how many events they held. */
  acknowledge(throughSequence: number): number {
    const count = throughSequence - this.ackedThrough
    if (count <= 0) return 0
    if (count > this.#written) throw new Error(`sequence ${throughSequence} is acknowledged and was not sent`)
    const acknowledged = this.#messages.splice(0, count)
    this.#written -= count
    for (const message of acknowledged) this.#bytes -= message.bytes.length
    return countEvents(acknowledged)
  }
}

function countEvents(messages: readonly OutgoingMessage[]): number {
  let events = 0
  for (const message of messages) events += message.count
  return events
}
