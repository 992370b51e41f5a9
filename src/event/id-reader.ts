// Reads the ids of single events of a producer's message.

import { bytesType, FieldWalker } from '../lib/protobuf-walk.ts'
import { limits } from './event.ts'
import { EventFields, textOf } from './record-batch.ts'

export class IdReader {
  readonly #message: Uint8Array
  readonly #walker: FieldWalker
  readonly #fields = new EventFields()
  #next = 0

  constructor(message: Uint8Array) {
    this.#message = message
    this.#walker = new FieldWalker().reset(message, 0, message.length)
  }

  /** The id as it was sent, '' if the event has none. @param index of the event in the message, rising from call to call. */
  idOf(index: number): string {
    const walker = this.#walker
    while (walker.next()) {
      if (walker.number !== 1 || walker.wireType !== bytesType || this.#next++ < index) continue
      const fields = this.#fields
      if (!fields.read(this.#message, walker.valueStart, walker.valueEnd)) return ''
      const length = fields.idEnd - fields.idStart
      return length > limits.maxNameBytes ? '' : textOf(this.#message, fields.idStart, fields.idEnd)
    }
    return ''
  }
}
