// Recovers the books of a damaged log: sound rows, rows in which one flipped bit could be corrected, and new rows for
// streams whose row is lost.

import { type Lane, lanes } from '../../event/event.ts'
import type { BookTable } from './book-table.ts'
import type { Books } from './books.ts'
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

export interface SalvagedBooks {
  readonly log: LogRow | null
  readonly topics: readonly TopicRow[]
  readonly groups: readonly GroupRow[]
  readonly pauses: readonly PauseRow[]
  readonly streams: readonly StreamRow[]
  readonly cursors: readonly CursorRow[]
  readonly ledgers: readonly LedgerRow[]
  readonly settledRanges: readonly SettledRangeRow[]
  readonly attempts: readonly AttemptRow[]
  readonly producers: readonly ProducerRow[]
}

export const noBooks: SalvagedBooks = {
  log: null,
  topics: [],
  groups: [],
  pauses: [],
  streams: [],
  cursors: [],
  ledgers: [],
  settledRanges: [],
  attempts: [],
  producers: [],
}

export function salvageBooks(books: Books): SalvagedBooks {
  const topics = readable(books.topics)
  const topicNumbers = new Set(topics.map((row) => row.topicNumber))
  const groups = readable(books.groups).filter((row) => topicNumbers.has(row.topicNumber))
  const groupNumbers = new Set(groups.map((row) => row.groupNumber))
  return {
    log: readable(books.log)[0] ?? null,
    topics,
    groups,
    pauses: readable(books.pauses).filter((row) => groupNumbers.has(row.groupNumber)),
    streams: readable(books.streams).filter((row) => topicNumbers.has(row.topicNumber)),
    cursors: readable(books.cursors),
    ledgers: readable(books.ledgers),
    settledRanges: readable(books.settledRanges),
    attempts: readable(books.attempts),
    producers: readable(books.producers),
  }
}

function readable<Row extends { readonly [K in keyof Row]: ColumnValue }>(table: BookTable<Row>): Row[] {
  try {
    return table.salvage()
  } catch {
    // A page of the table cannot be read.
    return []
  }
}

/** What identifies a stream besides its number. */
interface Place {
  readonly topicNumber: number
  readonly partition: number
  readonly lane: Lane
  readonly groupNumber: number
}

/**
 * A row for every stream that the topics and groups need. When exactly one row is missing and exactly one stream has
 * entries but no row, they are matched. Otherwise a missing row gets a new number, and its stream is empty.
 * @param numbersInUse the streams that have entries.
 */
export function completeStreams(books: SalvagedBooks, numbersInUse: ReadonlySet<number>): StreamRow[] {
  const known = new Map(books.streams.map((row) => [placeKey(row), row]))
  const missing = neededPlaces(books).filter((place) => !known.has(placeKey(place)))
  const needed = new Set(neededPlaces(books).map(placeKey))
  const numbers = new Set(books.streams.map((row) => row.stream))
  const orphaned = [...numbersInUse].filter((number) => !numbers.has(number))
  let last = Math.max(0, ...numbers, ...orphaned)
  const empty = { nextOffset: 0, nextByte: 0, trimmedBelow: 0, trimmedByte: 0 }
  const found = missing.map((place) => {
    const isUniqueMatch = missing.length === 1 && orphaned.length === 1
    return { stream: isUniqueMatch ? orphaned[0]! : ++last, ...place, ...empty }
  })
  return [...books.streams.filter((row) => needed.has(placeKey(row))), ...found]
}

function neededPlaces({ topics, groups }: SalvagedBooks): Place[] {
  const places: Place[] = []
  for (const { topicNumber, partitions } of topics) {
    const owners = [0, ...groups.filter((row) => row.topicNumber === topicNumber).map((row) => row.groupNumber)]
    for (let partition = 0; partition < partitions; partition++) {
      for (const lane of lanes) {
        for (const groupNumber of owners) places.push({ topicNumber, partition, lane, groupNumber })
      }
    }
  }
  return places
}

function placeKey({ topicNumber, partition, lane, groupNumber }: Place): string {
  return `${topicNumber}/${partition}/${lane}/${groupNumber}`
}
