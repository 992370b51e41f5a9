// An event that somebody wants, once for all its subscribers.

import { receivedEventLength, writeReceivedEvent } from '../event/received-event.ts'
import { type EventFields, textOf } from '../event/record-batch.ts'
import type { LiveEvent } from '../pipeline/live.ts'
import { encodeCursor } from './topic-cursor.ts'

/** Where an entry is: what has been read of each stream before it. Shared by its events. */
export interface EntryPlace {
  readonly topic: string
  readonly epoch: number
  /** As in TopicCursor, before the entry. */
  readonly offsets: readonly number[]
  /** The entry's stream: an index into `offsets`. */
  readonly stream: number
  /** The number of offsets before the entry, in all streams. */
  readonly offsetsBefore: number
}

const noBytes = new Uint8Array(0)

export class BufferedEvent implements LiveEvent {
  readonly bytes: Buffer
  readonly place: EntryPlace
  text: string | null = null
  readonly #offset: number
  #cursor: string | null = null
  /** Start and end of its key in `bytes`. */
  readonly #keyStart: number
  readonly #keyEnd: number

  /**
   * Copies the event with these fields, so that it does not hold the memory of its whole entry while it waits.
   * @param offset that of the event in its stream.
   * @param allocate makes the memory for the copy.
   * @param added encoded fields that the copy gets besides.
   */
  constructor(
    bytes: Uint8Array,
    fields: EventFields,
    receivedAtMicros: number,
    place: EntryPlace,
    offset: number,
    // Not from the pool: one event that waits for long would hold a whole block of it.
    allocate: (bytes: number) => Buffer = Buffer.allocUnsafeSlow,
    added: Uint8Array = noBytes,
  ) {
    const { start, end, keyStart, keyEnd } = fields
    this.bytes = allocate(receivedEventLength(end - start, receivedAtMicros) + added.length)
    const at = writeReceivedEvent(this.bytes, 0, bytes.subarray(start, end), receivedAtMicros)
    if (added.length > 0) this.bytes.set(added, at)
    this.place = place
    this.#offset = offset
    this.#keyStart = keyStart - start
    this.#keyEnd = keyEnd - start
  }

  get cursor(): string {
    if (this.#cursor !== null) return this.#cursor
    const { topic, epoch, offsets, stream } = this.place
    const after = [...offsets]
    while (after.length <= stream) after.push(0)
    after[stream] = this.#offset + 1
    this.#cursor = encodeCursor(topic, { epoch, offsets: after })
    return this.#cursor
  }

  /** '' when it has none. */
  get key(): string {
    return textOf(this.bytes, this.#keyStart, this.#keyEnd)
  }

  /** How many offsets of the topic are before it. */
  get offsetsBefore(): number {
    const { offsets, stream, offsetsBefore } = this.place
    return offsetsBefore + this.#offset - (offsets[stream] ?? 0)
  }
}
