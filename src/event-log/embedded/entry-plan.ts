// The entries that one transaction of the group commit stores: joins appends into entries, assigns their offsets, and
// packs their bytes for the database thread.
//
// The bytes are copied once, into one buffer that is transferred to the thread and back. When they are durable, the
// entries in memory and the deliveries are views of that buffer. If there are no such views, the buffer is reused.

import { limits } from '../../event/event.ts'
import type { RecordBatch } from '../../event/record-batch.ts'
import type { DueCursor } from './cursor.ts'
import type { PackBuffer } from './pack-buffer.ts'
import type { PendingAppend } from './pending-append.ts'
import type { RecentEntries } from './recent-entries.ts'
import { type Redelivery, StoredEntry } from './stored-entry.ts'
import type { StreamState } from './stream-state.ts'
import { entryFields } from './thread-protocol.ts'

interface PlannedEntry {
  readonly stream: StreamState
  readonly entry: StoredEntry
  /** The cursor, for an entry in a group's own stream; else null. */
  readonly own: DueCursor | null
  /** Whether a group may read it soon, so that it should stay in memory. */
  readonly isWanted: boolean
  /** Whether it is refused when the disk has no space for it. */
  readonly isRefusable: boolean
}

export class EntryPlan {
  #appends: PendingAppend[] = []
  #entries: PlannedEntry[] = []
  readonly #maxRecentBytes: number

  /** @param maxRecentBytes max bytes of the newest entries that stay in memory. */
  constructor(maxRecentBytes: number) {
    this.#maxRecentBytes = maxRecentBytes
  }

  get appends(): readonly PendingAppend[] {
    return this.#appends
  }

  /** The number of entries. */
  get size(): number {
    return this.#entries.length
  }

  /** Whether a group may read any of the entries soon. */
  get isWanted(): boolean {
    return this.#entries.some(({ isWanted }) => isWanted)
  }

  /** The bytes of all appends. */
  get appendedBytes(): number {
    return this.#appends.reduce((sum, append) => sum + append.bytes, 0)
  }

  /** The bytes that are refused when the disk has no space for them: all except redeliveries. */
  get refusableBytes(): number {
    return this.#entries.reduce((sum, { entry, isRefusable }) => sum + (isRefusable ? entry.byteLength : 0), 0)
  }

