// The books of one log.db: all its tables except `entries`. log-rows.ts describes the rows of each.

import type { DatabaseSync } from 'node:sqlite'
import { BookTable, type BookTableOptions } from './book-table.ts'
import type {
  AttemptRow,
  ColumnValue,
  CursorRow,
  GroupRow,
  LedgerRow,
  LogRow,
  PauseRow,
  ProducerRow,
  SettledRangeRow,
  StreamRow,
  TopicRow,
} from './log-rows.ts'

export class Books {
  readonly log: BookTable<LogRow>
  readonly topics: BookTable<TopicRow>
  readonly groups: BookTable<GroupRow>
  readonly pauses: BookTable<PauseRow>
  readonly streams: BookTable<StreamRow>
  readonly cursors: BookTable<CursorRow>
  readonly ledgers: BookTable<LedgerRow>
  readonly settledRanges: BookTable<SettledRangeRow>
  readonly attempts: BookTable<AttemptRow>
  readonly producers: BookTable<ProducerRow>

  constructor(database: DatabaseSync, path: string) {
    const table = <Row extends { readonly [K in keyof Row]: ColumnValue }>(
      options: Omit<BookTableOptions<Row>, 'database' | 'path'>,
    ) => new BookTable<Row>({ database, path, ...options })

    this.log = table({
      name: 'log',
      save: 'save-log',
      load: 'load-log',
      columns: ['epoch', 'lastAppendNumber', 'topics', 'groups', 'producers'],
    })
    this.topics = table({
      name: 'topics',
      save: 'save-topic',
      load: 'load-topics',
      columns: ['topicNumber', 'name', 'partitions'],
    })
    this.groups = table({
      name: 'consumer_groups',
      save: 'save-group',
      load: 'load-groups',
      columns: ['groupNumber', 'topicNumber', 'name'],
    })
    this.pauses = table({
      name: 'paused_groups',
      save: 'save-pause',
      load: 'load-pauses',
      columns: ['groupNumber', 'reason'],
    })
    this.streams = table({
      name: 'streams',
      save: 'save-stream',
      load: 'load-streams',
      columns: [
        'stream',
        'topicNumber',
        'partition',
        'lane',
        'groupNumber',
        'nextOffset',
        'nextByte',
        'trimmedBelow',
        'trimmedByte',
      ],
    })
    this.cursors = table({
      name: 'cursors',
      save: 'save-cursor',
      load: 'load-cursors',
      columns: [
        'groupNumber',
        'stream',
        'startOffset',
        'settledBelow',
        'handedOutBelow',
        'rangesAhead',
        'attemptsKept',
      ],
    })
    this.ledgers = table({
      name: 'ledgers',
      save: 'save-ledger',
      load: 'load-ledgers',
      columns: [
        'groupNumber',
        'partition',
        'reopened',
        'landed',
        'dead',
        'lost',
        'skipped',
        'waitingEvents',
        'waitingBytes',
      ],
    })
    this.settledRanges = table({
      name: 'settled_ahead',
      save: 'save-settled-range',
      load: 'load-settled-ranges',
      columns: ['groupNumber', 'stream', 'firstOffset', 'endOffset'],
    })
    this.attempts = table({
      name: 'attempts',
      save: 'save-attempt',
      load: 'load-attempts',
      columns: ['groupNumber', 'stream', 'firstOffset', 'attempt'],
    })
    this.producers = table({
      name: 'producers',
      save: 'save-producer',
      load: 'load-producers',
      columns: ['producerNumber', 'stream', 'name', 'epoch', 'lastSequence', 'stored', 'usedAt'],
    })
  }
}
