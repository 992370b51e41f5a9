// Describes the log: the counters of each group, and an audit that counts the unsettled entries.
//
// One script reads a group in a partition, so its numbers are consistent: the counters, and its count of entries that
// were handed out and not settled, up to a limit. Entries beyond the limit, and unread ones, are counted in pages, so
// that the server can serve other commands in between. A difference that events settled, lost or reopened meanwhile can
// explain is ignored: the audit then returns the counter. A group with too many entries is not audited. What is due later
// is counted in the same way; while more than a page of a lane is, the count is off by what others settle meanwhile.

import { lanes } from '../../event/event.ts'
import type { DescribeOptions, GroupDescription, StreamEnd, TopicDescription } from '../event-log.ts'
import { listOf, numberOf, type RedisNode, textOf } from './connection/redis-connection.ts'
import type { MemberWatch } from './consume/member-watch.ts'
import type { PartitionKeys } from './redis-keys.ts'
import type { RedisSession } from './session/redis-session.ts'
import { countOfMember, placeOf, receivedAtOfMember } from './stored-batch.ts'
import type { KnownTopic } from './topics/registry-content.ts'

/** Max unsettled entries of a group that an audit walks each time. */
const maxAuditedEntries = 20_000

/** Max entries due later of a group that are counted each time. */
const maxScheduledEntries = 20_000

/** Page size where the server copies entries, which blocks it. */
const entriesPerPage = 100

/** Page size where it counts without copying: entries that were handed out, and members of the own stream. */
const countedPerPage = 1000

export interface DescribeParts {
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  readonly watch: MemberWatch
}

export async function describeTopic(
  session: RedisSession,
  topic: KnownTopic,
  { now, watch }: DescribeParts,
  { auditsPaused = false }: DescribeOptions,
): Promise<TopicDescription> {
  const { name, groups, partitions } = topic
  const described: GroupDescription[] = []
  let streams: readonly StreamEnd[] = []
  const nowMs = now()
  for (const [group, flow] of groups) {
    const parts: GroupPart[] = []
    // One after the other, so that appends are not kept waiting.
    for (const partition of partitions) parts.push(await describePartition(session, partition, group, nowMs))
    const audit = new Audit(
      session,
      group,
      nowMs,
      auditsPaused && flow !== null && 'paused' in flow ? Number.POSITIVE_INFINITY : maxAuditedEntries,
    )
    const hasConsumers = watch.hasConsumers(name, group)
    const sums = await sumOf(parts, audit)
    described.push({ name: group, ordered: topic.ordered.has(group), ...sums, hasConsumers, skipped: 0, flow })
    streams = parts.flatMap(({ ends }) => ends)
  }
  return { name, partitions: partitions.length, groups: described, streams }
}

/** What describe.lua returns of one group in one partition, and what it has left to be counted. */
type GroupPart = Awaited<ReturnType<typeof describePartition>>

async function describePartition(
  session: RedisSession,
  partition: PartitionKeys,
  group: string,
  nowMs: number,
  most = countedPerPage,
) {
  const facts = listOf(await session.run('describe', partition, partition.forGroup(group), [group, most, nowMs]))
  const [accepted = 0, waiting = 0, inFlight = 0, counted = 0, passed = 0] = facts.slice(0, 5).map(numberOf)
  const oldest = textOf(facts[5])
  session.memoryOf(partition).noteLedgers([facts[7]!])
  const [, , reopened, landed, dead, lost] = listOf(facts[7])
  const isLossUnknown = textOf(lost) === '?'
  const rests = listOf(facts[8]).map((rest) => {
    const [read, end, from, holders, later] = listOf(rest)
    return {
      // The last entry that was handed out, the lane's end, the last entry that was counted ('' for all).
      ...{ read: textOf(read), end: numberOf(end), from: textOf(from) },
      // The consumers whose deliveries were not counted, and how many entries due later were.
      ...{ holders: listOf(holders).map(textOf), later: numberOf(later) },
    }
  })
  return {
    ...{ partition, counted, passed, rests },
    sums: {
      ...{ accepted, reopened: numberOf(reopened), waiting, landed: numberOf(landed), dead: numberOf(dead) },
      // Unsettled entries, at least.
      ...{ lost: isLossUnknown ? 0 : numberOf(lost), inFlight, held: numberOf(facts[12]), entries: numberOf(facts[6]) },
    },
    oldestMicros: oldest === '' ? null : Number(oldest),
    isLossUnknown,
    isAgainLeft: facts[9] === 1,
    isHeldLeft: facts[10] === 1,
    scheduled: numberOf(facts[11]),
    ends: rests.map(({ end }, lane) => ({ partition: partition.number, lane: lanes[lane]!, nextOffset: end })),
  }
}

