// The arguments of settle.lua: what a consumer holds, and what became of it.

import type { Again, Delivery, Outcome } from '../../event-log.ts'
import { laneNumber, type PartitionKeys } from '../redis-keys.ts'
import { encodeAgain } from '../stored-batch.ts'

/** Limits of one settle script, which blocks the server while it runs. */
const maxSettledPerScript = 200
const maxBytesPerScript = 4 * 1024 * 1024

/** A delivery that a consumer holds. */
export interface Held {
  readonly delivery: Delivery
  readonly partition: PartitionKeys
  readonly kind: 'lane' | 'again'
  /** The entry's id, or its member in the group's own stream. */
  readonly id: string
  /** Its size on the server. */
  readonly bytes: number
}

export interface Settlement {
  readonly held: Held
  readonly outcome: Outcome
}

/** How many outcomes from here go into one script: at least one, and each with all its redeliveries and its reply. */
export function settledByNextScript(all: readonly Settlement[], from: number): number {
  let bytes = 0
  let count = 0
  for (const { outcome } of all.slice(from, from + maxSettledPerScript)) {
    for (const { batch } of outcome.again ?? []) bytes += batch.bytes.length
    bytes += outcome.reply?.bytes.length ?? 0
    if (count > 0 && bytes > maxBytesPerScript) break
    count++
  }
  return count
}

export function settleArguments({ held, outcome }: Settlement) {
  const { kind, id, bytes, delivery } = held
  const { landed, dead, again = [], reply } = outcome
  const { stream, offset } = delivery.position
  const place = [laneNumber(stream.lane), kind, id, delivery.attempt, bytes, landed, dead, again.length]
  const words = reply === undefined ? [0] : [5, reply.id, offset, reply.bytes, Math.ceil(reply.ttlMs), reply.inbox]
  return [...place, ...words, ...again.flatMap((one) => againArguments({ offset, ...one }))]
}

function againArguments({
  batch,
  attempt,
  dueAtMs,
  isSuspect = false,
  offset,
  key,
}: Again & { readonly offset: number }) {
  const record = encodeAgain({ offset, endedAttempts: isSuspect ? attempt - 1 : attempt, batch })
  return [
    batch.count,
    attempt,
    dueAtMs,
    batch.receivedAtMicros,
    batch.bytes.length,
    record,
    offset,
    key === undefined ? '' : `-${key}`,
  ]
}
