// Tells how the log is: what the books say, and an audit of them.
//
// One script answers for a group in a partition, so its numbers belong together: the books, and what it counted of the
// entries that were handed out and not settled. The entries that nobody had yet are counted in pages, so that the server
// does other work between. What is settled and trimmed meanwhile counts as what the books said.

import { lanes } from '../../event.ts'
import type { GroupDescription, TopicDescription } from '../event-log.ts'
import { listOf, numberOf, type RedisConnection, textOf } from './redis-connection.ts'
import type { PartitionKeys } from './redis-keys.ts'
import { placeOf } from './stored-batch.ts'
import type { KnownTopic } from './topic-registry.ts'

/** A page of the audit: the server copies so many entries, and does nothing else meanwhile. */
const entriesPerPage = 100

export async function describeTopic(connection: RedisConnection, topic: KnownTopic): Promise<TopicDescription> {
  const { name, groups, partitions } = topic
  const described: GroupDescription[] = []
  for (const group of groups) described.push(await describeGroup(connection, topic, group))
  return { name, partitions: partitions.length, groups: described }
}

async function describeGroup(
  connection: RedisConnection,
  { partitions, groupFacts }: KnownTopic,
  name: string,
): Promise<GroupDescription> {
  const sum = { accepted: 0, reopened: 0, waiting: 0, landed: 0, dead: 0, lost: 0, inFlight: 0, auditedWaiting: 0 }
  let oldestWaitingMicros: number | null = null
  for (const partition of partitions) {
    const facts = listOf(await connection.run('describe', partition.forGroup(name), [name]))
    sum.accepted += numberOf(facts[0])
    sum.reopened += numberOf(facts[1])
    sum.waiting += numberOf(facts[2])
    sum.landed += numberOf(facts[3])
    sum.dead += numberOf(facts[4])
    sum.lost += numberOf(facts[5])
    sum.inFlight += numberOf(facts[6])
    sum.auditedWaiting += numberOf(facts[7])
    const received = textOf(facts[8])
    if (received !== '')
      oldestWaitingMicros = Math.min(oldestWaitingMicros ?? Number.POSITIVE_INFINITY, Number(received))
    for (const [index, stretch] of listOf(facts[9]).entries()) {
      const [read, end] = listOf(stretch)
      sum.auditedWaiting += await countUnread(connection, partition, index, textOf(read), numberOf(end))
    }
  }
  return { name, ...sum, skipped: 0, oldestWaitingMicros, paused: groupFacts.get(name)?.paused ?? null }
}

/** Counts the events of a lane behind an entry and below an offset. */
async function countUnread(
  connection: RedisConnection,
  { books, streams }: PartitionKeys,
  index: number,
  read: string,
  end: number,
): Promise<number> {
  let events = 0
  let from = read
  for (;;) {
    const { offset, count } = placeOf(from)
    const reached = offset + count
    if (reached >= end) return events
    const reply = await connection.run(
      'count-unread',
      [books, streams[index]!],
      [lanes[index]!, from, end, entriesPerPage],
    )
    const [found, last, trimmed] = listOf(reply)
    // What is not there any more was settled by this group too, since its books were read.
    if (from !== '0-0') events += Math.max(0, Math.min(numberOf(trimmed), end) - reached)
    events += numberOf(found)
    from = textOf(last)
    if (from === '') return events
  }
}