type Sums = Omit<GroupDescription, 'name' | 'ordered' | 'hasConsumers' | 'skipped' | 'flow'>

async function sumOf(parts: readonly GroupPart[], audit: Audit): Promise<Sums> {
  const sum = { accepted: 0, reopened: 0, waiting: 0, landed: 0, dead: 0, lost: 0, inFlight: 0, held: 0, entries: 0 }
  let oldestWaitingMicros: number | null = null
  for (const { sums, oldestMicros } of parts) {
    for (const term of Object.keys(sum) as (keyof typeof sum)[]) sum[term] += sums[term]
    if (oldestMicros !== null) oldestWaitingMicros = Math.min(oldestWaitingMicros ?? oldestMicros, oldestMicros)
  }
  const { entries, lost, ...counters } = sum
  const isLossUnknown = parts.some((part) => part.isLossUnknown)
  let auditedWaiting: number | null = 0
  const isTooMuch = entries > audit.maxEntries
  for (const part of isTooMuch ? [] : parts) auditedWaiting += await audit.count(part)
  if (isTooMuch || audit.isTooMuch) auditedWaiting = null
  if (audit.oldestMicros !== null) {
    oldestWaitingMicros = Math.min(oldestWaitingMicros ?? audit.oldestMicros, audit.oldestMicros)
  }
  let { inFlight } = counters
  for (const part of parts) inFlight += await audit.countHeld(part)
  return {
    ...counters,
    inFlight,
    scheduled: await audit.countScheduled(parts),
    lost: isLossUnknown ? null : lost,
    oldestWaitingMicros,
    auditedWaiting,
  }
}

/** Counts the unsettled entries of a group that describe.lua has not counted. */
class Audit {
  readonly #session: RedisSession
  readonly #group: string
  readonly #nowMs: number
  readonly maxEntries: number
  /** Entries counted here. */
  #entries = 0
  oldestMicros: number | null = null

  constructor(session: RedisSession, group: string, nowMs: number, maxEntries: number) {
    this.#session = session
    this.#group = group
    this.#nowMs = nowMs
    this.maxEntries = maxEntries
  }

  get isTooMuch(): boolean {
    return this.#entries > this.maxEntries
  }

