// Inspects a log that no process has open: what keeps it from starting, and which damage a running log would meet.
//
// It opens the log as a start does, so a leftover WAL is copied into the database file; nothing else is changed.

import { existsSync, statSync } from 'node:fs'
import { type SqliteFailure, toSqliteFailure } from '../../lib/sqlite/failure.ts'
import { cursorKey, groupByCursor } from './cursor-rows.ts'
import { describeHolder } from './data-directory.ts'
import { FactFinder, unsettledStretches } from './durable-facts.ts'
import { EntryTable } from './entry-table.ts'
import { loadLog } from './load-log.ts'
import { LogDamage } from './log-damage.ts'
import { namedDamage, type OpenLogDatabase, openLogDatabase } from './log-database.ts'
import { otherFormatError } from './log-failure.ts'
import { type LogFiles, logFiles } from './log-files.ts'
import type { LogSnapshot } from './thread-protocol.ts'

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
    const entries = new EntryTable(this.#opened.database, this.#files.database)
    const snapshot = loadLog(this.#opened, entries, this.#files.database)
    this.#checkStructure()
    const counts = this.#checkEntries(entries, snapshot)
    this.#checkWaiting(snapshot)
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

  #checkEntries(entries: EntryTable, { streams }: LogSnapshot): LogCounts {
    const counts = { entries: 0, events: 0, bytes: 0, damagedEntries: 0 }
    for (const { stream, nextOffset } of streams) {
      for (const { count, byteLength, isSound } of entries.walk(stream, 0, nextOffset)) {
        counts.entries++
        counts.events += count
        counts.bytes += byteLength
        if (!isSound) counts.damagedEntries++
      }
    }
    if (counts.damagedEntries > 0) {
      this.#note('every entry to match its checksum', `${counts.damagedEntries} that do not match`, false)
    }
    return counts
  }

  /** Compares each group's waiting events with the entries in its streams. */
  #checkWaiting({ groups, streams, cursors, ledgers, settledRanges }: LogSnapshot): void {
    const facts = new FactFinder(this.#opened.database, this.#opened.books)
    const rangesOf = groupByCursor(settledRanges)
    const streamOf = new Map(streams.map((row) => [row.stream, row]))
    for (const { groupNumber, name } of groups) {
      const stretches = cursors
        .filter((row) => row.groupNumber === groupNumber)
        .flatMap((row) => unsettledStretches(row, streamOf.get(row.stream)!, rangesOf.get(cursorKey(row)) ?? []))
      const unsettled = stretches.reduce((sum, { from, to }) => sum + to - from, 0)
      const { events } = facts.audit({ stretches, maxEntries: Number.MAX_SAFE_INTEGER })
      const there = events.get(groupNumber) ?? 0
      if (there < unsettled) {
        this.#note(`${unsettled} events waiting for group ${name}`, `${there}; ${unsettled - there} are missing`, false)
      }
      const waiting = ledgers
        .filter((row) => row.groupNumber === groupNumber)
        .reduce((sum, row) => sum + row.waitingEvents, 0)
      if (waiting !== unsettled || there > unsettled) {
        this.#note(
          `${unsettled} events waiting for group ${name}`,
          `${waiting} in the ledger and ${there} in the streams`,
          true,
        )
      }
    }
  }
}
