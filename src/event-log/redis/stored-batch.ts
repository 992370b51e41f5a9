// The stored forms of a record batch: the fields of a lane's entry, and the record in a group's own stream. Both carry
// a CRC-32 over the bytes and their metadata; a batch whose checksum does not match is handed out unchanged, as
// damaged.

import { crc32 } from 'node:zlib'
import type { RecordBatch } from '../../event/record-batch.ts'
import { listOf, type Reply } from './connection/redis-connection.ts'

/** First offset and event count of an entry, from its id: `<first offset>-<event count>`. */
export interface EntryPlace {
  readonly offset: number
  readonly count: number
}

export function placeOf(id: string): EntryPlace {
  const [offset, count] = id.split('-')
  return { offset: Number(offset), count: Number(count) }
}

/** A member of a group's own stream is `<number>-<event count>-<lane>-<received at>`, and with a key `-<offset>-<key>` follows. */
export function countOfMember(member: string): number {
  return Number(member.split('-')[1])
}

export function receivedAtOfMember(member: string): number {
  return Number(member.split('-')[3])
}

export function keyOfMember(member: string): string | null {
  return /^\d+-\d+-\d-\d+-\d+-(.*)$/s.exec(member)?.[1] ?? null
}

/** The checksum of an entry. It does not cover the offset, which the server assigns. */
export function checksumOf(batch: RecordBatch): number {
  return crc32(batch.bytes, crc32(`${batch.count} ${batch.receivedAtMicros}`))
}

/** Reads the fields of an entry. */
export function readEntry(count: number, reply: Reply | undefined): RecordBatch {
  const fields = listOf(reply)
  const values = new Map<string, Buffer>()
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const value = fields[at + 1]
    if (Buffer.isBuffer(value)) values.set(String(fields[at]), value)
  }
  const bytes = values.get('b') ?? Buffer.alloc(0)
  const receivedAtMicros = Number(values.get('r') ?? Number.NaN)
  const batch = { bytes, count, receivedAtMicros }
  if (String(checksumOf(batch)) === values.get('c')?.toString('latin1')) return batch
  return { ...batch, receivedAtMicros: Number.isSafeInteger(receivedAtMicros) ? receivedAtMicros : 0, damaged: true }
}

/** The stored checksum of an entry. */
export function checksumIn(reply: Reply | undefined): string {
  const fields = listOf(reply)
  for (let at = 0; at + 1 < fields.length; at += 2) if (String(fields[at]) === 'c') return String(fields[at + 1])
  return ''
}

/** What a group's own stream stores of a batch. */
export interface AgainRecord {
  /** Where it was first stored. */
  readonly offset: number
  /**
   * How many attempts at its events were settled or returned when it was stored: the entry is suspect when it has been
   * handed out more than once besides.
   */
  readonly endedAttempts: number
  readonly batch: RecordBatch
}

const newLine = 0x0a

/** A line `<offset> <received at> <ended attempts> <checksum>`, then the bytes. A damaged batch keeps a checksum that never matches. */
export function encodeAgain({ offset, endedAttempts, batch }: AgainRecord): Buffer {
  const facts = `${offset} ${batch.receivedAtMicros} ${endedAttempts}`
  const checksum = batch.damaged === true ? 'damaged' : againChecksum(facts, batch)
  return Buffer.concat([Buffer.from(`${facts} ${checksum}\n`), batch.bytes])
}

export function readAgain(count: number, record: Buffer): AgainRecord {
  const end = record.indexOf(newLine)
  const bytes = record.subarray(end + 1)
  const [offset, receivedAt, ended, checksum] = record.subarray(0, Math.max(0, end)).toString('latin1').split(' ')
  const batch = { bytes, count, receivedAtMicros: wholeOr0(receivedAt) }
  const isRight = checksum === String(againChecksum(`${offset} ${receivedAt} ${ended}`, batch))
  return {
    offset: wholeOr0(offset),
    endedAttempts: wholeOr0(ended),
    batch: isRight ? batch : { ...batch, damaged: true },
  }
}

function againChecksum(facts: string, { bytes, count }: RecordBatch): number {
  return crc32(bytes, crc32(`${count} ${facts}`))
}

function wholeOr0(text: string | undefined): number {
  const number = Number(text)
  return Number.isSafeInteger(number) && number >= 0 ? number : 0
}
