// The books of one log.db: all its tables except `entries` (sql/schema.sql). They say where each stream ends, what each
// group has settled, how its ledger stands, and what is known of requests.
//
// Rows whose loss would go unnoticed are counted in another row (`groups`, `rangesAhead`, `dueKept`).

import type { DatabaseSync } from 'node:sqlite'
import type { Lane } from '../../../event/event.ts'
import type { Flow } from '../../event-log.ts'
import { BookTable, type BookTableOptions, type ColumnValue } from './book-table.ts'

/** The one row about the log as a whole. */
export interface LogRow {
  /** Always 1. */
  id: number
  epoch: number
  /** Entries are numbered in the order in which they are stored; a number is never reused. */
  lastAppendNumber: number
  /** The last number given to a topic or group; a number is never reused. */
  lastNumber: number
  topics: number
  groups: number
  producers: number
}

export interface TopicRow {
  topicNumber: number
  name: string
  partitions: number
}

export interface GroupRow {
  groupNumber: number
  topicNumber: number
  name: string
  /** The pause's reason, or the rate that the group is limited to, in events a second; else ''. */
  reason: string
  /** A dropped group keeps its row until everything stored for it is removed. */
  state: 'running' | 'paused' | 'limited' | 'dropped'
  /** 1 when each of its streams is leased to one consumer at a time, else 0. */
  ordered: number
}

export function flowOf({ state, reason }: GroupRow): Flow | null {
  if (state === 'paused') return { paused: reason }
  return state === 'limited' ? { ratePerSecond: Number(reason) } : null
}

export interface StreamRow {
  /** See stream-number.ts. */
  stream: number
  topicNumber: number
  partition: number
  lane: Lane
  /** The group whose own stream this is; 0 for a stream of the topic. */
  groupNumber: number
  nextOffset: number
  /** The number of bytes ever stored in it. */
  nextByte: number
  trimmedBelow: number
  /** The number of bytes stored in it before `trimmedBelow`. */
  trimmedByte: number
  /** The number of its rows in `due`; 0 for a stream of the topic. */
  dueKept: number
}

/** A group's progress in a stream of its topic. */
export interface CursorRow {
  groupNumber: number
  stream: number
  /** The offset of the oldest kept entry when the group was created. The group's accepted events count from here. */
  startOffset: number
  /** Every offset below is settled. */
  settledBelow: number
  /** Every offset below has been handed out at least once. */
  handedOutBelow: number
  /** The number of its rows in `settled_ahead`. */
  rangesAhead: number
  /** The number of its rows in `attempts`. */
  attemptsKept: number
}

export interface LedgerRow {
  groupNumber: number
  partition: number
  reopened: number
  landed: number
  dead: number
  lost: number
  skipped: number
  waitingEvents: number
  waitingBytes: number
}

/** A range that a group has settled out of order, above `settledBelow`. Ranges are never adjacent. */
export interface SettledRangeRow {
  groupNumber: number
  stream: number
  firstOffset: number
  endOffset: number
}

/** How many times an unsettled entry was handed out, where it is not once below `handedOutBelow` and never above. */
export interface AttemptRow {
  groupNumber: number
  stream: number
  firstOffset: number
  attempt: number
}

/** An unsettled entry of a group's own stream. */
export interface DueRow {
  stream: number
  /** The earliest time to hand it out, in milliseconds since 1970. */
  dueAtMs: number
  firstOffset: number
  eventCount: number
  /** How many times its events were handed out and not given back. */
  attempt: number
  /** '' when it was returned without a key. */
  eventKey: string
  /** As in its entry. */
  originOffset: number
}

/** A producer in one stream. */
export interface ProducerRow {
  stream: number
  name: string
  epoch: number
  /** The highest stored sequence of the epoch. */
  lastSequence: number
  /** The bits of its ProducerWindow. */
  stored: Uint8Array
  /** Grows with each use. */
  usedAt: number
}

/** A request of a topic, and its reply. */
export interface RequestRow {
  topicNumber: number
  id: string
  fingerprint: string
  /** The offset of its entry in the stream of partition 0, lane normal. */
  firstOffset: number
  /** When the row counts no more, in milliseconds since 1970. */
  expiresAtMs: number
  /** 1 when `reply` is one, else 0. */
  replied: number
  reply: Uint8Array
}

export class Books {
  readonly log: BookTable<LogRow>
  readonly topics: BookTable<TopicRow>
  readonly groups: BookTable<GroupRow>
  readonly streams: BookTable<StreamRow>
  readonly cursors: BookTable<CursorRow>
  readonly ledgers: BookTable<LedgerRow>
  readonly settledRanges: BookTable<SettledRangeRow>
  readonly attempts: BookTable<AttemptRow>
  readonly due: BookTable<DueRow>
  readonly producers: BookTable<ProducerRow>
  readonly requests: BookTable<RequestRow>

  constructor(database: DatabaseSync, path: string) {
    const table = <Row extends { [K in keyof Row]: ColumnValue }>(
      name: string,
      keyFields: number,
      fields: readonly (keyof Row & string)[],
      texts: BookTableOptions<Row>['texts'] = [],
    ) => new BookTable<Row>({ database, path, name, keyFields, fields, texts })

    this.log = table('log', 1, ['id', 'epoch', 'lastAppendNumber', 'lastNumber', 'topics', 'groups', 'producers'])
    this.topics = table('topics', 1, ['topicNumber', 'name', 'partitions'], ['name'])
    this.groups = table(
      'consumer_groups',
      1,
      ['groupNumber', 'topicNumber', 'name', 'reason', 'state', 'ordered'],
      ['name', 'reason', 'state'],
    )
    this.streams = table(
      'streams',
      1,
      [
        ...(['stream', 'topicNumber', 'partition', 'lane', 'groupNumber'] as const),
        ...(['nextOffset', 'nextByte', 'trimmedBelow', 'trimmedByte', 'dueKept'] as const),
      ],
      ['lane'],
    )
    this.cursors = table('cursors', 2, [
      ...(['groupNumber', 'stream', 'startOffset', 'settledBelow'] as const),
      ...(['handedOutBelow', 'rangesAhead', 'attemptsKept'] as const),
    ])
    this.ledgers = table('ledgers', 2, [
      ...(['groupNumber', 'partition', 'reopened', 'landed', 'dead'] as const),
      ...(['lost', 'skipped', 'waitingEvents', 'waitingBytes'] as const),
    ])
    this.settledRanges = table('settled_ahead', 3, ['groupNumber', 'stream', 'firstOffset', 'endOffset'])
    this.attempts = table('attempts', 3, ['groupNumber', 'stream', 'firstOffset', 'attempt'])
    this.due = table(
      'due',
      3,
      ['stream', 'dueAtMs', 'firstOffset', 'eventCount', 'attempt', 'eventKey', 'originOffset'],
      ['eventKey'],
    )
    this.requests = table(
      'requests',
      2,
      ['topicNumber', 'id', 'fingerprint', 'firstOffset', 'expiresAtMs', 'replied', 'reply'],
      ['id', 'fingerprint'],
    )
    this.producers = table('producers', 2, ['stream', 'name', 'epoch', 'lastSequence', 'stored', 'usedAt'], ['name'])
  }
}
