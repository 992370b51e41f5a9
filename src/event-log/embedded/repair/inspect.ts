// Inspects a log that no process has open: what keeps it from starting, and which damage a running log would meet.
//
// It opens the log as a start does, so a leftover WAL is copied into the database file, and an old format is upgraded;
// nothing else is changed.

import { existsSync, statSync } from 'node:fs'
import { type SqliteFailure, toSqliteFailure } from '../../../lib/sqlite/failure.ts'
import { Describer } from '../engine/describe.ts'
import { Session } from '../engine/session.ts'
import type { LogTables } from '../engine/unit-of-work.ts'
import type { CursorRow, GroupRow } from '../file/books.ts'
import { checkBooks, type SmallBooks } from '../file/check-books.ts'
import { describeHolder } from '../file/data-directory.ts'
import { EntryTable } from '../file/entry-table.ts'
import { LogDamage } from '../file/log-damage.ts'
import { namedDamage, type OpenLogDatabase, openLogDatabase } from '../file/log-database.ts'
import { type LogFiles, logFiles } from '../file/log-files.ts'
import { otherFormatError } from '../proxy/log-failure.ts'

export interface LogFinding {
  readonly file: string
  readonly expected: string
  readonly found: string
  /** What to do about it, as text for the operator. */
  readonly fix: string
  /** Whether the log cannot be used before a repair. */
  readonly needsRepair: boolean
}

export interface LogCounts {
  readonly entries: number
  readonly events: number
  readonly bytes: number
  /** Entries that do not match their checksum. */
  readonly damagedEntries: number
}

export interface LogInspection {
  /** The process that has the log open, as text; the log was then not inspected. Null when no process has it open. */
  readonly inUseBy: string | null
  readonly findings: readonly LogFinding[]
  /** What is in the log; null when there is no log, or it could not be read. */
  readonly counts: LogCounts | null
}

const repairFix = 'run "millrace doctor --repair"; it copies what can be read into a new file and keeps the old one'
const startFix = 'start the server: damaged entries become dead letters, missing events are counted as lost'

/** Max problems reported by SQLite's integrity check. */
const maxProblems = 10

/** Errors: `failed_precondition` when the log has the format of another version. */
export function inspectLog(dataDir: string): LogInspection {
  const files = logFiles(dataDir)
  if (!isThere(files)) return { inUseBy: null, findings: [], counts: null }
  try {
    const opened = openLogDatabase(files)
    if ('otherFormat' in opened) throw otherFormatError(opened.otherFormat, dataDir)
    try {
      return new Inspection(opened, files).run()
    } finally {
      opened.database.close()
    }
  } catch (thrown) {
    const failure = toSqliteFailure(namedDamage(thrown, files.database))
    if (failure.kind === 'locked') return { inUseBy: describeHolder(files.holder), findings: [], counts: null }
    if (failure.kind !== 'damaged') throw thrown
    return { inUseBy: null, findings: [damageFinding(failure, files)], counts: null }
  }
}

/**
 * Whether there is a log or part of one. A killed process can leave an empty database file: that alone is not a log.
 */
function isThere({ database, mark }: LogFiles): boolean {
  return (
    existsSync(mark) || existsSync(`${database}-wal`) || (statSync(database, { throwIfNoEntry: false })?.size ?? 0) > 0
  )
}

function damageFinding(failure: SqliteFailure, files: LogFiles): LogFinding {
  const place =
    failure instanceof LogDamage
      ? failure
      : { file: files.database, expected: 'a sound database', found: failure.message }
  return { file: place.file, expected: place.expected, found: place.found, fix: repairFix, needsRepair: true }
}

class Inspection {
  readonly #opened: OpenLogDatabase
  readonly #files: LogFiles
  readonly #findings: LogFinding[] = []

  constructor(opened: OpenLogDatabase, files: LogFiles) {
    this.#opened = opened
    this.#files = files
  }

