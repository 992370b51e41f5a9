// Checks the books when a log is opened: every row, and that none is missing. Without this check, a row that a damaged
// page has lost would go unnoticed. The tables `settled_ahead`, `attempts` and `due`, which grow with what waits, are
// checked when their cursor is first used (engine/free-entries.ts); those of `requests` one by one when they are used: a
// lost row makes a request unknown, as the end of its time to live does.

import { lanes } from '../../../event/event.ts'
import type { Books, CursorRow, GroupRow, LedgerRow, LogRow, StreamRow, TopicRow } from './books.ts'
import { LogDamage } from './log-damage.ts'
import { streamNumber } from './stream-number.ts'

export interface SmallBooks {
  readonly log: LogRow
  readonly topics: readonly TopicRow[]
  /** With those that were dropped and are still being removed. */
  readonly groups: readonly GroupRow[]
  readonly streams: readonly StreamRow[]
  readonly cursors: readonly CursorRow[]
  readonly ledgers: readonly LedgerRow[]
}

/** Throws LogDamage when a row is damaged or missing. */
export function checkBooks(books: Books, path: string): SmallBooks {
  const log = books.log.get(1)
  if (log === undefined) throw new LogDamage(path, 'one row in the table log', 'none')
  const found: SmallBooks = {
    log,
    topics: books.topics.load(),
    groups: books.groups.load(),
    streams: books.streams.load(),
    cursors: books.cursors.load(),
    ledgers: books.ledgers.load(),
  }
  const count = (what: string, expected: number, there: number) => {
    if (expected !== there) throw new LogDamage(path, `${expected} ${what}`, String(there))
  }
  count('topics', log.topics, found.topics.length)
  count('consumer groups', log.groups, found.groups.length)
  count('producers', log.producers, books.producers.load().length)
  checkStructure(found, count, path)
  return found
}

/** Each topic and each group has a stream for each partition and lane; a group has a cursor in each of the topic's. */
function checkStructure(
  { topics, groups, streams, cursors, ledgers }: SmallBooks,
  count: (what: string, expected: number, there: number) => void,
  path: string,
): void {
  const topicOf = new Map(topics.map((topic) => [topic.topicNumber, topic]))
  const numbers = new Set(streams.map((row) => row.stream))
  const places = new Set(cursors.map((row) => `${row.groupNumber}/${row.stream}`))
  const need = (what: string, isThere: boolean) => {
    if (!isThere) throw new LogDamage(path, what, 'none')
  }
  const living = groups.filter(({ state }) => state !== 'dropped')
  let partitionsOfGroups = 0
  for (const { groupNumber, topicNumber, name } of living) {
    const topic = topicOf.get(topicNumber)
    need(`the topic of group ${name}`, topic !== undefined)
    partitionsOfGroups += topic!.partitions
    for (const [stream, own] of streamsOf(topic!, groupNumber)) {
      need(`a cursor of group ${name} in stream ${stream}`, places.has(`${groupNumber}/${stream}`))
      need(`the stream ${own} of group ${name}`, numbers.has(own))
    }
  }
  for (const topic of topics) {
    for (const [stream] of streamsOf(topic, 0)) need(`the stream ${stream} of topic ${topic.name}`, numbers.has(stream))
  }
  const partitions = topics.reduce((sum, topic) => sum + topic.partitions, 0)
  count('streams', lanes.length * (partitions + partitionsOfGroups), streams.length)
  count('cursors', lanes.length * partitionsOfGroups, cursors.length)
  count('ledgers', partitionsOfGroups, ledgers.length)
}

/** The streams of a topic, each with the group's own beside it. */
function* streamsOf({ topicNumber, partitions }: TopicRow, groupNumber: number): Generator<[number, number]> {
  for (let partition = 0; partition < partitions; partition++) {
    for (const lane of lanes) {
      yield [streamNumber(topicNumber, partition, lane), streamNumber(groupNumber, partition, lane)]
    }
  }
}
