// The producer messages of all workloads and floors: encoded once, then only their ids and numbers change.
//
// Job: produce messages with the same bytes, each event with a new id and the next number `n` in its payload, so that the
// gate can check afterwards that each event is stored once.
//
// Encoding each message would cost the generator more CPU than the transport costs the server, and both share the cores.

import { EventReader, encodeBatch } from '../src/event/record-batch.ts'

export interface MessageShape {
  readonly eventsPerMessage: number
  /** Length of each event's JSON. */
  readonly payloadBytes: number
  readonly overflow?: 'reject' | 'drop' | 'wait'
  /** Every nth event repeats the one before it instead of being new. 0: never. */
  readonly duplicateEvery?: number
  /** The number of the event before the first; 0 when left out. */
  readonly startAfter?: number
  /** How many keys the events of a message have in turn. 0: no keys. */
  readonly keys?: number
  /** Whether the ids have no order, as those of a UUIDv4; otherwise they ascend. */
  readonly hasRandomIds?: boolean
  /** Adds this producer id, its epoch and a sequence number to each message, for Produce. */
  readonly producerId?: string
}

export const smallestPayloadBytes = 100

/** `{"n":` is followed by the number, right-aligned in this many characters; JSON allows the spaces. */
export const numberStart = 5
export const numberDigits = 10

const idNumberDigits = 12
const overflowNumber = { reject: 1, drop: 2, wait: 3 } as const
/** Multiplied with it modulo 2^32, each number gets another one, in no order. */
const oddMultiplier = 2_654_435_761
const hexDigits = Buffer.from('0123456789abcdef')
const sequenceBytes = 5

export class MessageFactory {
  readonly #template: Buffer
  readonly #idNumberStarts: number[] = []
  readonly #numberStarts: number[] = []
  readonly #startAfter: number
  readonly #duplicateEvery: number
  readonly #hasRandomIds: boolean
  readonly #sequenceStart: number
  #events = 0
  #messages = 0

  constructor(shape: MessageShape) {
    const { eventsPerMessage, payloadBytes, keys = 0, producerId } = shape
    const keyOf = (index: number) => (keys === 0 ? {} : { key: `k${index % keys}` })
    const sample = sampleEvent(payloadBytes)
    const batch = encodeBatch(Array.from({ length: eventsPerMessage }, (_, index) => ({ ...sample, ...keyOf(index) })))
    const reader = new EventReader().reset(batch)
    while (reader.next()) {
      this.#idNumberStarts.push(reader.fields.idEnd - idNumberDigits)
      this.#numberStarts.push(reader.fields.dataStart + numberStart)
    }
    const tail = [0x18, overflowNumber[shape.overflow ?? 'reject']]
    if (producerId !== undefined)
      tail.push(0x22, producerId.length, ...Buffer.from(producerId), 0x30, 1, 0x28, 0, 0, 0, 0, 0)
    this.#template = Buffer.concat([batch, Buffer.from(tail)])
    this.#sequenceStart = producerId === undefined ? -1 : this.#template.length - sequenceBytes
    this.#startAfter = shape.startAfter ?? 0
    this.#duplicateEvery = shape.duplicateEvery ?? 0
    this.#hasRandomIds = shape.hasRandomIds ?? false
  }

  /** How many events were produced so far, including duplicates. */
  get events(): number {
    return this.#events
  }

  get eventsPerMessage(): number {
    return this.#numberStarts.length
  }

  get messageBytes(): number {
    return this.#template.length
  }

  /** The next message, in a buffer of its own, because the transport still reads it after the call to write. */
  next(): Buffer {
    const message = Buffer.from(this.#template)
    for (let index = 0; index < this.#numberStarts.length; index++) {
      const place = this.#startAfter + ++this.#events
      const number = this.#duplicateEvery > 0 && place % this.#duplicateEvery === 0 ? place - 1 : place
      const ofId = this.#hasRandomIds ? Math.imul(number, oddMultiplier) >>> 0 : number
      writeHex(message, this.#idNumberStarts[index]!, ofId)
      writeDecimal(message, this.#numberStarts[index]!, number)
    }
    this.#messages++
    if (this.#sequenceStart >= 0) writeFiveByteVarint(message, this.#sequenceStart, this.#messages)
    return message
  }
}

/** The number of rows that `events` events produce, and the sum of their numbers. */
export function expectedRows(events: number, duplicateEvery = 0): { rows: number; sum: number } {
  const repeats = duplicateEvery > 0 ? Math.floor(events / duplicateEvery) : 0
  const sumOfReplaced = (duplicateEvery * repeats * (repeats + 1)) / 2
  return { rows: events - repeats, sum: (events * (events + 1)) / 2 - sumOfReplaced }
}

/** The JSON of an event, `bytes` long, with its number. */
export function payload(number: number, bytes: number): Buffer {
  const start = `{"n":${String(number).padStart(numberDigits)},"agent":"agent-0042","level":"info","ok":true,"value":21.75,"text":"`
  const text = 'all quiet on this side, '.repeat(Math.ceil(bytes / 24)).slice(0, bytes - start.length - 2)
  return Buffer.from(`${start}${text}"}`)
}

function sampleEvent(payloadBytes: number) {
  return {
    id: idPrefix() + '0'.repeat(idNumberDigits),
    source: '/bench',
    type: 'bench.reading',
    data: payload(0, payloadBytes),
  }
}

/** A UUIDv7 without its last 12 digits, which hold the number. The ids ascend, as those of a producer do. */
export function idPrefix(): string {
  const time = Date.now().toString(16).padStart(12, '0')
  const random = Math.floor(Math.random() * 0x1000)
    .toString(16)
    .padStart(3, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random}-8${random}-`
}

function writeHex(bytes: Buffer, start: number, number: number): void {
  let rest = number
  for (let at = start + idNumberDigits - 1; rest !== 0; at--) {
    bytes[at] = hexDigits[rest & 15]!
    rest >>>= 4
  }
}

export function writeDecimal(bytes: Uint8Array, start: number, number: number): void {
  let rest = number
  for (let at = start + numberDigits - 1; rest > 0; at--) {
    const next = (rest / 10) | 0
    bytes[at] = 48 + rest - next * 10
    rest = next
  }
}

/** Padded to five bytes, so that every message has the same length. */
function writeFiveByteVarint(bytes: Buffer, start: number, number: number): void {
  let rest = number
  for (let index = 0; index < sequenceBytes; index++) {
    bytes[start + index] = (rest & 0x7f) | (index < sequenceBytes - 1 ? 0x80 : 0)
    rest = Math.floor(rest / 128)
  }
}
