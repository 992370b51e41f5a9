// Describes the log: the counters of each group, and an audit that counts the unsettled entries.
//
// One script reads a group in a partition, so its numbers are consistent: the counters, and its count of entries that
// were handed out and not settled, up to a limit. Entries beyond the limit, and unread ones, are counted in pages, so
// that the server can serve other commands in between. A difference that events settled, lost or reopened meanwhile can
// explain is ignored: the audit then returns the counter.

import { lanes } from '../../event/event.ts'
import type { GroupDescription, StreamEnd, TopicDescription } from '../event-log.ts'
import { listOf, numberOf, type RedisNode, type Reply, textOf } from './connection/redis-connection.ts'
import type { PartitionKeys } from './redis-keys.ts'
import { countOfMember, placeOf, receivedAtOfMember } from './stored-batch.ts'
import type { Epochs } from './topics/epochs.ts'
import type { KnownTopic } from './topics/topic-registry.ts'

/** Page size where the server copies entries, which blocks it. */
const entriesPerPage = 100

/** Page size where it counts without copying: entries that were handed out, and members of the own stream. */
const countedPerPage = 1000

/** Runs a script of a partition in the epoch of the description. */
type Run = (...call: TailOf<Parameters<Epochs['run']>>) => Promise<Reply>
type TailOf<T extends readonly unknown[]> = T extends readonly [unknown, ...infer Tail] ? Tail : never

export async function describeTopic(run: Run, topic: KnownTopic): Promise<TopicDescription> {
  const { name, groups, partitions } = topic
  const described: GroupDescription[] = []
  let streams: readonly StreamEnd[] = []
  for (const group of groups) {
    const { ends, ...description } = await describeGroup(run, topic, group)
    described.push(description)
    streams = ends
  }
  return { name, partitions: partitions.length, groups: described, streams }
}

async function describeGroup(
  run: Run,
  { partitions, groupFacts }: KnownTopic,
  name: string,
): Promise<GroupDescription & { readonly ends: readonly StreamEnd[] }> {
  const sum = { accepted: 0, reopened: 0, waiting: 0, landed: 0, dead: 0, lost: 0, inFlight: 0, auditedWaiting: 0 }
  const ends: StreamEnd[] = []
  let oldestWaitingMicros: number | null = null
  for (const [number, partition] of partitions.entries()) {
    const describe = async (most: number) =>
      listOf(await run('describe', partition, partition.forGroup(name), [name, most]))
    const facts = await describe(countedPerPage)
    let counted = numberOf(facts[7])
    let isPaged = false
    const see = (micros: number) => {
      oldestWaitingMicros = Math.min(oldestWaitingMicros ?? Number.POSITIVE_INFINITY, micros)
    }
    sum.accepted += numberOf(facts[0])
    sum.reopened += numberOf(facts[1])
    sum.waiting += numberOf(facts[2])
    sum.landed += numberOf(facts[3])
    sum.dead += numberOf(facts[4])
    sum.lost += numberOf(facts[5])
    sum.inFlight += numberOf(facts[6])
    const received = textOf(facts[8])
    if (received !== '') see(Number(received))
    for (const [index, stretch] of listOf(facts[9]).entries()) {
      const [read, end, from] = listOf(stretch)
      ends.push({ partition: number, lane: lanes[index]!, nextOffset: numberOf(end) })
      counted += await countUnread(run, partition, index, textOf(read), numberOf(end))
      for (let at = textOf(from); at !== ''; ) {
        isPaged = true
        const keys = [partition.books, partition.streams[index]!]
        const args = [name, at, textOf(read), countedPerPage]
        const page = listOf(await run('count-pending', partition, keys, args))
        counted += numberOf(page[0])
        sum.inFlight += numberOf(page[1])
        at = textOf(page[2])
      }
    }
    if (facts[10] === 1) {
      isPaged = true
      const eachMember = (member: string) => {
        counted += countOfMember(member)
        see(receivedAtOfMember(member))
      }
      await eachOnce(run, partition, partition.tries(name), eachMember)
    }
    if (facts[11] === 1) {
      const eachMember = (member: string) => {
        sum.inFlight += countOfMember(member)
      }
      await eachOnce(run, partition, partition.held(name), eachMember)
    }
    const waiting = numberOf(facts[2])
    if (isPaged) {
      const moved = movedBetween(facts, await describe(0))
      if (Math.abs(counted - waiting) <= moved) counted = waiting
    }
    sum.auditedWaiting += counted
  }
  const paused = groupFacts.get(name)?.paused ?? null
  return { name, ...sum, skipped: 0, oldestWaitingMicros, paused, ends }
}

/** How many events were reopened, lost or settled between two describes (indexes 1, 5, 12). */
function movedBetween(before: readonly Reply[], after: readonly Reply[]): number {
  let moved = 0
  for (const index of [1, 5, 12]) moved += numberOf(after[index]) - numberOf(before[index])
  return moved
}

/** Calls back once for each member of a group's own stream that exists during the whole scan. */
async function eachOnce(
  run: Run,
  partition: PartitionKeys,
  key: string,
  call: (member: string) => void,
): Promise<void> {
  // A member's number is unique in its own stream.
  const seen = new Set<string>()
  let cursor = '0'
  do {
    const reply = await run('list-members', partition, [partition.books, key], [cursor, countedPerPage])
    const [next, ...members] = listOf(reply).map(textOf)
    for (const member of members) {
      const number = member.slice(0, member.indexOf('-'))
      if (seen.has(number)) continue
      seen.add(number)
      call(member)
    }
    cursor = next!
  } while (cursor !== '0')
}

/** Counts the events of a lane after an entry and below an offset. */
async function countUnread(
  run: Run,
  partition: PartitionKeys,
  index: number,
  read: string,
  end: number,
): Promise<number> {
  const { books, streams } = partition
  let events = 0
  let from = read
  for (;;) {
    const { offset, count } = placeOf(from)
    const reached = offset + count
    if (reached >= end) return events
    const args = [lanes[index]!, from, end, entriesPerPage]
    const reply = await run('count-unread', partition, [books, streams[index]!], args)
    const [found, last, trimmed] = listOf(reply)
    // Entries that were trimmed since were settled by this group after its counters were read: count them.
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
 * Memory use of the masters: the sum, or, where they have limits, that of the master nearest to its limit, because its
 * partitions fill up first. Null when a master does not report it.
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
  // INFO may be denied; that must not fail the whole description.
  const info = await master.command('INFO', 'memory').then(textOf, () => '')
  const figure = (name: string) => {
    const value = new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1]
    return value === undefined ? null : Number(value)
  }
  return { usedBytes: figure('used_memory'), limitBytes: figure('maxmemory') || null }
}
