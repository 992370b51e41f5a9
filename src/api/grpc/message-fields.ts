// Reads the fields of a publish message other than `events`, without decoding the message.
//
// Job: one pass over the top level of the message: topic, overflow, producer, its epoch, sequence, and the number of events. The
// three requests share their field numbers, so one reader serves all.
// Not its job: reading the events (the pipeline scans them), checking the numbering of messages (produce.ts).

import { MillraceError } from '../../errors.ts'
import { defaultTopic, limits } from '../../event/event.ts'
import { textOf } from '../../event/record-batch.ts'
import { bytesType, FieldWalker, varintType } from '../../lib/protobuf-walk.ts'
import { textFault } from '../../lib/utf8.ts'
import type { Overflow } from '../../pipeline/pipeline.ts'
import { ofOverflow } from '../../wire/publish.ts'
import { checkTopic } from '../topic.ts'

const eventsField = 1
const topicField = 2
const overflowField = 3
const producerIdField = 4
const sequenceField = 5
const producerEpochField = 6
const answerAlwaysField = 7

/** Reused for every message: while the topic or producer stays the same, no new string is made. */
export class MessageFields {
  topic: string = defaultTopic
  overflow: Overflow = 'reject'
  /** '' when the message names no producer. */
  producerId = ''
  /** 0 when the message has none. */
  producerEpoch = 0
  sequence = 0
  /** `Publish` only. */
  answerAlways = false
  /** The number of events in the message. */
  events = 0

  readonly #walker = new FieldWalker()
  #topicText = ''
  #producerText = ''

  /** Reads a message. Throws `invalid_event` when it is unreadable or one of these fields is not valid. */
  read(message: Uint8Array): this {
    this.events = 0
    this.sequence = 0
    this.producerEpoch = 0
    this.answerAlways = false
    let topicStart = 0
    let topicEnd = 0
    let overflow = 0
    let producerStart = 0
    let producerEnd = 0
    const walker = this.#walker.reset(message, 0, message.length)
    while (walker.next()) {
      const { number, wireType } = walker
      if (wireType === bytesType) {
        if (number === eventsField) {
          this.events++
        } else if (number === topicField) {
          topicStart = walker.valueStart
          topicEnd = walker.valueEnd
        } else if (number === producerIdField) {
          producerStart = walker.valueStart
          producerEnd = walker.valueEnd
        }
      } else if (wireType === varintType) {
        if (number === overflowField) overflow = walker.valueHigh === 0 ? walker.valueLow : -1
        else if (number === sequenceField) this.sequence = walker.valueHigh * 0x1_0000_0000 + walker.valueLow
        else if (number === producerEpochField) this.producerEpoch = walker.valueHigh * 0x1_0000_0000 + walker.valueLow
        else if (number === answerAlwaysField) this.answerAlways = walker.valueLow !== 0
      }
    }
    if (walker.broken) throw new MillraceError('invalid_event', 'the message is not a valid protobuf message')
    this.topic = this.#topicOf(message, topicStart, topicEnd)
    this.overflow = overflowOf(overflow)
    this.producerId = this.#producerOf(message, producerStart, producerEnd)
    return this
  }

  #topicOf(message: Uint8Array, start: number, end: number): string {
    if (start === end) return defaultTopic
    if (isAsciiText(this.#topicText, message, start, end)) return this.#topicText
    this.#topicText = checkTopic(textOf(message, start, Math.min(end, start + 256)))
    return this.#topicText
  }

  #producerOf(message: Uint8Array, start: number, end: number): string {
    if (start === end) return ''
    if (isAsciiText(this.#producerText, message, start, end)) return this.#producerText
    if (end - start > limits.maxNameBytes) {
      const problem = `producer_id has ${end - start} bytes; the limit is ${limits.maxNameBytes}`
      throw new MillraceError('invalid_event', problem, { field: 'producer_id' })
    }
    if (textFault(message, start, end) !== null) {
      throw new MillraceError('invalid_event', 'producer_id is not valid UTF-8 text, or has a NUL character', {
        field: 'producer_id',
      })
    }
    this.#producerText = textOf(message, start, end)
    return this.#producerText
  }
}

function overflowOf(number: number): Overflow {
  const overflow = ofOverflow(number)
  if (overflow !== null) return overflow
  const problem = `overflow ${number} is unknown: it must be REJECT (1), DROP (2) or WAIT (3)`
  throw new MillraceError('invalid_event', problem, { field: 'overflow' })
}

function isAsciiText(text: string, bytes: Uint8Array, start: number, end: number): boolean {
  if (text.length !== end - start) return false
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) !== bytes[start + index]) return false
  return true
}
