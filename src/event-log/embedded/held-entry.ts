// An entry that is held by one consumer or is in flight to it.

import type { RecordBatch } from '../../event/record-batch.ts'
import type { Delivery } from '../event-log.ts'
import type { DueCursor, UnreadCursor } from './cursor.ts'
import type { GroupPartition } from './group-state.ts'
import type { StoredEntry } from './stored-entry.ts'

export class HeldEntry {
  readonly part: GroupPartition
  readonly cursor: UnreadCursor | DueCursor
  readonly entry: StoredEntry
  readonly attempt: number
  #batch: RecordBatch | null

  constructor(part: GroupPartition, cursor: UnreadCursor | DueCursor, entry: StoredEntry, attempt: number) {
    this.part = part
    this.cursor = cursor
    this.entry = entry
    this.attempt = attempt
    // Taken now, because RecentEntries may evict the bytes before this is delivered.
    this.#batch = this.isPlanned ? null : entry.batch()
  }

  /** Whether the entry itself is not durable yet. */
  get isPlanned(): boolean {
    return this.entry.pieces !== null
  }

  /** To be called when the entry is durable. */
  takeBytes(): void {
    this.#batch ??= this.entry.batch()
  }

  delivery(id: string, epoch: number): Delivery {
    const { cursor, entry, attempt } = this
    // A redelivery keeps its original offset: offsets of the group's own stream have no meaning outside the log.
    const offset = entry.again?.originOffset ?? entry.firstOffset
    return { id, position: { stream: cursor.stream.name, epoch, offset }, batch: this.#bytes(), attempt }
  }

  /** Makes the entry available to the group again. */
  giveBack(): void {
    this.cursor.giveBack(this.entry.copy(this.#bytes().bytes))
  }

  #bytes(): RecordBatch {
    if (this.#batch === null) throw new Error('the entry is not durable yet')
    return this.#batch
  }
}
