// An event for those who read it: its bytes with its time of receipt.
//
// Written by hand: the writer of protobuf-es took a third of the server's time for each event. The time of receipt follows
// the other fields of the event, so it counts, whatever a producer has sent.

import { bytesType, varintLength, writeVarint } from '../lib/protobuf-walk.ts'
import { microsAfter, secondsOf } from '../lib/timestamp.ts'
import { receivedAtField } from './record-batch.ts'

/** The length of what `writeReceivedEvent` writes, in bytes. @param eventBytes length of the event without the time. */
export function receivedEventLength(eventBytes: number, receivedAtMicros: number): number {
  return eventBytes + 2 + timeLength(receivedAtMicros)
}

/** Writes the event, then field 11, received_at, with seconds and nanos. Returns the offset after it. */
export function writeReceivedEvent(to: Uint8Array, at: number, event: Uint8Array, receivedAtMicros: number): number {
  to.set(event, at)
  at += event.length
  const seconds = secondsOf(receivedAtMicros)
  to[at++] = (receivedAtField << 3) | bytesType
  to[at++] = timeLength(receivedAtMicros)
  to[at] = 0x08
  at = writeVarint(to, at + 1, seconds)
  to[at] = 0x10
  return writeVarint(to, at + 1, microsAfter(seconds, receivedAtMicros) * 1000)
}

function timeLength(receivedAtMicros: number): number {
  const seconds = secondsOf(receivedAtMicros)
  return 2 + varintLength(seconds) + varintLength(microsAfter(seconds, receivedAtMicros) * 1000)
}
