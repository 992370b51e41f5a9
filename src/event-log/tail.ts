// Reading a topic without a group, as the live feed does. Part of the log's contract (event-log.ts).
//
// A reader keeps its own place, a cursor, and holds nothing back: what retention removes before it has read it is gone for
// it, and the log says how much that is.

import type { KeptEntry } from './position.ts'

/** Where a reader of a whole topic stands: the offset of the next event to read in each stream. */
export interface TopicCursor {
  readonly epoch: number
  /** Index: partition × 3 + the index of the lane in `lanes`. Streams of partitions that were added later are missing: 0. */
  readonly offsets: readonly number[]
}

export type CursorPlace =
  /** The end of each stream: what is appended after the call. */
  | 'now'
  /** The oldest kept entry of each stream. */
  | 'earliest'
  /**
   * The first kept entry of each stream that was received at this time or later, in milliseconds since 1970. Entries of a
   * stream are in the order of receipt but for what several processes append within moments.
   */
  | { readonly receivedSinceMs: number }
  /** The first event of each stream that the group has not settled, redeliveries included: all before it has landed or died. */
  | { readonly settledBy: string }

export interface CursorFound {
  readonly cursor: TopicCursor
  /** Whether entries that were received since `receivedSinceMs` may have been removed. False for other places. */
  readonly isCut: boolean
}

export interface TailOptions {
  /** Max bytes of the entries; the first one may have more. A driver may have a smaller bound of its own. */
  readonly maxBytes: number
  /** How long to wait for the first entry when there is none, in milliseconds; 0 returns at once. */
  readonly maxWaitMs: number
  readonly signal?: AbortSignal
}

/** The events between the cursor that was given and the entries of the page that no reader can get any more. */
export interface TailGap {
  /** Null when nobody knows how many, or whether any: the cursor is of another epoch, or beyond the end of a stream. */
  readonly events: number | null
}

export interface TailPage {
  /** Those of one stream in order. The first of a stream may begin before the cursor: skip the events below it. */
  readonly entries: readonly KeptEntry[]
  /** Where the next page begins: behind the last entry of each stream. */
  readonly cursor: TopicCursor
  /** Comes before the entries. */
  readonly gap: TailGap | null
}

export interface LogTail {
  /** Where to begin. Errors: `not_found` (topic, or the group of `settledBy`), `unavailable`. */
  cursorAt(topic: string, place: CursorPlace): Promise<CursorFound>

  /**
   * Reads entries of a topic, whether groups have settled them or not, but none of a group's own stream. Resolves as soon
   * as there are any, or a gap is known, and with none when none came within `maxWaitMs`. The cursor is then behind the
   * offsets that will never hold an event, so that it gets to the end.
   * Every stream that has entries gets its share of a page. A damaged entry has `batch.damaged` set.
   *
   * Trimmed: where the oldest kept entry of a stream is beyond the cursor, the page begins there, and `gap` has the exact
   * number of events in between. Offsets that never held an event do not count.
   * Another epoch: the page begins at the cursor's offset, or at the end of the stream where that is lower, and `gap.events`
   * is null. So no event is read twice, and those that were lost, or took the offsets of lost ones, are said to be unknown.
   * Beyond the end: as another epoch.
   * Concurrent: calls may overlap.
   * Abort: resolves with no entries.
   * Errors: `not_found` (topic); `invalid_event` (the cursor has more streams than the topic); `unavailable` (no part of the
   * topic can be read; or one part cannot, and none of the others had anything within `maxWaitMs`).
   */
  read(topic: string, from: TopicCursor, options: TailOptions): Promise<TailPage>
}
