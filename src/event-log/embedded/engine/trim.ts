// Removes settled entries from the front of a stream, a bounded number per transaction, and returns free pages of the
// file to the file system when there are many.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { pragma } from './log-database.ts'
import { sqlFile } from './sql-file.ts'
import type { TrimStep, TrimStepReply } from './thread-protocol.ts'

/** Max entries removed per transaction. */
const maxEntriesPerStep = 1000

/** Max bytes removed per transaction, except that the first entry may be larger. */
const maxBytesPerStep = 32 * 1024 * 1024

/** Free pages are reused by later appends. They are returned only when they reach this number and share of the file. */
const freePagesWorthGiving = 4096
const freeShareWorthGiving = 0.25
const pagesGivenPerStep = 512

interface Candidate {
  readonly firstOffset: number
  readonly count: number
  readonly startByte: number
  readonly receivedAtMicros: number
  readonly byteLength: number
}

export class EntryTrimmer {
  readonly #database: DatabaseSync
  readonly #candidates: StatementSync
  readonly #startByteFrom: StatementSync
  readonly #trim: StatementSync

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#candidates = database.prepare(sqlFile('trim-candidates'))
    this.#startByteFrom = database.prepare(sqlFile('start-byte-from'))
    this.#trim = database.prepare(sqlFile('trim-entries'))
  }

  /** Trims one step. Runs inside the caller's transaction. */
  trim(step: TrimStep): TrimStepReply {
    const { stream, settledBelow, keepSinceMicros, maxBytes } = step
    const first = this.#startByteFrom.get(stream.stream, settledBelow) as { startByte: number } | undefined
    const settledByte = first?.startByte ?? stream.nextByte
    let entries = 0
    let events = 0
    let bytes = 0
    let trimmedBelow = stream.trimmedBelow
    let trimmedByte = stream.trimmedByte
    let more = false
    const rows = this.#candidates.all(stream.stream, settledBelow, maxEntriesPerStep + 1)
    for (const row of rows as unknown as Candidate[]) {
      const endOffset = row.firstOffset + row.count
      const isKept = row.receivedAtMicros >= keepSinceMicros && settledByte - row.startByte <= maxBytes
      // An entry whose damaged count reaches beyond the cursor is kept: how much of it is settled is unknown.
      if (isKept || endOffset > settledBelow) break
      if (entries === maxEntriesPerStep || (entries > 0 && bytes + row.byteLength > maxBytesPerStep)) {
        more = true
        break
      }
      entries++
      events += row.count
      bytes += row.byteLength
      trimmedBelow = endOffset
      trimmedByte = row.startByte + row.byteLength
    }
    if (entries > 0) this.#trim.run(stream.stream, trimmedBelow)
    this.#giveBackSpace()
    return { entries, events, bytes, trimmedBelow, trimmedByte, more }
  }

  #giveBackSpace(): void {
    const free = pragma(this.#database, 'freelist_count')
    if (free < freePagesWorthGiving || free < pragma(this.#database, 'page_count') * freeShareWorthGiving) return
    // Uses exec, because as a prepared statement the pragma frees one page only.
    this.#database.exec(`PRAGMA incremental_vacuum(${pagesGivenPerStep})`)
  }
}
