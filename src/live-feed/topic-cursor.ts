// A cursor of a topic as one URL-safe token, for subscribers to keep and give back.
//
// base64url of: version, four bytes of the topic's name, epoch, number of offsets, one offset for each stream. Offsets are
// varints, and the zeros at the end are left out: a topic of 16 partitions has tokens of under 256 characters. The name and the
// number are there so that the cursor of another topic, or a part of one, is refused and not read as another place.

import { MillraceError } from '../errors.ts'
import type { TopicCursor } from '../event-log/tail.ts'
import { crc32c } from '../lib/crc32c.ts'
import { writeVarint } from '../lib/protobuf-walk.ts'

const version = 1
const headerBytes = 5
const maxVarintBytes = 8
/** As many streams as a topic can have. */
const maxOffsets = 1024 * 3

export function encodeCursor(topic: string, { epoch, offsets }: TopicCursor): string {
  let count = offsets.length
  while (count > 0 && offsets[count - 1] === 0) count--
  const bytes = Buffer.allocUnsafe(headerBytes + (count + 2) * maxVarintBytes)
  bytes[0] = version
  bytes.writeUInt32LE(hashOf(topic), 1)
  let at = writeVarint(bytes, headerBytes, epoch)
  at = writeVarint(bytes, at, count)
  for (let stream = 0; stream < count; stream++) at = writeVarint(bytes, at, offsets[stream]!)
  return bytes.toString('base64url', 0, at)
}

/** Errors: `invalid_event` (field `from`): not a cursor, or the cursor of another topic. */
export function decodeCursor(topic: string, token: string): TopicCursor {
  const bytes = Buffer.from(token, 'base64url')
  // Node skips what is not base64url; a token that was changed on its way must not be read as another place.
  if (bytes.length <= headerBytes || bytes[0] !== version || bytes.toString('base64url') !== token) throw unreadable()
  if (bytes.readUInt32LE(1) !== hashOf(topic)) throw refusal(`is a cursor of another topic than "${topic}"`)
  const numbers: number[] = []
  for (let at = headerBytes; at < bytes.length; ) {
    let value = 0
    let scale = 1
    for (;;) {
      if (at === bytes.length || scale > 2 ** 49) throw unreadable()
      const byte = bytes[at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) break
      scale *= 128
    }
    if (!Number.isSafeInteger(value) || numbers.length > maxOffsets + 1) throw unreadable()
    numbers.push(value)
  }
  const [epoch = 0, count, ...offsets] = numbers
  if (count !== offsets.length) throw unreadable()
  return { epoch, offsets }
}

/** Whether every stream of `cursor` is as far as that of `other`, in the same epoch. */
export function isAsFarAs(cursor: TopicCursor, other: TopicCursor): boolean {
  return cursor.epoch === other.epoch && eventsBetween(cursor, other) === 0
}

/** How many events `to` is ahead of `from`, over the streams in which it is. For one epoch. */
export function eventsBetween(from: TopicCursor, to: TopicCursor): number {
  let events = 0
  for (let stream = 0; stream < to.offsets.length; stream++)
    events += Math.max(0, to.offsets[stream]! - (from.offsets[stream] ?? 0))
  return events
}

function hashOf(topic: string): number {
  return crc32c(Buffer.from(topic))
}

function unreadable(): MillraceError {
  return refusal('is neither now, earliest, a time as in 2026-01-31T12:00:00Z, nor a whole cursor')
}

function refusal(problem: string): MillraceError {
  return new MillraceError('invalid_event', `from ${problem}`, { field: 'from' })
}
