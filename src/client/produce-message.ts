// Encodes a ProduceRequest around events that are already encoded.

import { MillraceError } from '../errors.ts'
import { limits } from '../event/event.ts'
import { bytesType, writeVarint } from '../lib/protobuf-walk.ts'
import type { Overflow } from '../pipeline/pipeline.ts'
import { overflowNumbers } from '../wire/publish.ts'

const topicField = 2
const overflowField = 3
const producerIdField = 4
const sequenceField = 5
const producerEpochField = 6
const maxSequenceBytes = 8

/** Room in a message for all other fields: a topic has at most 64 bytes, a producer id 255. */
const maxEnvelopeBytes = 512

/** Appends the fields of a message to its encoded events; protobuf allows fields in any order. */
export class ProduceMessageEncoder {
  /** The fields that are the same in every message of a publisher. */
  readonly #tail: Uint8Array

  constructor(topic: string, overflow: Overflow) {
    this.#tail = Buffer.concat([
      encodeText(topicField, topic),
      Buffer.from([overflowField << 3, overflowNumbers[overflow]]),
    ])
  }

  /** A message without its producer, which only the first message of a call needs. */
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

/** A producer in one of its starts. */
export interface ProducerStart {
  readonly id: string
  /** 1 .. 2^53 - 1. */
  readonly epoch: number
}

/** The fields `producer_id` and `producer_epoch`, to be appended to a message. */
export function encodeProducer({ id, epoch }: ProducerStart): Buffer {
  const bytes = Buffer.alloc(1 + maxSequenceBytes)
  bytes[0] = producerEpochField << 3
  return Buffer.concat([encodeText(producerIdField, id), bytes.subarray(0, writeVarint(bytes, 1, epoch))])
}

/** Refuses a batch that the server would refuse, because the server's refusal would end the whole call. */
export function refuseBadBatch(bytes: Uint8Array, count: number): void {
  if (count < 1 || count > limits.maxEventsPerMessage) {
    throw new MillraceError(
      'too_many_events',
      `the record batch has ${count} events; it must have 1 to ${limits.maxEventsPerMessage}`,
    )
  }
  if (bytes.length > limits.maxMessageBytes - maxEnvelopeBytes) {
    const limit = limits.maxMessageBytes - maxEnvelopeBytes
    throw new MillraceError('message_too_large', `the record batch has ${bytes.length} bytes; the limit is ${limit}`)
  }
}

function encodeText(field: number, text: string): Buffer {
  const bytes = Buffer.from(text)
  const head = Buffer.alloc(6)
  head[0] = (field << 3) | bytesType
  return Buffer.concat([head.subarray(0, writeVarint(head, 1, bytes.length)), bytes])
}
