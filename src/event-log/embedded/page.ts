// A range of a stream that was read from the file.

import { StoredEntry } from './stored-entry.ts'
import { type EntriesRead, readFields } from './thread-protocol.ts'

export class Page {
  readonly from: number
  /** The page has everything that the file has from `from` up to this offset (excluded). */
  readonly through: number
  readonly byteLength: number
  readonly #entries: readonly StoredEntry[]
  #at = 0

  constructor(from: number, read: EntriesRead) {
    this.from = from
    this.through = read.through
    this.byteLength = read.bytes.byteLength
    this.#entries = readEntries(read)
  }

  /** The first entry at or after an offset. Offsets must not decrease from call to call. */
  firstFrom(offset: number): StoredEntry | undefined {
    while (this.#at < this.#entries.length && this.#entries[this.#at]!.firstOffset < offset) this.#at++
    return this.#entries[this.#at]
  }
}

/** Unpacks the reply of a read. */
export function readEntries({ entries, bytes }: EntriesRead): StoredEntry[] {
  const unpacked: StoredEntry[] = []
  let at = 0
  for (let row = 0; row < entries.length; row += readFields) {
    const attempt = entries[row + 4]!
    const again = attempt < 0 ? null : { attempt, dueAtMs: entries[row + 5]!, originOffset: entries[row + 6]! }
    const entry = new StoredEntry(entries[row]!, entries[row + 2]!, again)
    entry.count = entries[row + 1]!
    entry.receivedAtMicros = entries[row + 3]!
    entry.byteLength = entries[row + 7]!
    entry.bytes = new Uint8Array(bytes, at, entry.byteLength)
    entry.damaged = entries[row + 8] === 1
    at += entry.byteLength
    unpacked.push(entry)
  }
  return unpacked
}