  run(): LogInspection {
    const { database, books } = this.#opened
    const path = this.#files.database
    const small = checkBooks(books, path)
    const tables: LogTables = { books, entries: new EntryTable(database, path), path }
    for (const cursor of small.cursors) checkKept(tables, cursor)
    this.#checkStructure()
    this.#checkRequests()
    const counts = this.#checkEntries(tables, small)
    const describer = new Describer(database, tables, new Session())
    for (const group of small.groups) if (group.state !== 'dropped') this.#checkWaiting(describer, small, group)
    return { inUseBy: null, findings: this.#findings, counts }
  }

  #note(expected: string, found: string, needsRepair: boolean): void {
    const fix = needsRepair ? repairFix : startFix
    this.#findings.push({ file: this.#files.database, expected, found, fix, needsRepair })
  }

  #checkStructure(): void {
    const rows = this.#opened.database.prepare(`PRAGMA integrity_check(${maxProblems})`).all()
    for (const row of rows) {
      const problem = String(row.integrity_check)
      if (problem !== 'ok') this.#note('a sound database', problem, true)
    }
  }

  #checkRequests(): void {
    const damaged = this.#opened.books.requests.walk().reduce((sum, row) => sum + (row === null ? 1 : 0), 0)
    if (damaged > 0) this.#note('every request to match its checksum', `${damaged} that do not match`, true)
  }

  #checkEntries({ entries }: LogTables, { streams }: SmallBooks): LogCounts {
    const counts = { entries: 0, events: 0, bytes: 0, damagedEntries: 0 }
    for (const { stream } of streams) {
      for (const { count, byteLength, damaged } of entries.walk(stream)) {
        counts.entries++
        counts.events += count
        counts.bytes += byteLength
        if (damaged) counts.damagedEntries++
      }
    }
    if (counts.damagedEntries > 0) {
      this.#note('every entry to match its checksum', `${counts.damagedEntries} that do not match`, false)
    }
    return counts
  }

  /** Compares a group's waiting events with what its cursors have not settled, and with the entries in its streams. */
  #checkWaiting(describer: Describer, { topics, streams, cursors, ledgers }: SmallBooks, group: GroupRow): void {
    const { groupNumber, topicNumber, name } = group
    const { settledRanges, due } = this.#opened.books
    const nextOffsetOf = new Map(streams.map((row) => [row.stream, row.nextOffset]))
    let unsettled = 0
    for (const { stream, settledBelow } of cursors.filter((row) => row.groupNumber === groupNumber)) {
      unsettled += nextOffsetOf.get(stream)! - settledBelow
      const ahead = settledRanges.select('WHERE group_number = ? AND stream = ?', groupNumber, stream)
      for (const { firstOffset, endOffset } of ahead) unsettled -= endOffset - firstOffset
    }
    for (const { stream, dueKept } of streams.filter((row) => row.groupNumber === groupNumber)) {
      const rows = due.select('WHERE stream = ?', stream)
      for (const { eventCount } of rows) unsettled += eventCount
      if (rows.length !== dueKept) this.#note(`${dueKept} due entries of group ${name}`, String(rows.length), true)
    }
    const there = describer.countUnsettled(group, topics.find((topic) => topic.topicNumber === topicNumber)!)
    if (there < unsettled) {
      this.#note(`${unsettled} events waiting for group ${name}`, `${there}; ${unsettled - there} are missing`, false)
    }
    const own = ledgers.filter((row) => row.groupNumber === groupNumber)
    const waiting = own.reduce((sum, row) => sum + row.waitingEvents, 0)
    if (waiting === unsettled && there <= unsettled) return
    const found = `${waiting} in the ledger and ${there} in the streams`
    this.#note(`${unsettled} events waiting for group ${name}`, found, true)
  }
}

/** Throws LogDamage when a settled range or an attempt of a cursor is damaged or missing. */
function checkKept({ books, path }: LogTables, { groupNumber, stream, rangesAhead, attemptsKept }: CursorRow): void {
  for (const [what, table, kept] of [
    ['settled ranges', books.settledRanges, rangesAhead],
    ['attempts', books.attempts, attemptsKept],
  ] as const) {
    const { length } = table.select('WHERE group_number = ? AND stream = ?', groupNumber, stream)
    const place = `of group ${groupNumber} in stream ${stream}`
    if (length !== kept) throw new LogDamage(path, `${kept} ${what} ${place}`, String(length))
  }
}
