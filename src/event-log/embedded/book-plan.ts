// What one transaction of the group commit changes in the cursors and ledgers of the consumer groups.

import { type DueCursor, UnreadCursor } from './cursor.ts'
import type { GroupPartition, LedgerChange } from './group-state.ts'
import type { HeldEntry } from './held-entry.ts'
import type { LedgerRow } from './log-rows.ts'
import type { OffsetRange } from './settled-ranges.ts'
import type { StoredEntry } from './stored-entry.ts'
import type { CommitRequest } from './thread-protocol.ts'

/** Events added to a partition that now wait in each of `parts`: appended for all groups, or reopened for one. */
export interface Taken {
  readonly parts: readonly GroupPartition[]
  readonly isReopened: boolean
  readonly events: number
  readonly bytes: number
}

type BookRows = Pick<
  CommitRequest,
  'cursors' | 'ledgers' | 'settledRanges' | 'removedRanges' | 'attempts' | 'removedAttempts' | 'removedEntries'
>

export class BookPlan {
  readonly #cursors = new Map<UnreadCursor | DueCursor, GroupPartition>()
  readonly #changes = new Map<GroupPartition, LedgerChange>()
  readonly #ledgers = new Map<GroupPartition, LedgerRow>()
  readonly #settledRanges: CommitRequest['settledRanges'][number][] = []
  readonly #removedRanges: number[] = []
  readonly #attempts: CommitRequest['attempts'][number][] = []
  readonly #removedAttempts: number[] = []
  readonly #removedEntries: number[] = []

  get isEmpty(): boolean {
    return this.#cursors.size === 0
  }

  /** Marks a cursor as changed. Cursors of handed-out entries are added by `rows`. */
  touch(part: GroupPartition, cursor: UnreadCursor | DueCursor): void {
    this.#cursors.set(cursor, part)
  }

  /** Settles an entry. Returns its ledger change, to which the caller adds the outcomes. */
  settle(part: GroupPartition, cursor: UnreadCursor | DueCursor, entry: StoredEntry): LedgerChange {
    cursor.settle(entry.firstOffset, entry.endOffset)
    if (!(cursor instanceof UnreadCursor)) this.#removedEntries.push(cursor.stream.number, entry.firstOffset)
    const change = this.#change(part, cursor)
    change.waitingEvents -= entry.count
    change.waitingBytes -= entry.byteLength
    return change
  }

  /** Counts a range that is missing from the file as lost. */
  lose(part: GroupPartition, cursor: UnreadCursor | DueCursor, range: OffsetRange): void {
    cursor.lose(range)
    const change = this.#change(part, cursor)
    change.lost += range.end - range.start
    change.waitingEvents -= range.end - range.start
  }

  /** The rows, including what the same transaction adds and hands out. May be called again with less of both. */
  rows(taken: readonly Taken[], handedOut: readonly HeldEntry[]): BookRows {
    const cursors = new Map(this.#cursors)
    for (const { cursor, part } of handedOut) cursors.set(cursor, part)
    this.#drain(cursors)
    return {
      cursors: Array.from(cursors.keys(), (cursor) => cursor.row()),
      ledgers: this.#ledgerRows(taken),
      settledRanges: this.#settledRanges,
      removedRanges: this.#removedRanges,
      attempts: this.#attempts,
      removedAttempts: this.#removedAttempts,
      removedEntries: this.#removedEntries,
    }
  }

  /** To be called when the rows of the last call are durable. */
  committed(): void {
    for (const [part, row] of this.#ledgers) part.ledger.committed(row)
    for (const [part, change] of this.#changes) part.group.settledEvents += change.landed + change.dead + change.lost
  }

  /** The cursors that have changed. */
  get cursors(): Iterable<UnreadCursor | DueCursor> {
    return this.#cursors.keys()
  }

  #change(part: GroupPartition, cursor: UnreadCursor | DueCursor): LedgerChange {
    this.touch(part, cursor)
    let change = this.#changes.get(part)
    if (change === undefined) {
      change = noChange()
      this.#changes.set(part, change)
    }
    return change
  }

  /** Moves the pending changes from the cursors into this plan. */
  #drain(cursors: ReadonlyMap<UnreadCursor | DueCursor, GroupPartition>): void {
    for (const [cursor, { group }] of cursors) {
      const key = { groupNumber: group.number, stream: cursor.stream.number }
      const ranges = cursor.takeRangeChanges()
      for (const { start, end } of ranges.saved) {
        this.#settledRanges.push({ ...key, firstOffset: start, endOffset: end })
      }
      for (const start of ranges.removed) this.#removedRanges.push(key.groupNumber, key.stream, start)
      const attempts = cursor.takeAttemptChanges()
      for (const { firstOffset, attempt } of attempts.saved) this.#attempts.push({ ...key, firstOffset, attempt })
      for (const offset of attempts.removed) this.#removedAttempts.push(key.groupNumber, key.stream, offset)
    }
  }

  #ledgerRows(taken: readonly Taken[]): LedgerRow[] {
    const changes = new Map(this.#changes)
    for (const { parts, isReopened, events, bytes } of taken) {
      for (const part of parts) {
        const change = changes.get(part) ?? noChange()
        changes.set(part, {
          ...change,
          reopened: change.reopened + (isReopened ? events : 0),
          waitingEvents: change.waitingEvents + events,
          waitingBytes: change.waitingBytes + bytes,
        })
      }
    }
    this.#ledgers.clear()
    for (const [part, change] of changes) this.#ledgers.set(part, part.ledger.rowWith(change))
    return [...this.#ledgers.values()]
  }
}

function noChange(): LedgerChange {
  return { reopened: 0, landed: 0, dead: 0, lost: 0, waitingEvents: 0, waitingBytes: 0 }
}
