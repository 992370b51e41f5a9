// Tells how the log is: what the books say, and an audit of them.
//
// One script answers for a group in a partition, so its numbers belong together: the books, and what it counted of the
// entries that were handed out and not settled. The entries that nobody had yet are counted in pages, so that the server
// does other work between. What is settled and trimmed meanwhile counts as what the books said.

import { lanes } from '../../event.ts'
import type { GroupDescription, TopicDescription } from '../event-log.ts'
import { listOf, numberOf, type RedisConnection, type RedisNode, textOf } from './redis-connection.ts'
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

interface Memory {
  readonly usedBytes: number | null
  readonly limitBytes: number | null
}

/**
 * What the masters take: all of them together, or, where they have limits, the one that is nearest to its own, for its
 * partitions fill up first. Null for what one of them does not tell.
 */
export async function readMemory(masters: readonly RedisNode[]): Promise<Memory> {
  const each = await Promise.all(masters.map(memoryOf))
  const known = each.filter(({ usedBytes }) => usedBytes !== null)
  if (known.length < each.length || each.length === 0) return { usedBytes: null, limitBytes: null }
  const share = ({ usedBytes, limitBytes }: Memory) => (limitBytes === null ? -1 : usedBytes! / limitBytes)
  const fullest = known.toSorted((a, b) => share(b) - share(a))[0]!
  if (fullest.limitBytes !== null) return fullest
  return { usedBytes: known.reduce((sum, { usedBytes }) => sum + usedBytes!, 0), limitBytes: null }
}

async function memoryOf(master: RedisNode): Promise<Memory> {
  // Not every role may ask for it, and the rest of a description is worth more.
  const info = await master.command('INFO', 'memory').then(textOf, () => '')
  const figure = (name: string) => {
    const value = new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1]
    return value === undefined ? null : Number(value)
  }
  return { usedBytes: figure('used_memory'), limitBytes: figure('maxmemory') || null }
}
