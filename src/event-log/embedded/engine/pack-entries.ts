// The entries that one call reads, in buffers that move to the caller's thread.

import type { EntryContent, EntryPlace } from '../file/entry-table.ts'
import type { KeptEntries } from '../protocol.ts'

/** About the max bytes that one call reads; the last entry may exceed it. Commits wait meanwhile. */
export const maxPageBytes = 1024 * 1024

export function packEntries(entries: readonly (EntryPlace & EntryContent)[]): KeptEntries {
  const numbers = entries.flatMap(({ firstOffset, count, receivedAtMicros, bytes, damaged }) => {
    return [firstOffset, count, receivedAtMicros, bytes.length, damaged ? 1 : 0]
  })
  return { entries: Float64Array.from(numbers), bytes: concatenated(entries.map(({ bytes }) => bytes)) }
}

/** The parts in one buffer of their own, which can move to another thread. */
export function concatenated(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  // Not from Node's pool: it is transferred.
  const all = Buffer.allocUnsafeSlow(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return new Uint8Array(all.buffer as ArrayBuffer)
}
