// Reads the state that the main thread needs when a log is opened, and refuses inconsistent books: without this check,
// a row that a damaged page has lost would go unnoticed.

import type { DatabaseSync } from 'node:sqlite'
import { lanes } from '../../event/event.ts'
import { cursorKey, groupByCursor } from './cursor-rows.ts'
import { unsettledStretches } from './durable-facts.ts'
import type { EntryTable } from './entry-table.ts'
import { LogDamage } from './log-damage.ts'
import type { OpenLogDatabase } from './log-database.ts'
import { sqlFile } from './sql-file.ts'
import type { LogSnapshot, OwnEntry, UnsettledStretch } from './thread-protocol.ts'

type OwnEntryColumns = Omit<OwnEntry, 'stream'>

/** Throws LogDamage when a row is damaged or missing. */
export function loadLog({ database, books, log }: OpenLogDatabase, table: EntryTable, path: string): LogSnapshot {
  const snapshot: LogSnapshot = {
    log,
    topics: books.topics.load(),
    groups: books.groups.load(),
    pauses: books.pauses.load(),
    streams: books.streams.load(),
    cursors: books.cursors.load(),
    ledgers: books.ledgers.load(),
    settledRanges: books.settledRanges.load(),
    attempts: books.attempts.load(),
    producers: books.producers.load(),
    ownEntries: [],
    missing: [],
  }
  const mismatch = findMismatch(snapshot)
  if (mismatch !== null) throw new LogDamage(path, mismatch.expected, mismatch.found)
  return { ...snapshot, ...loadOwnEntries(database, table, snapshot) }
}

interface Mismatch {
  readonly expected: string
  readonly found: string
}

/** The first inconsistency of the books, or null. */
export function findMismatch(snapshot: LogSnapshot): Mismatch | null {
  const { log, topics, groups, streams, cursors, ledgers, producers } = snapshot
  return (
    countMismatch('topics', log.topics, topics.length) ??
    countMismatch('consumer groups', log.groups, groups.length) ??
    countMismatch('producers', log.producers, producers.length) ??
    structureMismatch(snapshot) ??
    countMismatch('streams', expectedStreams(snapshot), streams.length) ??
    countMismatch('cursors', expectedCursors(snapshot), cursors.length) ??
    countMismatch('ledgers', expectedLedgers(snapshot), ledgers.length) ??
    cursorMismatch(snapshot)
  )
}

function countMismatch(what: string, expected: number, found: number): Mismatch | null {
  return expected === found ? null : { expected: `${expected} ${what}`, found: String(found) }
}

function partitionsOfGroups({ topics, groups }: LogSnapshot): number {
  const partitionsOf = new Map(topics.map((topic) => [topic.topicNumber, topic.partitions]))
  return groups.reduce((sum, group) => sum + (partitionsOf.get(group.topicNumber) ?? 0), 0)
}

function expectedStreams(snapshot: LogSnapshot): number {
  const partitions = snapshot.topics.reduce((sum, topic) => sum + topic.partitions, 0)
  return lanes.length * (partitions + partitionsOfGroups(snapshot))
}

/** Each group has a cursor in each stream of the topic and in each of its own streams. */
function expectedCursors(snapshot: LogSnapshot): number {
  return 2 * lanes.length * partitionsOfGroups(snapshot)
}

function expectedLedgers(snapshot: LogSnapshot): number {
  return partitionsOfGroups(snapshot)
}

function structureMismatch({ topics, groups, pauses, streams, cursors }: LogSnapshot): Mismatch | null {
  const topicNumbers = new Set(topics.map((topic) => topic.topicNumber))
  const groupNumbers = new Set(groups.map((group) => group.groupNumber))
  const streamNumbers = new Set(streams.map((stream) => stream.stream))
  const strayGroup = groups.find((group) => !topicNumbers.has(group.topicNumber))
  if (strayGroup !== undefined) return { expected: `the topic of group ${strayGroup.name}`, found: 'none' }
  const strayPause = pauses.find((row) => !groupNumbers.has(row.groupNumber))
  if (strayPause !== undefined) return { expected: `the group ${strayPause.groupNumber} of a pause`, found: 'none' }
  const strayStream = streams.find(
    (stream) =>
      !topicNumbers.has(stream.topicNumber) || (stream.groupNumber !== 0 && !groupNumbers.has(stream.groupNumber)),
  )
  if (strayStream !== undefined)
    return { expected: `the topic and group of stream ${strayStream.stream}`, found: 'none' }
  const strayCursor = cursors.find((row) => !groupNumbers.has(row.groupNumber) || !streamNumbers.has(row.stream))
  if (strayCursor !== undefined) return { expected: `the stream ${strayCursor.stream} of a cursor`, found: 'none' }
  return null
}

function cursorMismatch({ cursors, settledRanges, attempts }: LogSnapshot): Mismatch | null {
  const rangesOf = groupByCursor(settledRanges)
  const attemptsOf = groupByCursor(attempts)
  for (const cursor of cursors) {
    const key = cursorKey(cursor)
    const where = `of group ${cursor.groupNumber} in stream ${cursor.stream}`
    const mismatch =
      countMismatch(`settled ranges ${where}`, cursor.rangesAhead, rangesOf.get(key)?.length ?? 0) ??
      countMismatch(`attempts ${where}`, cursor.attemptsKept, attemptsOf.get(key)?.length ?? 0)
    if (mismatch !== null) return mismatch
    rangesOf.delete(key)
    attemptsOf.delete(key)
  }
  return countMismatch('settled ranges and attempts without a cursor', 0, rangesOf.size + attemptsOf.size)
}

/** The unsettled entries of the groups' own streams: their due times are kept in memory. */
function loadOwnEntries(
  database: DatabaseSync,
  table: EntryTable,
  { streams, cursors, settledRanges }: LogSnapshot,
): Pick<LogSnapshot, 'ownEntries' | 'missing'> {
  const statement = database.prepare(sqlFile('own-entries'))
  const rangesOf = groupByCursor(settledRanges)
  const cursorOf = new Map(cursors.map((cursor) => [cursorKey(cursor), cursor]))
  const ownEntries: OwnEntry[] = []
  const missing: UnsettledStretch[] = []
  for (const stream of streams.filter(({ groupNumber }) => groupNumber !== 0)) {
    const key = cursorKey(stream)
    for (const stretch of unsettledStretches(cursorOf.get(key)!, stream, rangesOf.get(key) ?? [])) {
      let at = stretch.from
      const passTo = (offset: number) => {
        if (offset === at) return
        table.confirmHole(stream.stream, { start: at, end: offset }, null)
        missing.push({ ...stretch, from: at, to: offset })
      }
      for (const row of statement.all(stream.stream, stretch.from, stretch.to) as unknown as OwnEntryColumns[]) {
        table.checkPlace(stream.stream, row, at, stretch.to)
        passTo(row.firstOffset)
        ownEntries.push({ ...row, stream: stream.stream })
        at = row.firstOffset + row.count
      }
      passTo(stretch.to)
    }
  }
  return { ownEntries, missing }
}
