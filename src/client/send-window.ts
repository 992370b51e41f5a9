// The messages of a producer that the server has not acknowledged, in order.
//
// Job: track which of them are still to be written on the current call, which must be rewritten on the next one, and
// how many events they hold.
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
  /** How many, from the front, have been written on the current call. */
  #written = 0
  #bytes = 0
  #lastSequence = 0
  /** The highest sequence ever written. Messages up to it have an unknown outcome until they are acknowledged. */
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

  /** Events that were written and not acknowledged: they may or may not be in the log. */
  get unknownEvents(): number {
    return countEvents(this.#messages.filter((message) => message.sequence <= this.#lastWritten))
  }

  /** Events that were never written: certainly not in the log. */
  get unsentEvents(): number {
    return countEvents(this.#messages.filter((message) => message.sequence > this.#lastWritten))
  }

  /** Adds the next message; its sequence must be one more than the last one's. */
  push(message: OutgoingMessage): void {
    if (message.sequence !== this.#lastSequence + 1)
      throw new Error('the messages of a producer must be numbered consecutively')
    this.#messages.push(message)
    this.#bytes += message.bytes.length
    this.#lastSequence = message.sequence
  }

  /** Returns the next message to write and counts it as written; null when all are written. */
  nextToWrite(): OutgoingMessage | null {
    const message = this.#messages[this.#written]
    if (message === undefined) return null
    this.#written++
    if (message.sequence > this.#lastWritten) this.#lastWritten = message.sequence
    return message
  }

  /** The unacknowledged message with this sequence. */
  bytesOf(sequence: number): Buffer | undefined {
    return this.#messages[sequence - this.ackedThrough - 1]?.bytes
  }

  /** Call after a cut: everything unacknowledged will be written again. */
  rewind(): void {
    this.#written = 0
  }

  /** Removes the messages up to this sequence and returns how many events they held. */
  acknowledge(throughSequence: number): number {
    const count = throughSequence - this.ackedThrough
    if (count <= 0) return 0
    if (count > this.#written)
      throw new Error(`the server acknowledged sequence ${throughSequence}, which was not sent`)
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
