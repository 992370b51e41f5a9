// The requests of a topic: registered with their event, answered with its settlement.

import { usedForOther } from '../../check-registration.ts'
import type { ReplyToStore, RequestRegistration, StoredRequest } from '../../replies.ts'
import type { RequestRow, StreamRow } from '../file/books.ts'
import { streamNumber } from '../file/stream-number.ts'
import type { FindRequestCall } from '../protocol.ts'
import { findGroup } from './find.ts'
import type { Lease } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/** Whether the id is registered already. Errors: `failed_precondition` (with another fingerprint). */
export function isRegistered(
  work: UnitOfWork,
  { topicNumber }: StreamRow,
  { id, fingerprint }: RequestRegistration,
  nowMs: number,
): boolean {
  const row = livingRequest(work, topicNumber, id, nowMs)
  if (row !== undefined && row.fingerprint !== fingerprint) throw usedForOther(id)
  return row !== undefined
}

export function register(
  work: UnitOfWork,
  { topicNumber }: StreamRow,
  { id, fingerprint, ttlMs }: RequestRegistration,
  firstOffset: number,
  nowMs: number,
): void {
  const answer = { replied: 0, reply: new Uint8Array(0) }
  work.requests.add(
    { topicNumber, id, fingerprint, firstOffset, expiresAtMs: expiry(nowMs, ttlMs), ...answer },
    topicNumber,
    id,
  )
}

/** Returns whether the reply is the first one of a request that is known, and whose event this is. */
export function storeReply(
  work: UnitOfWork,
  { group, originOffset }: Pick<Lease, 'group' | 'originOffset'>,
  reply: ReplyToStore,
  nowMs: number,
): boolean {
  const row = livingRequest(work, group.topicNumber, reply.id, nowMs)
  if (row === undefined || row.replied === 1 || row.firstOffset !== originOffset) return false
  const expiresAtMs = expiry(nowMs, reply.ttlMs)
  Object.assign(work.requests.change(row), { expiresAtMs, replied: 1, reply: reply.bytes })
  return true
}

/** Errors: `not_found` (topic or group). */
export function findRequest(work: UnitOfWork, { topic, group, id, nowMs }: FindRequestCall): StoredRequest | null {
  const { groupNumber, topicNumber } = findGroup(work, topic, group)
  const row = livingRequest(work, topicNumber, id, nowMs)
  if (row === undefined) return null
  if (row.replied === 1) return { stage: 'replied', bytes: row.reply }
  const stream = streamNumber(topicNumber, 0, 'normal')
  if (row.firstOffset >= work.cursors.get(groupNumber, stream)!.handedOutBelow) return { stage: 'accepted' }
  // One that was handed out and given back has a row that says 0.
  const attempts = work.books.attempts.get(groupNumber, stream, row.firstOffset)
  return { stage: attempts?.attempt === 0 ? 'accepted' : 'started' }
}

function livingRequest(work: UnitOfWork, topicNumber: number, id: string, nowMs: number): RequestRow | undefined {
  const row = work.requests.get(topicNumber, id)
  return row !== undefined && row.expiresAtMs > nowMs ? row : undefined
}

function expiry(nowMs: number, ttlMs: number): number {
  return Math.ceil(nowMs + ttlMs)
}
