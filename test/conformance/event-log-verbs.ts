// Verbs for tests of a log: batches whose events are identified by their ids, and readers of what a consumer got.

import type { Lane } from '../../src/event/event.ts'
import { lanes } from '../../src/event/event.ts'
import { decodeBatch, encodeBatch, type RecordBatch } from '../../src/event/record-batch.ts'
import type {
  Again,
  Consumer,
  Delivery,
  EventLog,
  GroupDescription,
  KeptEntry,
  Outcome,
  SettledPage,
  StreamName,
} from '../../src/event-log/event-log.ts'

/** The topic of the running test. Tests that share a log have one each. */
export let topic = 'orders'
export const group = 'landing'
export const leaseMs = 30_000

export function useTopic(name: string): void {
  topic = name
}

export function resetTopic(): void {
  topic = 'orders'
}

export function stream(lane: Lane = 'normal', partition = 0): StreamName {
  return { topic, partition, lane }
}

/** A batch of events with these ids. */
export function batchOf(ids: readonly string[], receivedAtMicros = 1_700_000_000_000_000): RecordBatch {
  const bytes = encodeBatch(ids.map((id) => ({ id, type: 'order.placed', data: Buffer.from(`"${id}"`) })))
  return { bytes, count: ids.length, receivedAtMicros }
}

/** Ids that begin with a name: a0, a1 ... */
export function named(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name}${index}`)
}

/** The ids of the events in a delivery or kept entry, in order. */
export function idsIn({ batch }: Pick<Delivery, 'batch'>): string[] {
  return decodeBatch(batch.bytes).map(({ id }) => id)
}

export function idsOf(entries: readonly Pick<Delivery, 'batch'>[]): string[] {
  return entries.flatMap(idsIn)
}

/** The same number for each lane. */
export function perLane<T>(value: T): Record<Lane, T> {
  return Object.fromEntries(lanes.map((lane) => [lane, value])) as Record<Lane, T>
}

/** What is available now, at most this many events of each lane. */
export function take(consumer: Consumer, maxEvents = 1000): Promise<readonly Delivery[]> {
  return consumer.next({ maxEvents: perLane(maxEvents), maxWaitMs: 0 })
}

/** Everything that is available, in as many calls as it takes. */
export async function takeAll(consumer: Consumer): Promise<Delivery[]> {
  const all: Delivery[] = []
  for (let some = await take(consumer); some.length > 0; some = await take(consumer)) all.push(...some)
  return all
}

/** What a group has settled in a stream, from an offset to its end, in as many calls as it takes. */
export async function readAllSettled(
  eventLog: EventLog,
  { from = 0, name = group, of = stream(), maxBytes = 1e9 }: ReadAllOptions = {},
): Promise<KeptEntry[]> {
  const all: KeptEntry[] = []
  for (let fromOffset: number | null = from; fromOffset !== null; ) {
    const { entries, nextOffset }: SettledPage = await eventLog.readSettled(of, name, { fromOffset, maxBytes })
    if (nextOffset !== null && nextOffset <= fromOffset) throw new Error(`no progress at ${fromOffset}`)
    all.push(...entries)
    fromOffset = nextOffset
  }
  return all
}

interface ReadAllOptions {
  readonly from?: number
  readonly name?: string
  readonly of?: StreamName
  readonly maxBytes?: number
}

/** The outcome of a delivery whose every event landed. */
export function landed(delivery: Delivery): Outcome {
  return { delivery, landed: delivery.batch.count, dead: 0 }
}

/** The outcome of a delivery whose every event is to be redelivered. */
export function again(delivery: Delivery, dueAtMs: number, more: Partial<Again> = {}): Outcome {
  const { batch, attempt } = delivery
  return { delivery, landed: 0, dead: 0, again: [{ batch, attempt, dueAtMs, ...more }] }
}

/** The log's description of a group. */
export async function describeGroup(eventLog: EventLog, name = group, of = topic): Promise<GroupDescription> {
  const description = await eventLog.describe()
  const found = description.topics
    .find((candidate) => candidate.name === of)
    ?.groups.find((candidate) => candidate.name === name)
  if (found === undefined) throw new Error(`the log has no group ${name} of topic ${of}`)
  return found
}

/** The terms of the ledger, and the count of the audit. */
export async function ledgerOf(eventLog: EventLog, name = group) {
  const { accepted, reopened, waiting, landed, dead, lost, inFlight, auditedWaiting } = await describeGroup(
    eventLog,
    name,
  )
  return { accepted, reopened, waiting, landed, dead, lost, inFlight, auditedWaiting }
}

/** A ledger with these terms, the others 0; the audited count equals `waiting` unless it is given. */
export function ledger(terms: Partial<Awaited<ReturnType<typeof ledgerOf>>>) {
  const none = { accepted: 0, reopened: 0, waiting: 0, landed: 0, dead: 0, lost: 0, inFlight: 0 }
  return { ...none, auditedWaiting: terms.waiting ?? 0, ...terms }
}