  /** Adds an append. Its batches are joined to the stream's last planned entry, up to the limits of an entry. */
  append(append: PendingAppend): void {
    this.#appends.push(append)
    const { stream } = append
    const plan = stream.ensurePlan()
    for (const batch of append.batches) {
      append.offsets.push(plan.nextOffset)
      const last = plan.entries[plan.entries.length - 1]
      if (last !== undefined && canJoin(last, batch)) {
        last.join(batch)
        plan.nextOffset += batch.count
        plan.nextByte += batch.bytes.length
      } else {
        const isWanted = mayBeReadSoon(append, this.#maxRecentBytes)
        this.#add({ stream, own: null, isWanted, isRefusable: true }, batch, null)
      }
    }
  }

  /** Adds a redelivery to a group's own stream. */
  appendRedelivery(own: DueCursor, batch: RecordBatch, again: Redelivery): void {
    this.#add({ stream: own.stream, own, isWanted: false, isRefusable: false }, batch, again)
  }

  /** Adds a reopened batch to a group's own stream, behind all redeliveries, so that it can be removed on a refusal. */
  reopen(own: DueCursor, batch: RecordBatch, again: Redelivery): void {
    this.#add({ stream: own.stream, own, isWanted: false, isRefusable: true }, batch, again)
  }

  /** The streams that grow. */
  streams(): Set<StreamState> {
    return new Set(this.#entries.map(({ stream }) => stream))
  }

  /** The entries in the form of a CommitRequest. */
  pack(firstAppendNumber: number, buffer: PackBuffer): { bytes: Uint8Array<ArrayBuffer>; entries: Float64Array } {
    const byteLength = this.#entries.reduce((sum, { entry }) => sum + entry.byteLength, 0)
    const bytes = this.isWanted ? buffer.fresh(byteLength) : buffer.take(byteLength)
    const numbers = new Float64Array(this.#entries.length * entryFields)
    let at = 0
    let row = 0
    let appendNumber = firstAppendNumber
    for (const { stream, entry } of this.#entries) {
      numbers[row] = appendNumber++
      numbers[row + 1] = stream.number
      numbers[row + 2] = entry.firstOffset
      numbers[row + 3] = entry.count
      numbers[row + 4] = entry.startByte
      numbers[row + 5] = entry.receivedAtMicros
      numbers[row + 6] = entry.again?.attempt ?? -1
      numbers[row + 7] = entry.again?.dueAtMs ?? -1
      numbers[row + 8] = entry.again?.originOffset ?? -1
      numbers[row + 9] = entry.byteLength
      row += entryFields
      for (const piece of entry.pieces ?? []) {
        bytes.set(piece, at)
        at += piece.length
      }
    }
    return { bytes, entries: numbers }
  }

  /** Removes the appends and the reopened batches, and returns the appends. */
  dropRefusable(): readonly PendingAppend[] {
    for (const { stream, entry, isRefusable } of this.#entries.toReversed()) {
      if (isRefusable) stream.dropPlanned(entry)
    }
    this.#entries = this.#entries.filter(({ isRefusable }) => !isRefusable)
    const dropped = this.#appends
    this.#appends = []
    for (const { offsets } of dropped) offsets.length = 0
    return dropped
  }

  /** To be called when the entries are durable: extends the streams and makes the bytes available. */
  committed(bytes: Uint8Array): void {
    let at = 0
    for (const { entry } of this.#entries) {
      entry.bytes = bytes.subarray(at, at + entry.byteLength)
      entry.pieces = null
      at += entry.byteLength
    }
    for (const stream of this.streams()) {
      stream.nextOffset = stream.plan!.nextOffset
      stream.nextByte = stream.plan!.nextByte
      stream.plan = null
    }
  }

  /** Keeps the committed entries in memory that a group may read soon; drops the bytes of the others. */
  remember(recent: RecentEntries): void {
    for (const { stream, entry, own, isWanted } of this.#entries) {
      if (isWanted) {
        recent.add(stream.tail, entry)
      } else {
        entry.bytes = null
        own?.due.push({ dueAtMs: entry.again?.dueAtMs ?? 0, offset: entry.firstOffset, count: entry.count })
      }
    }
  }

  #add(place: Omit<PlannedEntry, 'entry'>, batch: RecordBatch, again: Redelivery | null): void {
    const plan = place.stream.ensurePlan()
    const entry = new StoredEntry(plan.nextOffset, plan.nextByte, again)
    entry.join(batch)
    plan.entries.push(entry)
    plan.nextOffset += batch.count
    plan.nextByte += batch.bytes.length
    this.#entries.push({ ...place, entry })
  }
}

/**
 * Whether a group is near enough to the end of the stream to read a new entry before it is evicted from memory. The
 * bytes in between are estimated from the number of events.
 */
function mayBeReadSoon({ partition, stream }: PendingAppend, maxRecentBytes: number): boolean {
  const bytesPerEvent = stream.nextByte / Math.max(1, stream.nextOffset)
  for (const group of partition.topic.groups.values()) {
    const { nextUnread } = group.partitions[partition.number]!.unread[stream.name.lane]
    if ((stream.nextOffset - nextUnread) * bytesPerEvent <= maxRecentBytes) return true
  }
  return false
}

function canJoin(entry: StoredEntry, batch: RecordBatch): boolean {
  return (
    entry.count + batch.count <= limits.maxEntryEvents && entry.byteLength + batch.bytes.length <= limits.maxEntryBytes
  )
}
