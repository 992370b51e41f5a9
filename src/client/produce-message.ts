// The encoding of a ProduceRequest around events that are encoded already.

import { MillraceError } from '../errors.ts'
import { limits } from '../event/event.ts'
import { bytesType, writeVarint } from '../lib/protobuf-walk.ts'
import type { Overflow } from '../pipeline/pipeline.ts'
import { overflowOnWire } from './wire-values.ts'

const topicField = 2
const overflowField = 3
const producerIdField = 4
const sequenceField = 5
const maxSequenceBytes = 8

/** Room in a message for all but the events: a topic has at most 64 bytes, a producer id of ours 36. */
const maxEnvelopeBytes = 256

/** Puts the fields of a message behind its events; encodings of fields may stand in any order. */
export class ProduceMessageEncoder {
  /** The fields that are the same in each message of a publisher. */
  readonly #tail: Uint8Array

  constructor(topic: string, overflow: Overflow) {
    this.#tail = Buffer.concat([
      encodeText(topicField, topic),
      Buffer.from([overflowField << 3, overflowOnWire[overflow]]),
    ])
  }

  /** A message without `producer_id`, which only the first one of a call needs. */
  encode(events: Uint8Array, sequence: number): Buffer {
    const tail = this.#tail
    const message = Buffer.allocUnsafe(events.length + tail.length + 1 + maxSequenceBytes)
    message.set(events, 0)
    message.set(tail, events.length)
    let at = events.length + tail.length
    message[at++] = sequenceField << 3
    at = writeVarint(message, at, sequence)
    return message.subarray(0, at)
  }
}

/** The field `producer_id`, to stand behind a message. */
export function encodeProducerId(producerId: string): Buffer {
  return encodeText(producerIdField, producerId)
}

/** A message that the server must refuse would end the whole call, so it is refused before it is sent. */
export function refuseBadBatch(bytes: Uint8Array, count: number): void {
  if (count < 1 || count > limits.maxEventsPerMessage) {
    throw new MillraceError(
      'too_many_events',
      `a record batch has 1 to ${limits.maxEventsPerMessage} events, not ${count}`,
    )
  }
  if (bytes.length > limits.maxMessageBytes - maxEnvelopeBytes) {
    const limit = limits.maxMessageBytes - maxEnvelopeBytes
    throw new MillraceError('message_too_large', `the record batch has ${bytes.length} bytes; a message takes ${limit}`)
  }
}

function encodeText(field: number, text: string): Buffer {
  const bytes = Buffer.from(text)
  const head = Buffer.alloc(6)
  head[0] = (field << 3) | bytesType
  return Buffer.concat([head.subarray(0, writeVarint(head, 1, bytes.length)), bytes])
}
