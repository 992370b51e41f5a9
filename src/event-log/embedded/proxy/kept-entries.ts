// The entries that a call has read, from the form in which the log's thread sends them.

import type { KeptEntry, StreamName } from '../../event-log.ts'
import { type KeptEntries, keptFields } from '../protocol.ts'

/** @param streamOf the stream of each entry, by its index. */
export function keptEntries(
  { entries, bytes }: KeptEntries,
  epoch: number,
  streamOf: (index: number) => StreamName,
): readonly KeptEntry[] {
  const kept: KeptEntry[] = []
  let start = 0
  for (let at = 0; at < entries.length; at += keptFields) {
    const length = entries[at + 3]!
    const batch = {
      bytes: bytes.subarray(start, start + length),
      count: entries[at + 1]!,
      receivedAtMicros: entries[at + 2]!,
      ...(entries[at + 4] === 1 ? { damaged: true } : {}),
    }
    kept.push({ position: { stream: streamOf(kept.length), epoch, offset: entries[at]! }, batch })
    start += length
  }
  return kept
}