  /** All unsettled events of a partition. */
  async count(part: GroupPart): Promise<number> {
    const { partition } = part
    const { waiting } = part.sums
    let counted = part.counted
    let isPaged = false
    for (const [index, { read, end, from }] of part.rests.entries()) {
      counted += await this.#countUnread(partition, index, read, end)
      if (from === '') continue
      isPaged = true
      counted += await this.#countPending(partition, index, { from, read })
    }
    if (part.isAgainLeft) {
      isPaged = true
      await this.#eachOnce(partition, partition.tries(this.#group), (member) => {
        counted += countOfMember(member)
        this.oldestMicros = Math.min(this.oldestMicros ?? Number.POSITIVE_INFINITY, receivedAtOfMember(member))
      })
    }
    if (!isPaged || this.isTooMuch) return counted
    const moved = movedBetween(part, await describePartition(this.#session, partition, this.#group, this.#nowMs, 0))
    return Math.abs(counted - waiting) <= moved ? waiting : counted
  }

  /** The events that consumers hold in a partition, and that describe.lua has not counted. */
  async countHeld({ partition, rests, isHeldLeft }: GroupPart): Promise<number> {
    let held = 0
    for (const [index, { read, holders }] of rests.entries()) {
      for (const holder of holders) held += await this.#countPending(partition, index, { from: '', read, holder })
    }
    if (isHeldLeft) {
      await this.#eachOnce(partition, partition.held(this.#group), (member) => {
        held += countOfMember(member)
      })
    }
    return held
  }

  /** The events that are due later; null when they are in too many entries. */
  async countScheduled(parts: readonly GroupPart[]): Promise<number | null> {
    let left = maxScheduledEntries
    let scheduled = 0
    for (const part of parts) {
      scheduled += part.scheduled
      for (const [index, { later }] of part.rests.entries()) {
        left -= later
        if (left < 0) return null
        if (later < countedPerPage) continue
        const more = await this.#countLater(part.partition, index, left)
        scheduled += more.events
        left -= more.entries
      }
    }
    return left < 0 ? null : scheduled
  }

  /** Counts, in pages, what describe.lua has left of a lane; more than `most` entries are not counted to the end. */
  async #countLater(partition: PartitionKeys, index: number, most: number) {
    const keys = [partition.books, partition.due(this.#group, lanes[index]!)]
    const sum = { events: 0, entries: 0 }
    for (let found = countedPerPage; found === countedPerPage && sum.entries <= most; ) {
      const args = [this.#nowMs, countedPerPage + sum.entries, countedPerPage]
      const [events, entries] = listOf(await this.#session.run('count-scheduled', partition, keys, args)).map(numberOf)
      found = entries!
      sum.events += events!
      sum.entries += entries!
    }
    return sum
  }

  async #countPending(
    partition: PartitionKeys,
    index: number,
    { from, read, holder = '' }: { readonly from: string; readonly read: string; readonly holder?: string },
  ): Promise<number> {
    const keys = [partition.books, partition.streams[index]!]
    let events = 0
    let at: string | null = from
    while (at !== null && !(holder === '' && this.isTooMuch)) {
      const args: string[] = [this.#group, at, read, String(countedPerPage), holder]
      const [found, entries, last] = listOf(await this.#session.run('count-pending', partition, keys, args))
      events += numberOf(found)
      if (holder === '') this.#entries += numberOf(entries)
      at = textOf(last) || null
    }
    return events
  }

  /** Calls back once for each member of a group's own stream that exists during the whole scan. */
  async #eachOnce(partition: PartitionKeys, key: string, call: (member: string) => void): Promise<void> {
    // A member's number is unique in its own stream.
    const seen = new Set<string>()
    let cursor = '0'
    do {
      const args = [cursor, countedPerPage]
      const reply = await this.#session.run('list-members', partition, [partition.books, key], args)
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
  async #countUnread(partition: PartitionKeys, index: number, read: string, end: number): Promise<number> {
    const { books, streams } = partition
    let events = 0
    for (let from = read; from !== '' && !this.isTooMuch; ) {
      const { offset, count } = placeOf(from)
      const reached = offset + count
      if (reached >= end) break
      const args = [lanes[index]!, from, end, entriesPerPage]
      const reply = await this.#session.run('count-unread', partition, [books, streams[index]!], args)
      const [found, last, trimmed, entries] = listOf(reply)
      // Entries that were trimmed since were settled by this group after its counters were read: count them.
      if (from !== '0-0') events += Math.max(0, Math.min(numberOf(trimmed), end) - reached)
      events += numberOf(found)
      this.#entries += numberOf(entries)
      from = textOf(last)
    }
    return events
  }
}

/** How many events were reopened, lost or settled between two descriptions. */
function movedBetween(before: GroupPart, after: GroupPart): number {
  const sumOf = ({ sums, passed }: GroupPart) => sums.reopened + sums.lost + passed
  return sumOf(after) - sumOf(before)
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
