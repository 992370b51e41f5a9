// Tells how the log is: what the books say, and an audit of them.
//
// One script answers for a group in a partition, so its numbers belong together: the books, and what it counted of the
// entries that were handed out and not settled, up to a bound. Beyond it, and what nobody had yet, is counted in pages, so
// that the server does other work between. What passes meanwhile, be it counted or not, counts as what the books said.

import { lanes } from '../../event/event.ts'
import type { GroupDescription, TopicDescription } from '../event-log.ts'
import type { Epochs } from './epochs.ts'
import { listOf, numberOf, type RedisNode, type Reply, textOf } from './redis-connection.ts'
import type { PartitionKeys } from './redis-keys.ts'
import { countOfMember, placeOf, receivedAtOfMember } from './stored-batch.ts'
import type { KnownTopic } from './topic-registry.ts'

/** A page of the audit: the server copies so many entries, and does nothing else meanwhile. */
const entriesPerPage = 100

/** What it counts without copying: entries that were handed out, and members of the own stream. */
const countedPerPage = 1000

/** Runs a script of a partition in the epoch that is described. */
type Run = (...call: TailOf<Parameters<Epochs['run']>>) => Promise<Reply>
type TailOf<T extends readonly unknown[]> = T extends readonly [unknown, ...infer Tail] ? Tail : never

export async function describeTopic(run: Run, topic: KnownTopic): Promise<TopicDescription> {
  const { name, groups, partitions } = topic
  const described: GroupDescription[] = []
  for (const group of groups) described.push(await describeGroup(run, topic, group))
  return { name, partitions: partitions.length, groups: described }
}

async function describeGroup(
  run: Run,
  { partitions, groupFacts }: KnownTopic,
  name: string,
): Promise<GroupDescription> {
  const sum = { accepted: 0, reopened: 0, waiting: 0, landed: 0, dead: 0, lost: 0, inFlight: 0, auditedWaiting: 0 }
  let oldestWaitingMicros: number | null = null
  for (const partition of partitions) {
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
  return { name, ...sum, skipped: 0, oldestWaitingMicros, paused: groupFacts.get(name)?.paused ?? null }
}

/** How many events have changed their place between two looks: settled, lost, reopened. */
function movedBetween(before: readonly Reply[], after: readonly Reply[]): number {
  let moved = 0
  for (const index of [1, 5, 12]) moved += numberOf(after[index]) - numberOf(before[index])
  return moved
}

/** Calls for each member of a group's own stream that is there all the time. */
async function eachOnce(
  run: Run,
  partition: PartitionKeys,
  key: string,
  call: (member: string) => void,
): Promise<void> {
  // The number of a member is its own.
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

/** Counts the events of a lane behind an entry and below an offset. */
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
