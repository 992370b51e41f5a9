// The message of a landEvents call to the store's thread: all batches in one buffer that is transferred, not copied
// again, and their metadata in plain arrays. The batches themselves stay with the log, which may redeliver them. The
// answer returns the buffer for the next call: touching new memory costs 1 µs per KiB, more than everything else here.

import type { StreamName } from '../../event-log/event-log.ts'
import type { LandingEntry } from '../event-store.ts'

export interface LandingStream extends StreamName {
  readonly epoch: number
}

/** Every array but `streams` has one element per entry. */
export interface LandingMessage {
  /** The batches one after the other; may be longer than `byteLength`. */
  readonly buffer: ArrayBuffer
  readonly byteLength: number
  /** Total number of events. */
  readonly rows: number
  readonly lengths: Uint32Array
  readonly counts: Uint32Array
  readonly receivedAtMicros: Float64Array
  readonly logOffsets: Float64Array
  /** Index into `streams`. */
  readonly streamIndexes: Uint32Array
  readonly streams: readonly LandingStream[]
}

/** @param spare a buffer of an earlier call, used if it is large enough. */
export function packLanding(entries: readonly LandingEntry[], spare?: ArrayBuffer): LandingMessage {
  let byteLength = 0
  let rows = 0
  for (const { batch } of entries) {
    byteLength += batch.bytes.length
    rows += batch.count
  }
  const buffer =
    spare !== undefined && spare.byteLength >= byteLength ? spare : new ArrayBuffer(roomyLength(byteLength))
  const bytes = new Uint8Array(buffer)
  const lengths = new Uint32Array(entries.length)
  const counts = new Uint32Array(entries.length)
  const receivedAtMicros = new Float64Array(entries.length)
  const logOffsets = new Float64Array(entries.length)
  const streamIndexes = new Uint32Array(entries.length)
  const streams = new StreamList()
  let at = 0
  for (let index = 0; index < entries.length; index++) {
    const { position, batch } = entries[index]!
    bytes.set(batch.bytes, at)
    at += batch.bytes.length
    lengths[index] = batch.bytes.length
    counts[index] = batch.count
    receivedAtMicros[index] = batch.receivedAtMicros
    logOffsets[index] = position.offset
    streamIndexes[index] = streams.indexOf(position.stream, position.epoch)
  }
  return {
    buffer,
    byteLength,
    rows,
    lengths,
    counts,
    receivedAtMicros,
    logOffsets,
    streamIndexes,
    streams: streams.all,
  }
}

/** A little more than needed, so that the buffer also fits the next call of about the same size. */
function roomyLength(byteLength: number): number {
  return Math.ceil((byteLength * 1.25) / 65_536) * 65_536
}

/** The streams of one call. Entries of the same stream are usually adjacent, so the last stream is compared first. */
class StreamList {
  readonly all: LandingStream[] = []
  readonly #indexes = new Map<string, number>()
  #last: StreamName | null = null
  #lastEpoch = 0
  #lastIndex = 0

  indexOf(stream: StreamName, epoch: number): number {
    if (stream === this.#last && epoch === this.#lastEpoch) return this.#lastIndex
    const { topic, partition, lane } = stream
    const name = `${topic}/${partition}/${lane}/${epoch}`
    let index = this.#indexes.get(name)
    if (index === undefined) {
      index = this.all.length
      this.all.push({ topic, partition, lane, epoch })
      this.#indexes.set(name, index)
    }
    this.#last = stream
    this.#lastEpoch = epoch
    this.#lastIndex = index
    return index
  }
}
