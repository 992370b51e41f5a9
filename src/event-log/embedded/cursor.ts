// A group's progress in one stream: what it has settled, and how many times it has tried the rest.
//
// There are two kinds: an UnreadCursor reads a stream of the topic from start to end; a DueCursor reads a stream of the
// group's own by due time. Both hold the state that the next commit makes durable: they change when a transaction is
// planned, and no caller sees the change before that transaction is durable.

import { DueHeap } from './due-heap.ts'
import type { CursorRow } from './log-rows.ts'
import type { Page } from './page.ts'
import { type OffsetRange, type RangeChanges, SettledRanges } from './settled-ranges.ts'
import { findEntry, type StoredEntry } from './stored-entry.ts'
import type { StreamState } from './stream-state.ts'

export interface AttemptChanges {
  readonly saved: readonly { readonly firstOffset: number; readonly attempt: number }[]
  readonly removed: readonly number[]
}

abstract class Cursor {
  readonly stream: StreamState
  readonly #groupNumber: number
  readonly #startOffset: number
  #settledBelow: number
  protected handedOutBelow: number
  readonly #ranges = new SettledRanges()
  /** Attempts by first offset, where they differ from `usualAttempts`. */
  readonly #attempts = new Map<number, number>()
  readonly #changedAttempts = new Set<number>()
  /** Unsettled entries in memory that no consumer holds, in the order in which they are to be handed out. */
  readonly ready: StoredEntry[] = []

  constructor(stream: StreamState, row: CursorRow) {
    this.stream = stream
    this.#groupNumber = row.groupNumber
    this.#startOffset = row.startOffset
    this.#settledBelow = row.settledBelow
    this.handedOutBelow = row.handedOutBelow
  }

  /** How many times an entry was tried when no attempt is stored for it. */
  protected abstract usualAttempts(entry: StoredEntry): number

  get settledBelow(): number {
    return this.#settledBelow
  }

  protected get ranges(): SettledRanges {
    return this.#ranges
  }

  /** The first settled range that ends after an offset, without the part before that offset. */
  settledFrom(offset: number): OffsetRange | undefined {
    if (offset < this.#settledBelow) return { start: offset, end: this.#settledBelow }
    const range = this.#ranges.firstEndingAfter(offset)
    return range === undefined ? undefined : { start: Math.max(range.start, offset), end: range.end }
  }

  /** Restores the ranges and attempts that were stored beside the row. */
  restore(ranges: readonly OffsetRange[], attempts: readonly { firstOffset: number; attempt: number }[]): void {
    for (const { start, end } of ranges) this.#ranges.add(start, end)
    this.#ranges.takeChanges()
    for (const { firstOffset, attempt } of attempts) this.#attempts.set(firstOffset, attempt)
  }

  /** How many times the entry has been handed out and not given back. */
  attemptsOf(entry: StoredEntry): number {
    return this.#attempts.get(entry.firstOffset) ?? this.usualAttempts(entry)
  }

  protected setAttempts(entry: StoredEntry, attempts: number): void {
    const { firstOffset } = entry
    if (attempts === this.usualAttempts(entry)) {
      if (!this.#attempts.delete(firstOffset)) return
    } else {
      this.#attempts.set(firstOffset, attempts)
    }
    this.#changedAttempts.add(firstOffset)
  }

  /** Settles a range that is not settled yet. */
  settle(start: number, end: number): void {
    if (this.#attempts.delete(start)) this.#changedAttempts.add(start)
    const range = this.#ranges.add(start, end)
    if (range.start === this.#settledBelow) {
      this.#ranges.remove(range)
      this.#settledBelow = range.end
    }
    this.settled(range)
  }

  /** Settles a range of which the file has nothing. */
  lose({ start, end }: OffsetRange): void {
    for (const firstOffset of this.#attempts.keys()) {
      if (firstOffset <= start || firstOffset >= end) continue
      this.#attempts.delete(firstOffset)
      this.#changedAttempts.add(firstOffset)
    }
    this.settle(start, end)
  }

  /** Called after a settlement with the merged range that now contains it. */
  protected settled(_range: OffsetRange): void {}

  /** Makes an entry available again, with the attempts it had before it was handed out. */
  giveBack(entry: StoredEntry): void {
    this.setAttempts(entry, this.attemptsOf(entry) - 1)
    this.makeReady(entry)
  }

  protected makeReady(entry: StoredEntry): void {
    let at = this.ready.length
    while (at > 0 && comesBefore(entry, this.ready[at - 1]!)) at--
    this.ready.splice(at, 0, entry)
  }

  row(): CursorRow {
    return {
      groupNumber: this.#groupNumber,
      stream: this.stream.number,
      startOffset: this.#startOffset,
      settledBelow: this.#settledBelow,
      handedOutBelow: this.handedOutBelow,
      rangesAhead: this.#ranges.size,
      attemptsKept: this.#attempts.size,
    }
  }

  takeRangeChanges(): RangeChanges {
    return this.#ranges.takeChanges()
  }

  takeAttemptChanges(): AttemptChanges {
    const saved: { firstOffset: number; attempt: number }[] = []
    const removed: number[] = []
    for (const firstOffset of this.#changedAttempts) {
      const attempt = this.#attempts.get(firstOffset)
      if (attempt === undefined) removed.push(firstOffset)
      else saved.push({ firstOffset, attempt })
    }
    this.#changedAttempts.clear()
    return { saved, removed }
  }
}

function comesBefore(a: StoredEntry, b: StoredEntry): boolean {
  const difference = (a.again?.dueAtMs ?? 0) - (b.again?.dueAtMs ?? 0)
  return difference < 0 || (difference === 0 && a.firstOffset < b.firstOffset)
}

/** What comes next in a stream of the topic: an entry, a missing range, bytes that must be read first, or nothing. */
export type Unread =
  | { readonly kind: 'entry'; readonly entry: StoredEntry }
  | { readonly kind: 'hole'; readonly range: OffsetRange }
  | { readonly kind: 'to be read'; readonly from: number }
  | { readonly kind: 'end' }

const end: Unread = { kind: 'end' }

export class UnreadCursor extends Cursor {
  /** The offset to continue at. Everything between `settledBelow` and here is settled, held by a consumer, or ready. */
  #nextUnread: number
  /** Pages read from the file and not handed out yet, in order. */
  readonly pages: Page[] = []
  isReading = false

  constructor(stream: StreamState, row: CursorRow) {
    super(stream, row)
    this.#nextUnread = row.settledBelow
  }

  get nextUnread(): number {
    return this.#nextUnread
  }

  /** Whether there is a durable entry that was not handed out since the log was opened, or that was given back. */
  get hasUnread(): boolean {
    if (this.ready.length > 0) return true
    this.#skipSettled()
    return this.#nextUnread < this.stream.nextOffset
  }

  peek(): Unread {
    const ready = this.ready[0]
    if (ready !== undefined) return { kind: 'entry', entry: ready }
    this.#skipSettled()
    const at = this.#nextUnread
    const { stream } = this
    if (at >= stream.nextOffset) {
      const planned = stream.plan === null ? undefined : findEntry(stream.plan.entries, 0, at)
      return planned === undefined ? end : { kind: 'entry', entry: planned }
    }
    const recent = stream.tail.find(at)
    if (recent !== undefined) return { kind: 'entry', entry: recent }
    return this.#peekPages(at)
  }

  /** Hands out the entry that `peek` found. Returns the number of this attempt. */
  take(entry: StoredEntry): number {
    const attempt = this.attemptsOf(entry) + 1
    if (this.ready[0] === entry) this.ready.shift()
    else this.#nextUnread = entry.endOffset
    this.handedOutBelow = Math.max(this.handedOutBelow, entry.endOffset)
    this.setAttempts(entry, attempt)
    return attempt
  }

  /** Moves back to the durable end of the stream, because the planned entries will not be stored. */
  forgetPlanned(): void {
    this.#nextUnread = Math.min(this.#nextUnread, this.stream.nextOffset)
    this.handedOutBelow = Math.min(this.handedOutBelow, this.stream.nextOffset)
  }

  protected override usualAttempts(entry: StoredEntry): number {
    return entry.firstOffset < this.handedOutBelow ? 1 : 0
  }

  /** Skips ahead when the settled range, merged with an earlier one, now contains the next unread offset. */
  protected override settled({ start, end }: OffsetRange): void {
    if (start <= this.#nextUnread && end > this.#nextUnread) this.#nextUnread = end
  }

  #skipSettled(): void {
    const end = this.ranges.endOf(this.#nextUnread)
    if (end !== undefined) this.#nextUnread = end
  }

  #peekPages(at: number): Unread {
    while (this.pages.length > 0 && this.pages[0]!.through <= at) this.pages.shift()
    const page = this.pages[0]
    if (page === undefined || page.from > at) return { kind: 'to be read', from: at }
    const entry = page.firstFrom(at)
    if (entry?.firstOffset === at) return { kind: 'entry', entry }
    const nextSettled = this.ranges.firstStartAfter(at) ?? Number.POSITIVE_INFINITY
    return { kind: 'hole', range: { start: at, end: Math.min(entry?.firstOffset ?? page.through, nextSettled) } }
  }
}

export class DueCursor extends Cursor {
  /** Entries that are neither in memory nor held by a consumer. */
  readonly due = new DueHeap()
  isReading = false

  /** When the next entry can be handed out, in milliseconds since 1970; undefined when there is none. */
  get nextDueAtMs(): number | undefined {
    return this.ready.length > 0 ? 0 : this.due.nextDueAtMs
  }

  /** Adds an entry that was read from the file to `ready`. */
  addReady(entry: StoredEntry): void {
    this.makeReady(entry)
  }

  /** Hands out the first entry of `ready`. Returns the number of this attempt. */
  take(entry: StoredEntry): number {
    const attempt = this.attemptsOf(entry) + 1
    this.ready.shift()
    this.setAttempts(entry, attempt)
    return attempt
  }

  protected override usualAttempts(entry: StoredEntry): number {
    return entry.again?.attempt ?? 0
  }
}
